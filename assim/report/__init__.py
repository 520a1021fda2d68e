"""One self-contained HTML page about a run: scores, calibration, forecasts, assimilations, convergence, origin."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from assim.comparing import compare, elpds
from assim.data.atomic import replacing
from assim.report.assimilations import assimilations
from assim.report.collecting import Result, Run, collect, lacking
from assim.report.convergence import COLUMNS, convergence
from assim.report.fields import exponent_of
from assim.report.figures import calibration_figures, fans, score_figures, training_figure
from assim.report.pages import facts, heading, note, page, table
from assim.report.provenance import provenance
from assim.report.verdicts import covering, leading
from assim.verifying import lead_words

__all__ = ["report"]

CONVERGED = (
    "Every fit converged, by the checks in this table. Whether forecasts are calibrated is another question: "
    "see Calibration, or compare forecasts with what happened."
)


def report(
    run: str | Path | Mapping[str, Result] | Run,
    path: str | Path,
    *,
    lyapunov_time: str | None = None,
) -> Path:
    """Write a page about a run, with figures, tables, convergence and provenance inside.

    Args:
        run: a directory with fitted, forecast and assimilated trees (`*.nc`, `*.zarr`), `scores.nc` and, for
            observations in the plots, `truth.nc`; or such results by name, as in
            `{"ar": posterior, "ar forecast": forecast, "scores": scores, "truth": dataset}`;
            or what `collect` made of them.
        path: the HTML file; nothing is left there when something fails.
        lyapunov_time: the inverse of the largest Lyapunov exponent, such as "6h" or "1.5s", in which the leads of
            forecasts of fields are told and drawn.

    Returns:
        The path.

    Raises:
        FileNotFoundError: if there is no such directory.
        ValueError: if there is nothing to report, or the Lyapunov time is none.
        OSError: if the file cannot be written.
    """
    lyapunov = exponent_of(lyapunov_time)
    held = run if isinstance(run, Run) else collect(run)
    scores = held.scores
    if scores is None and held.truth is not None and held.forecasts:
        scores = compare(held.forecasts, held.truth)
    trees = held.posteriors | held.forecasts | held.assimilations
    calibration = ""
    if scores is not None:
        calibration = _coverage(scores) + calibration_figures(scores, held.forecasts, held.truth)
    sections = [
        ("Summary", _summary(held, scores)),
        ("Scores", _scores(scores)),
        ("Calibration", calibration),
        ("Ranking by log score", _ranking(held)),
        ("Forecasts", fans(held.forecasts, held.truth, _baseline(scores), lyapunov)),
        ("Assimilation", assimilations(held.assimilations, held.truth)),
        ("Convergence", _convergence(held)),
        ("Provenance", "".join(provenance(name, tree) for name, tree in trees.items())),
        ("Notes", "".join(note(line) for line in (*held.left_out, *lacking(held)))),
    ]
    now = datetime.datetime.now(datetime.UTC)
    document = page(held.name, f"assim report, {now:%Y-%m-%d %H:%M} UTC", sections)
    with replacing(Path(path)) as unfinished:
        Path(unfinished).write_text(document, encoding="utf-8")
    return Path(path)


def _summary(held: Run, scores: xr.Dataset | None) -> str:
    """Say in a few lines what there is and what came out."""
    rows: list[tuple[str, object]] = [
        ("fits", ", ".join(held.posteriors) or "none"),
        ("forecasts", ", ".join(held.forecasts) or "none"),
    ]
    if held.assimilations:
        rows.append(("assimilations", ", ".join(held.assimilations)))
    said = []
    if scores is not None:
        rows += [
            ("channels", ", ".join(map(str, scores["variable"].values))),
            ("leads", f"{_first_and_last(scores)}, {scores.sizes['lead_time']} of them"),
            ("cells scored", f"{int(scores['n'].sum())}, the same for every model"),
        ]
        if "baseline" in scores.attrs:
            rows.append(("skill against", scores.attrs["baseline"]))
        said = [line for line in str(scores.attrs.get("dropped", "")).splitlines() if line]
    return facts(rows) + "".join(note(sentence) for sentence in said)


def _scores(scores: xr.Dataset | None) -> str:
    """Tabulate and draw the scores, channel by channel."""
    if scores is None:
        return ""
    count = scores.sizes["lead_time"]
    leads = sorted({0, max(count // 4 - 1, 0), max(count // 2 - 1, 0), count - 1})
    ranked = "crps_skill" in scores and scores.sizes["model"] > 1
    body = note(leading(scores)) if ranked else ""
    for name in map(str, scores["variable"].values):
        units = str(scores["units"].sel(variable=name).item()) if "units" in scores.coords else ""
        body += heading(f"{name.replace('_', ' ')} ({units})" if units else name.replace("_", " "))
        body += score_figures(scores, name)
        body += "".join(_score_table(scores.sel(variable=name).isel(lead_time=at)) for at in leads)
    return body


def _score_table(at: xr.Dataset) -> str:
    """Tabulate one channel at one lead."""
    lead = lead_words(at["lead_time"].values.item() * np.timedelta64(1, "ns"))
    columns = [f"at {lead}", "CRPS", "RMSE", "bias", "log score", "spread/error"]
    columns += [f"in {100 * level:g} %" for level in at["level"].values]
    skilled = "crps_skill" in at
    columns += ["CRPS skill"] if skilled else []
    rows = []
    for model in at["model"].values:
        of = at.sel(model=model)
        names = ("crps", "rmse", "bias", "log_score", "spread_skill")
        row: list[object] = [str(model), *(float(of[key]) for key in names)]
        row += [f"{100 * float(share):.0f} %" for share in of["coverage"].values]
        if skilled:
            low, high = (float(of["crps_skill_interval"].sel(bound=b)) for b in ("lower", "upper"))
            row.append(f"{float(of['crps_skill']):.2f} [{low:.2f}, {high:.2f}]")
        rows.append(row)
    return table(columns, rows, best=1)


def _coverage(scores: xr.Dataset) -> str:
    """Say of every model what share of the truth its 90 % intervals hold, and warn where that is not about 90 %."""
    verdicts = (covering(scores, model) for model in map(str, scores["model"].values))
    return "".join(note(said, "fine" if sound else "advice") for said, sound in verdicts if said)


def _ranking(held: Run) -> str:
    """Rank the forecasts by ArviZ's expected log predictive density, where they have one."""
    if held.truth is None or len(held.forecasts) < 2:
        return ""
    import warnings

    import arviz as az

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ranked = az.compare(elpds(held.forecasts, held.truth), round_to="none")
    except ValueError as error:
        return note(error)
    names = ["rank", "elpd", "elpd_diff", "dse", "weight"]
    rows = [
        [str(model), int(row["rank"]), *(float(row[name]) for name in names[1:])]
        for model, row in ranked.iterrows()
    ]
    return table(["model", *names], rows) + note(
        "Expected log predictive density, summed over the scored cells. The errors take cells as "
        "independent and are too small; the interval of the skill above is the one to quote."
    )


def _convergence(held: Run) -> str:
    """Tabulate how the fits went, with advice and training curves."""
    if not held.posteriors:
        return ""
    results = {name: convergence(name, tree) for name, tree in held.posteriors.items()}
    body = table(COLUMNS, [row for row, _ in results.values()])
    for name, (_, advice) in results.items():
        body += "".join(note(f"{name}: {sentence}", "advice") for sentence in advice)
    if not any(advice for _, advice in results.values()):
        body += note(CONVERGED, "fine")
    return body + training_figure(held.posteriors)


def _baseline(scores: xr.Dataset | None) -> str | None:
    """Name the model that skill is measured against."""
    return None if scores is None else scores.attrs.get("baseline")


def _first_and_last(scores: xr.Dataset) -> str:
    """Say from where to where the leads reach."""
    leads = np.sort(scores["lead_time"].values)
    return f"{lead_words(leads[0])} to {lead_words(leads[-1])}"
