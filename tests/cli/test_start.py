"""The commands and the code on docs/start.md do what the page says, in an empty folder."""

import re
import runpy
import shlex
from pathlib import Path

import pytest
import typer

from assim.cli import run
from assim.cli.application import app
from assim.cli.choosing import chosen, chosen_filter, chosen_system

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, BENCH = ((DOCS / f"{name}.md").read_text() for name in ("start", "test_bench"))
TWIN = {"ring/truth.nc", "ring/readings.nc"}


def blocks(language: str, page: str = PAGE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def commands(page: str = PAGE) -> list[list[str]]:
    """What stands behind `assim` on each line of the shell."""
    lines = "".join(blocks("sh", page)).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("assim ")]


def test_the_page_shows_every_step():
    verbs = [argv[0] for argv in commands()]
    fitted = ["datasets", "check", "fit", "fit", "forecast", "forecast", "compare"]
    assert verbs == [*fitted, "assimilate", "twin", "assimilate"]


def test_the_commands_are_understood_and_each_reads_what_those_before_wrote():
    """Every option and every setting; that they run as well is seen at night."""
    verbs, there = typer.main.get_command(app).commands, set()
    for verb, *argv in commands():
        given = verbs[verb].make_context(verb, list(argv)).params
        settings = given.get("settings") or []
        if verb == "fit":
            chosen(given["model"], given["method"], settings)
        elif verb == "assimilate":
            chosen_filter(given["filter_name"], settings, system=given["system"])
        elif verb == "twin":
            chosen_system(given["system"], settings)
        files = {word for word in argv if word.endswith((".nc", ".csv"))}
        made = files if verb == "datasets" else {str(given.get("output"))}
        assert files - made <= there
        there |= TWIN if verb == "twin" else made


def test_the_commands_for_a_test_bench_are_understood():
    verbs, told = typer.main.get_command(app).commands, []
    for verb, *argv in commands(BENCH):
        given = verbs[verb].make_context(verb, list(argv)).params
        told.append(verb)
        if verb == "fit":
            chosen(given["model"], given["method"], given["settings"])
    assert told == [
        *("datasets", "fit", "backtest", "compare", "accustom", "diagnose", "attribute")
    ]


@pytest.mark.slow
def test_the_commands_and_the_code_run_as_they_stand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for argv in commands():
        assert run(argv) == 0, argv
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {
        *("mast.nc", "ar.nc", "naive.nc", "forecast.nc", "persistence.nc", "scores.csv"),
        *("analysis.nc", "ring"),
    }
    assert {f"ring/{path.name}" for path in (tmp_path / "ring").iterdir()} == {
        *TWIN,
        "ring/analysis.nc",
    }
    (code,) = blocks("python")
    (tmp_path / "start.py").write_text(code)
    scores = runpy.run_path(str(tmp_path / "start.py"))["table"]
    assert set(scores["variable"].values) == {"air_temperature", "wind_speed"}
