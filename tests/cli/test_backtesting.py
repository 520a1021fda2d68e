"""`assim backtest`: a fit is left aside, its model is fitted to the past of each origin, and no origin is lost."""

import jax
import numpy as np
import pytest
import xarray as xr

from assim import inference, restore
from assim.cli import run
from assim.tree import read_tree

HOURS = np.datetime64("2020-01-02T01", "ns") + np.arange(3) * np.timedelta64(1, "h")


def made() -> xr.DataTree:
    """What the verb gives, without its forecasts."""
    why = ["the run begins at noon", "the horizon ends late", "the horizon ends late"]
    left_out = xr.Dataset({"reason": ("origin", why)}, {"init_time": ("origin", HOURS)})
    tree = xr.DataTree.from_dict(
        {"predictions": xr.Dataset(coords={"init_time": HOURS}), "left_out": left_out}
    )
    told = '{"by": "time", "fits": 1, "origins": 6, "left_out": 3, "refit": true}'
    tree.attrs = {"backtest": told, "horizon": "30 min"}
    return tree


def test_every_option_reaches_the_verb_and_it_says_what_it_did(
    run_dir, tmp_path, monkeypatch, capsys
):
    asked, path, fit = {}, tmp_path / "tested.nc", run_dir / "ar.nc"

    def caught(model, ds, method, horizon, **settings):
        asked.update(settings, model=model, ds=ds, method=method, horizon=horizon)
        return made()

    monkeypatch.setattr("assim.backtesting.backtest", caught)
    given = "--horizon 3 --by run --start 2020 --every 2h --window 9 --refit always --folds 4"
    more = "--draws 7 --method ensemble-map --set num_steps=9 --seed 5"
    files = [str(fit), str(run_dir / "truth.nc"), "-o", str(path)]
    assert run(["backtest", *files, *given.split(), *more.split()]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"3 forecasts by 1 fit, 30 min ahead, from 2020-01-02T01:00:00 to 2020-01-02T03:00:00 in {path}.",
        "- 2 of 6 origins are left out: the horizon ends late.",
        "- 1 of 6 origins is left out: the run begins at noon.",
    ]
    assert set(read_tree(path).children) == {"predictions", "left_out"}
    fitted = restore(fit)
    assert asked["model"] == fitted.model
    assert set(asked["ds"].data_vars) == set(fitted.layout.channels)
    assert asked["method"] == inference.EnsembleMAP(num_steps=9)
    assert asked.pop("key") == jax.random.key(5)
    wanted = {"horizon": 3, "by": "run", "start": "2020", "every": "2h", "window": 9, "folds": 4}
    wanted |= {"refit": True, "num_draws": 7, "progress": False}
    assert wanted == {k: asked[k] for k in wanted}


@pytest.mark.slow
def test_nothing_that_is_forecast_was_seen(run_dir, tmp_path, capsys):
    path, truth = str(tmp_path / "tested.nc"), str(run_dir / "truth.nc")
    argv = ["backtest", str(run_dir / "ar.nc"), truth, "-o", path, "--start", "2020-01-02T01:00"]
    argv += ["--every", "2h", "--refit", "3", "--draws", "10"]
    assert run(argv) == 0
    said = capsys.readouterr().out
    assert "7 forecasts by 3 fits, 1 h ahead, from 2020-01-02T01:00:00 to 2020-01-02T13:" in said
    assert "- 1 of 8 origins is left out: the horizon ends after the last target reading" in said
    tree = read_tree(path)
    assert tree.attrs["method"] == read_tree(run_dir / "ar.nc").attrs["method"]
    found = tree["predictions"].to_dataset()
    assert found["fit"].values.tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert (found["trained_until"] <= found["init_time"]).all()
    assert found.sizes["draw"] == 10 and found.sizes["lead_time"] == 6
    assert np.isfinite(found["wind_speed"]).all()
    assert run(["compare", path, "--truth", truth]) == 0
    assert "CRPS" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--refit often", "--refit often is no number of origins: give never for one fit, 3 for"),
        ("--set num_steps=9", "say which, as --method svi."),
        ("--folds 4", "give --by run too"),
    ],
)
def test_a_mistake_in_an_option_names_it(options, sentence, run_dir, tmp_path, refused):
    command = ("backtest", run_dir / "ar.nc", run_dir / "truth.nc", "-o", tmp_path / "tested.nc")
    assert sentence in refused(*command, *options.split())
    assert list(tmp_path.iterdir()) == []


def test_a_forecast_is_no_fit(run_dir, tmp_path, refused):
    forecast = run_dir / "persistence.nc"
    said = refused("backtest", forecast, run_dir / "truth.nc", "-o", tmp_path / "tested.nc")
    assert f"{forecast} is a forecast, and a fit is wanted" in said
