"""`assim attribute`: shares as a table, all of it in a file, and a plot."""

import jax
import pytest
import xarray as xr

from assim.cli import run
from assim.tree import read_tree

TIMES = ["2020-01-02T03:00", "2020-01-02T04:00"]


def test_shares_are_shown_and_written_and_drawn(run_dir, tmp_path, capsys):
    out, plot = tmp_path / "why.nc", tmp_path / "why.png"
    argv = ["attribute", str(run_dir / "ar.nc"), str(run_dir / "truth.nc"), "-o", str(out)]
    argv += ["--plot", str(plot), "--lead", "20min", "--variable", "wind_speed"]
    assert run([*argv, "--draws", "3", "--points", "2"]) == 0
    said = capsys.readouterr().out
    assert (
        "20 min ahead from 2020-01-02T15:50:00, held against: training mean." in said
        and str(plot) in said
    )
    share = read_tree(out)["mean"]["share"].sel(target="wind_speed").to_series()
    assert share.sum() == pytest.approx(1.0)
    lines = [line.split() for line in said.splitlines() if " %" in line]
    shown = {line[-7]: line[-6] for line in lines}
    assert shown == {name: f"{100 * value:.1f}" for name, value in share.items()}
    assert list(shown) == list(share.sort_values(ascending=False).index)
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_every_option_reaches_the_verb(run_dir, tmp_path, refused, monkeypatch):
    asked = {}

    def caught(post, ds, lead, **settings):
        asked.update(settings, ds=ds, lead=lead)
        raise ValueError("Enough.")

    monkeypatch.setattr("assim.attributing.attribute", caught)
    command = ("attribute", run_dir / "ar.nc", run_dir / "truth.nc")
    given = ("--lead", "2h", "--origins", ",".join(TIMES), "--baseline", TIMES[0], "--points", 4)
    more = ("--num-baselines", 5, "--draws", 6, "--variable", "wind_speed", "--seed", 3)
    assert refused(*command, *given, *more) == "assim: Enough.\n"
    assert asked.pop("key") == jax.random.key(3) and "wind_speed" in asked.pop("ds")
    wanted = {"lead": "2h", "origins": TIMES, "baseline": TIMES[:1], "variable": "wind_speed"}
    assert asked == wanted | {"num_baselines": 5, "points": 4, "num_draws": 6}
    refused(*command[:2], "--baseline", command[2], "--origins", "6h")
    assert isinstance(asked["baseline"], xr.Dataset) and asked["origins"] == "6h"
    assert asked["ds"] is None and asked["lead"] == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--variable wind", "no target 'wind': choose of air_temperature, wind_speed."),
        ("--plot why.doc", "No plot can be written as why.doc: give --plot a name that ends in"),
    ],
)
def test_a_mistake_in_an_option_names_it(options, sentence, run_dir, tmp_path, refused):
    command = ("attribute", run_dir / "ar.nc", run_dir / "truth.nc", "-o", tmp_path / "why.nc")
    assert sentence in refused(*command, *options.split())
    assert list(tmp_path.iterdir()) == []
