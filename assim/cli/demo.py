"""`assim demo`: from the met mast that comes along to a judged forecast, with all that a run leaves behind.

The last of its four days is held out. Departures from persistence, a Bayesian autoregression and three baselines
are fitted to what comes before and forecast six hours from every half hour of that day. The first two are pooled,
and all are scored on the same cells. Pool and settings are what `benchmarks/met_mast.py` chooses on other days.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assim.cli.judging import TABLES, save_scores, show_scores
from assim.cli.options import Quiet, Seed
from assim.cli.plots import draw_all
from assim.cli.speaking import note, say, watched
from assim.cli.writing import save, written

if TYPE_CHECKING:
    import xarray as xr

TARGETS = ("air_temperature", "wind_speed")
LEADS, ORIGINS = 72, "30min"
FEW_LEADS, FEW_ORIGINS = 6, "3h"
HELD_OUT = "24h"
POOLED = ("departures", "autoregressive")


def demo(
    out: Annotated[Path, typer.Option(help="The folder for all that the run leaves.")] = Path(
        "runs/demo"
    ),
    seed: Seed = 0,
    quick: Annotated[bool, typer.Option("--quick", hidden=True)] = False,
    quiet: Quiet = False,
) -> None:
    """Fit a real met mast, forecast, score and report.

    It takes about two minutes on two cores, once the environment stands.
    """
    import jax
    import pandas as pd

    from assim import data
    from assim.comparing import compare
    from assim.forecasting import forecast
    from assim.inferring import infer
    from assim.pooling import pool
    from assim.report import report
    from assim.report.verdicts import covering, leading, ranking

    out.mkdir(parents=True, exist_ok=True)
    ds = data.load_dataset("met_mast")[list(TARGETS)]
    train, test = data.split(ds, at=ds["time"].values[-1] - pd.Timedelta(HELD_OUT).to_timedelta64())
    _write(ds, out / "truth.nc")
    leads, origins = (FEW_LEADS, FEW_ORIGINS) if quick else (LEADS, ORIGINS)
    fits: dict[str, xr.DataTree] = {}
    forecasts: dict[str, xr.DataTree] = {}
    for number, (name, (model, method)) in enumerate(_contestants(leads, quick).items()):
        note(f"{name}: fitting and forecasting ...", quiet=quiet)
        k_fit, k_forecast = jax.random.split(jax.random.fold_in(jax.random.key(seed), number))
        post = infer(model, train, method, key=k_fit, progress=watched(quiet))
        _write(post, out / f"{name}.nc")
        fits[name] = post
        forecasts[name] = forecast(
            post,
            test,
            leads,
            key=k_forecast,
            origins=origins,
            num_draws=20 if quick else 500,
            progress=watched(quiet),
        )
        _write(forecasts[name], out / f"{name}_forecast.nc")
    forecasts = {"pool": pool({name: forecasts[name] for name in POOLED})} | forecasts
    _write(forecasts["pool"], out / "pool_forecast.nc")
    scores = compare(forecasts, test, baseline="persistence", seed=seed)
    ranked = list(ranking(scores))
    scores = scores.sel(model=ranked)
    for ending in TABLES:
        with written(out / f"scores{ending}") as unfinished:
            save_scores(scores, unfinished)
    plots = draw_all(forecasts, {name: fits[name] for name in POOLED}, ds, scores, out)
    report(out, out / "report.html")
    show_scores(scores)
    say(leading(scores))
    say(covering(scores, ranked[0])[0])
    say(f"In {out}:")
    kinds = {
        "report.html": "all of it on one page",
        "*.png": ", ".join(plots),
        "scores.nc, scores.csv": "scores of every model at every lead",
        f"{', '.join(f'{name}.nc' for name in fits)}": "posterior trees (assim forecast goes on from them)",
        "*_forecast.nc": f"forecasts; pool is of {' and '.join(POOLED)}, in equal parts",
        "truth.nc": f"the record; the last {HELD_OUT} were held out",
    }
    for name, what in kinds.items():
        say(f"  {name}: {what}")


def _contestants(leads: int, quick: bool) -> dict[str, tuple[Any, Any]]:
    """The forecasters and those they have to beat, each with its method."""
    from assim import models
    from assim.inference import Ascent, Exact, GaussNewton, Laplace, Prior

    search = Ascent(num_steps=500, batch_size=None, polish=200)
    if quick:
        search = Ascent(num_steps=20)
    method = Laplace(GaussNewton(), ascent=search, num_draws=500)
    autoregressive = models.Autoregressive(
        lags=(1, 3, 12),
        hidden=(),
        calendar=(),
        noise=models.StudentT(varying=False),
        mask_rate=0.0,
    )
    found: dict[str, tuple[Any, Any]] = {
        "departures": (models.Departures(horizon=leads), Exact(num_draws=500)),
        "autoregressive": (autoregressive, method),
        "persistence": (models.Persistence(horizon=leads), method),
    }
    if quick:
        return found | {"persistence": (found["persistence"][0], Prior(20))}
    return found | {"climatology": (models.Climatology(), method), "var": (models.VAR(), method)}


def _write(result: xr.DataTree | xr.Dataset, path: Path) -> None:
    with written(path) as unfinished:
        save(result, unfinished)
