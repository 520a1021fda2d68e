"""Sphinx and MyST-NB: the pages here, the tutorials beside them, the reference from docstrings."""

import importlib.metadata
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
TUTORIALS = HERE.parent / "tutorials"

# Sphinx reads one folder only, so the tutorials come in as copies, which git ignores.
shutil.rmtree(HERE / "tutorials", ignore_errors=True)
(HERE / "tutorials").mkdir()
notebooks = sorted(TUTORIALS.glob("[0-9]*.md"))
for notebook in notebooks:
    shutil.copy(notebook, HERE / "tutorials")
listing = "\n".join(notebook.stem for notebook in notebooks)
(HERE / "tutorials" / "index.md").write_text(
    "# Tutorials\n\nEach runs in a minute or two on two cores, and is executed by the tests.\n\n"
    f"```{{toctree}}\n:maxdepth: 1\n\n{listing}\n```\n"
)

project = "assim"
author = "The assim developers"
copyright = "The assim developers, Apache-2.0"
release = importlib.metadata.version("assim")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the tests execute the tutorials; a build of the pages need not

autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "assim"
html_show_sphinx = False
html_show_sourcelink = False
