"""The house rules that a machine can check on the files as they stand."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import assim

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SOURCES = sorted((ROOT / "assim").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
BARREN = {"utils", "util", "helpers", "helper", "misc", "common"}
REGISTRY = re.compile(r"(py[p]i|pythonhost[e]d|npm[j]s|anacond[a]|debia[n])\.(org|com|net)")
MACHINE = re.compile(r"(^|[^A-Za-z0-9_.])/(wor[k]|far[m])/|/roo[t]/")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tracked() -> list[Path]:
    """The files of the repository; where it is not one (a source archive), those of the package."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode != 0:
        return SOURCES + TESTS
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def lines_matching(pattern: re.Pattern[str]) -> list[str]:
    """Where a pattern stands in tracked text files."""
    found = []
    for path in tracked():
        if path.suffix in {".nc", ".png"}:
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{name_of(path)}:{number}")
    return found


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=name_of)
def test_file_is_short_and_named(path):
    assert len(path.read_text().splitlines()) <= 400
    assert path.stem not in BARREN


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_file_loads_nothing_unsafe_and_has_no_stub(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"eval", "exec", "hasattr"}, node.lineno
        if isinstance(node, ast.Import):
            assert not {n.name for n in node.names} & {"pickle", "cloudpickle", "dill"}, node.lineno
        if isinstance(node, ast.ImportFrom):
            assert node.module not in {"pickle", "cloudpickle", "dill"}, node.lineno
        if isinstance(node, ast.Raise):
            assert "NotImplementedError" not in ast.dump(node), node.lineno


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_public_functions_and_classes_say_what_they_do(path):
    tree = ast.parse(path.read_text())
    defined = (ast.FunctionDef, ast.ClassDef)
    silent = [
        node.name
        for node in tree.body
        if isinstance(node, defined) and node.name[0] != "_" and not ast.get_docstring(node)
    ]
    assert silent == []


def refusing() -> set[str]:
    """Functions of the package that say that they raise."""
    trees = [ast.parse(path.read_text()) for path in SOURCES]
    defined = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {node.name for node in defined if "Raises:" in (ast.get_docstring(node) or "")}


def test_public_classes_say_what_their_settings_may_not_be():
    """Where a class refuses its settings, by itself or by a function that says so, its docstring tells of it."""
    known, silent, looked = refusing(), [], 0
    for path in SOURCES:
        for made in ast.walk(ast.parse(path.read_text())):
            if not isinstance(made, ast.ClassDef) or made.name[0] == "_":
                continue
            checks = [
                part
                for method in made.body
                if isinstance(method, ast.FunctionDef)
                and method.name in {"__init__", "__check_init__"}
                for part in ast.walk(method)
                if isinstance(part, ast.Raise)
                or (isinstance(part, ast.Call) and ast.unparse(part.func) in known)
            ]
            looked += bool(checks)
            if checks and "Raises:" not in (ast.get_docstring(made) or ""):
                silent.append(f"{name_of(path)}: {made.name}")
    assert silent == [] and looked > 20


def test_every_package_that_is_imported_is_declared():
    declared = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    declared |= {"arviz-base", "arviz-stats", "arviz-plots"}  # what arviz is made of
    declared |= {
        "assim",
        "blackjax",
        "dask",
        "pooch",
        "pot",
        "scikit-learn",
        "sklearn",
    }  # itself, extras
    distributions = packages_distributions()
    undeclared = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            else:
                continue
            for top in {module.split(".")[0] for module in modules} - set(sys.stdlib_module_names):
                names = {canonicalize_name(name) for name in distributions.get(top, [top])}
                if not names & declared:
                    undeclared.add(f"{name_of(path)}: {top}")
    assert undeclared == set()


def test_no_file_names_a_registry():
    assert lines_matching(REGISTRY) == []


def test_no_file_carries_a_path_of_this_machine():
    assert lines_matching(MACHINE) == []


def test_no_tracked_file_is_heavy():
    heavy = [name_of(path) for path in tracked() if path.stat().st_size > 4 * 2**20]
    assert heavy == []


def test_import_is_light():
    code = (
        "import sys, assim; dir(assim); "
        "print(*{'jax', 'numpyro', 'matplotlib', 'arviz', 'xarray', 'pandas'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


@pytest.mark.parametrize("name", assim.__all__)
def test_public_name_is_there(name):
    value = getattr(assim, name)
    assert value.__doc__
    assert name in dir(assim)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'forcast'"):
        assim.forcast  # noqa: B018


def test_lazy_names_are_those_that_editors_see():
    tree = ast.parse((ROOT / "assim" / "__init__.py").read_text())
    typed = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "assim"
        for alias in node.names
    }
    assert typed == set(assim.__all__)


def test_make_knows_every_command_that_is_written_down():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in ["README.md", "CONTRIBUTING.md", "docs/start.md", ".ci/run"]:
        text = (ROOT / document).read_text()
        assert set(re.findall(r"\bmake ([a-z-]+)\b(?= *(?:[`#\n]|PYTEST))", text)) <= targets, (
            document
        )


def test_changelog_has_a_place_for_what_is_new():
    assert re.search(r"^## \[?Unreleased\]?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_licence_and_citation_agree_with_the_package():
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert PROJECT["license"] == "Apache-2.0"
    citation = (ROOT / "CITATION.cff").read_text()
    assert "license: Apache-2.0" in citation
    assert f'title: "{PROJECT["name"]}' in citation


def test_checks_end_in_the_documented_test_command():
    checks = ROOT / ".ci" / "run"
    assert "make test" in checks.read_text()
    assert checks.stat().st_mode & 0o100
