"""The commands and the code on docs/start.md do what the page says, in an empty folder."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

from assim.cli import run

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "start.md").read_text()
QUICK = ["--method", "prior", "--set", "num_draws=10"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    """What stands behind `assim` on each line of the shell."""
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("assim ")]


def quick(argv: list[str]) -> list[str]:
    """A fit by draws of the prior: settings of the model alone."""
    if argv[0] != "fit":
        return argv
    plain = shlex.join(argv).replace("--method svi", "").replace("--set num_steps=2000", "")
    return [*shlex.split(plain), *QUICK]


def test_the_page_shows_every_step():
    verbs = [argv[0] for argv in commands()]
    fitted = ["datasets", "check", "fit", "fit", "forecast", "forecast", "compare"]
    assert verbs == [*fitted, "assimilate", "twin", "assimilate"]


def test_the_commands_go_together(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for argv in commands():
        assert run(quick(argv)) == 0, argv
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {
        *("mast.nc", "ar.nc", "naive.nc", "forecast.nc", "persistence.nc", "scores.csv"),
        *("analysis.nc", "ring"),
    }
    made = {path.name for path in (tmp_path / "ring").iterdir()}
    assert made == {"truth.nc", "readings.nc", "analysis.nc"}


@pytest.mark.slow
def test_the_commands_and_the_code_run_as_they_stand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for argv in commands():
        assert run(argv) == 0, argv
    (code,) = blocks("python")
    (tmp_path / "start.py").write_text(code)
    scores = runpy.run_path(str(tmp_path / "start.py"))["table"]
    assert set(scores["variable"].values) == {"air_temperature", "wind_speed"}
