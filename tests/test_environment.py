"""environment.yml, constraints.txt and .python-version agree with pyproject.toml."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def by_name(lines: list[str]) -> dict[str, str]:
    """Canonical name of each requirement, with its version specifier."""
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(r.name): str(r.specifier) for r in requirements}


@pytest.fixture
def conda() -> list:
    return yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]


def test_conda_asks_for_the_same_packages_and_versions(conda):
    asked = by_name([line for line in conda if isinstance(line, str)])
    assert asked.pop("pip") == ""
    assert asked.pop("python") == PROJECT["requires-python"]
    assert asked == by_name(PROJECT["dependencies"])


def test_conda_names_are_lower_case(conda):
    assert all(line == line.lower() for line in conda if isinstance(line, str))


def test_conda_ends_with_the_package_itself(conda):
    assert conda[-1] == {"pip": ["-e ."]}


def test_constraints_pin_every_requirement_within_its_bounds():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = by_name([line for line in lines if line and not line.startswith("#")])
    for line in [*PROJECT["dependencies"], *sum(EXTRAS.values(), [])]:
        wanted = Requirement(line)
        if wanted.name == PROJECT["name"]:
            continue
        pin = pins[canonicalize_name(wanted.name)].removeprefix("==")
        assert wanted.specifier.contains(pin), line


def test_constraints_hold_pins_only():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pin = re.compile(r"#.*|[a-z0-9._-]+==[A-Za-z0-9.+!]+")
    assert [line for line in lines if not pin.fullmatch(line)] == []


def test_one_python_version_is_meant():
    version = (ROOT / ".python-version").read_text().strip()
    assert PROJECT["requires-python"] == f">={version}"
