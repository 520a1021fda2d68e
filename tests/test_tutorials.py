"""The tutorials run from top to bottom: the first always, the others with `make test-all`."""

import ast
import os
import re
from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
TUTORIALS = sorted((ROOT / "tutorials").glob("[0-9]*.md"))
FIRST, *REST = TUTORIALS or [None]
FETCHED = {"ersst_v5": Path("gridded") / "ersstv5.sst.mnmean.2010-2020.nc"}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *TUTORIALS]


def run(path: Path, folder: Path) -> None:
    """Execute a notebook in an empty folder; an error in a cell fails the test and shows it."""
    notebook = jupytext.read(path)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()


def test_first_tutorial_runs(tmp_path):
    run(FIRST, tmp_path)


@pytest.fixture
def fetched(request, tmp_path_factory, monkeypatch):
    """Datasets that are fetched, laid into a cache from the folder of real files; skips where there is none."""

    def lay(page: str) -> None:
        for name in re.findall(r'load_dataset\("(\w+)"\)', page):
            if name in FETCHED:
                there = request.getfixturevalue("shared_data") / FETCHED[name]
                cache = tmp_path_factory.mktemp("cache")
                (cache / f"{name}.nc").write_bytes(there.read_bytes())
                monkeypatch.setenv("ASSIM_CACHE", str(cache))

    return lay


@pytest.mark.slow
@pytest.mark.parametrize("path", REST, ids=lambda path: path.stem)
def test_tutorial_runs(path, tmp_path, fetched, monkeypatch):
    fetched(path.read_text())
    beside = str(ROOT.parent / "shared" / "data")  # parts of a page run where this is
    monkeypatch.setenv("ASSIM_SHARED_DATA", os.environ.get("ASSIM_SHARED_DATA", beside))
    run(path, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_code_on_the_page_is_python(page):
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        ast.parse(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target
