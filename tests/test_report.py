"""The report: one HTML file that needs nothing else, or nothing at all."""

import base64
import html.parser
import re

import numpy as np
import pytest
import xarray as xr

from assim.cli import kinds
from assim.comparing import compare
from assim.report import report
from assim.report.collecting import collect, kind_of, lacking
from assim.report.convergence import COLUMNS, convergence
from assim.report.pages import figure, page, table
from assim.report.provenance import short_name
from assim.verifying_assimilation import verify_assimilation
from tests.synthetic import make_forecast, make_posterior, make_truth
from tests.synthetic_assimilation import make_assimilation, make_scalars, without_members

CHANNELS = ("temperature", "direction")


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    return make_truth(hours=80)


@pytest.fixture(scope="module")
def forecasts(truth) -> dict[str, xr.DataTree]:
    return {
        "ar forecast": make_forecast(truth, channels=CHANNELS),
        "persistence": make_forecast(truth, 3, scale=2.0, channels=CHANNELS),
    }


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, truth, forecasts):
    folder = tmp_path_factory.mktemp("winter <run>")
    posterior = make_posterior()
    posterior.attrs["advice"] = "The loss was still falling: raise num_steps & fit again."
    posterior.to_netcdf(folder / "ar.nc", engine="h5netcdf")
    for name, tree in forecasts.items():
        tree.to_netcdf(folder / f"{name}.nc", engine="h5netcdf")
    compare(forecasts, truth).to_netcdf(folder / "scores.nc", engine="h5netcdf")
    truth.to_netcdf(folder / "truth.nc", engine="h5netcdf")
    return folder


@pytest.fixture(scope="module")
def written(run_dir, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("out") / "report.html"
    assert report(run_dir, path) == path
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


class Outline(html.parser.HTMLParser):
    """Collects headings and checks that every tag is closed."""

    void = {"meta", "img", "br", "!doctype"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.headings: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.links += [value for key, value in attrs if key in ("src", "href")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)


def test_page_is_whole_and_needs_nothing_else(written):
    outline = Outline()
    outline.feed(written)
    assert outline.open == []
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in outline.links)
    assert "http" not in re.sub(r'base64,[^"]*', "", written)
    assert outline.headings[0].startswith("winter <run>")
    assert outline.headings[1:] == [
        "Summary",
        "Scores",
        "Calibration",
        "Ranking by log score",
        "Forecasts",
        "Convergence",
        "Provenance",
    ]


def test_figures_are_images(written):
    images = re.findall(r'base64,([^"]*)"', written)
    assert len(images) == 2 + 2 + 2 + 1
    assert all(base64.b64decode(image).startswith(b"\x89PNG") for image in images)


def test_everything_from_files_is_escaped(written):
    assert "winter &lt;run&gt;" in written and "<run>" not in written
    assert "raise num_steps &amp; fit again" in written


def test_scores_provenance_and_advice_are_there(written, run_dir):
    with xr.open_dataset(run_dir / "scores.nc", engine="h5netcdf") as scores:
        crps = float(scores["crps"].sel(model="ar forecast", variable="temperature")[0])
    assert f"{crps:.3f}</td>" in written
    assert "skill against" in written and "Autoregressive(lags = 4)" in written
    for fact in ("abc123", "SVI(num_steps = 100)", "jax = 0.12", "2020-01-01T00:00:00Z"):
        assert fact in written


def test_objects_by_name_serve_as_well(truth, forecasts, tmp_path):
    path = report(
        {"ar": make_posterior(chains=1), **forecasts, "truth": truth}, tmp_path / "r.html"
    )
    text = path.read_text(encoding="utf-8")
    assert "CRPS skill" in text  # scored here, since no table was given
    assert 'class="fine">Every fit converged, by the checks in this table.' in text


def test_fits_alone_make_a_report(tmp_path):
    text = report({"ar": make_posterior()}, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Convergence" in text and ">Scores<" not in text and ">Calibration<" not in text


def test_what_cannot_be_read_is_left_out_and_said(tmp_path):
    make_posterior().to_netcdf(tmp_path / "ar.nc", engine="h5netcdf")
    (tmp_path / "broken.nc").write_bytes(b"CDF\x01 not really")
    make_truth(hours=4).to_netcdf(tmp_path / "flat.nc", engine="h5netcdf")
    held = collect(tmp_path)
    assert list(held.posteriors) == ["ar"]
    assert [sentence.split(" was")[0] for sentence in held.left_out] == ["broken.nc", "flat"]


def test_zarr_stores_and_folders_are_found(tmp_path, truth):
    (tmp_path / "forecasts").mkdir()
    tree = make_forecast(truth, members=(1, 3), channels=("temperature",))
    tree.to_zarr(tmp_path / "forecasts" / "ar.zarr", zarr_format=2, consolidated=True)
    assert list(collect(tmp_path).forecasts) == ["forecasts/ar"]


def test_nothing_to_report_is_one_sentence_and_no_file(tmp_path):
    out = tmp_path / "report.html"
    with pytest.raises(FileNotFoundError, match="no directory"):
        report(tmp_path / "absent", out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="nothing to report in"):
        report(tmp_path / "empty", out)
    with pytest.raises(ValueError, match="nothing to report in the objects given"):
        report({}, out)
    assert not out.exists()


def test_a_failed_report_leaves_the_old_one(tmp_path, monkeypatch):
    out = tmp_path / "report.html"
    out.write_text("the old one")
    monkeypatch.setattr("assim.report.page", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report({"ar": make_posterior()}, out)
    assert out.read_text() == "the old one"


def test_convergence_counts_what_went_wrong():
    tree = make_posterior(draws=100)
    tree["posterior"]["sd"][0] += 5.0  # a chain elsewhere
    rng = np.random.default_rng(0)
    draws = ("chain", "draw", "obs_id")
    steady = -1 + 0.01 * rng.normal(size=(2, 100, 20))
    cells = xr.Dataset({"y": (draws, steady)}, {"obs_id": np.arange(20)})
    tree["log_likelihood"] = xr.DataTree(cells)
    row, advice = convergence("ar", tree)
    named = dict(zip(COLUMNS, row, strict=True))
    assert named["worst r-hat"] > 1.5
    assert "The chains differ in their parameters (r-hat" in advice.pop()
    assert named["divergences"] == str(int(tree["sample_stats"]["diverging"].sum()))
    assert named["Pareto k > 0.7"] == "0 of 20" and np.isnan(named["k-hat of the guide"])
    assert named["last loss"] == pytest.approx(1.0, abs=0.01)
    assert advice == []
    wild = cells * rng.exponential(size=(2, 100, 1)) * 50
    tree["log_likelihood"] = xr.DataTree(wild)
    assert "Pareto k above 0.7" in convergence("ar", tree)[1][0]
    tree.attrs["r_hat_predictions_95"] = (
        1.01  # chains that differ in what cannot be told from predictions
    )
    assert len(convergence("ar", tree)[1]) == 1
    tree.attrs["k_hat"] = 0.9
    assert convergence("ar", tree)[0][COLUMNS.index("k-hat of the guide")] == 0.9


@pytest.mark.parametrize("likelihood", ["composite", "bound", None])
def test_what_is_no_likelihood_is_not_left_out_one_by_one(likelihood, monkeypatch):
    monkeypatch.setattr("arviz.loo", lambda *a, **k: pytest.fail("az.loo was asked"))
    tree = make_posterior(chains=1, draws=200)
    cells = np.random.default_rng(0).normal(size=(1, 200, 20))
    tree["log_likelihood"] = xr.DataTree(xr.Dataset({"y": (("chain", "draw", "obs_id"), cells)}))
    tree.attrs |= {"likelihood": likelihood}
    if likelihood is None:
        del tree.attrs["likelihood"]
    row, advice = convergence("ar", tree)
    assert dict(zip(COLUMNS, row, strict=True))["Pareto k > 0.7"] == "–" and advice == []


@pytest.mark.parametrize(
    ("scale", "kind", "words"),
    [(1.0, "fine", ""), (0.4, "advice", " (too narrow)"), (3.0, "advice", " (too wide)")],
)
def test_calibration_is_told_apart_from_convergence(truth, scale, kind, words, tmp_path):
    tree = make_forecast(truth, scale=scale, channels=("temperature",), members=(2, 200))
    held = float(compare({"ar": tree}, truth)["coverage"].sel(level=0.9).mean())
    results = {"fit": make_posterior(chains=1), "ar": tree, "truth": truth}
    text = report(results, tmp_path / "r.html").read_text(encoding="utf-8")
    said = f'<p class="{kind}">ar: the 90 % intervals hold {100 * held:.3g} % of temperature{words}'
    assert said in text
    assert ("does not count as calibrated" in text) is (kind == "advice")
    assert 'class="fine">Every fit converged' in text


def test_what_is_lacking_is_named_with_the_command_that_makes_it(tmp_path, truth):
    folder = tmp_path / "my run"
    folder.mkdir()
    make_posterior().to_netcdf(folder / "ar.nc", engine="h5netcdf")
    (said,) = lacking(collect(folder))
    assert said.endswith(f"assim forecast FIT FILE -o {folder}/forecast.nc.")
    tree = make_forecast(truth, channels=("temperature",))
    tree.to_netcdf(folder / "fc.nc", engine="h5netcdf")
    scores, readings = lacking(collect(folder))
    assert "scores.nc is lacking" in scores
    assert f"assim compare '{folder}/fc.nc' --truth FILE -o {folder}/scores.nc." in scores
    assert readings.endswith(f"(cp FILE {folder}/truth.nc).")
    assert "scores.nc is lacking" in report(folder, tmp_path / "r.html").read_text("utf-8")
    compare({"fc": tree}, truth).to_netcdf(folder / "scores.nc", engine="h5netcdf")
    assert lacking(collect(folder)) == (readings,)
    truth.to_netcdf(folder / "truth.nc", engine="h5netcdf")
    assert lacking(collect(folder)) == ()
    (folder / "scores.nc").unlink()  # they are then made here
    assert lacking(collect(folder)) == ()


def test_the_truth_of_a_run_is_read_as_any_record(tmp_path, truth):
    make_forecast(truth, channels=("temperature",)).to_netcdf(tmp_path / "fc.nc", engine="h5netcdf")
    flagged = truth[["temperature"]].rename(time="TIME")
    flagged["temperature_qc"] = ("TIME", np.where(np.arange(80) < 30, 4, 1).astype("int8"))
    flagged["temperature_qc"].attrs = {
        "standard_name": "quality_flag",
        "flag_values": np.array([1, 4], "int8"),
        "flag_meanings": "pass fail",
    }
    flagged["temperature"].attrs["ancillary_variables"] = "temperature_qc"
    flagged.to_netcdf(tmp_path / "truth.nc", engine="h5netcdf")
    held = collect(tmp_path).truth
    assert held is not None and int(held["temperature"].isnull().sum()) == 30


def test_a_finer_truth_is_put_on_the_clock_of_the_forecasts(tmp_path, truth):
    tree = make_forecast(truth, channels=("temperature",))
    half = truth[["temperature"]].isel(time=np.arange(1, 80).repeat(2))
    half["time"] = half["time"] - np.tile([30, 0], 79) * np.timedelta64(1, "m")
    swing = half["temperature"] + np.tile(
        [5.0, -5.0], 79
    )  # its hourly means are those of the truth
    held = collect({"ar": tree, "truth": swing.to_dataset()})
    hourly = held.truth["temperature"]
    np.testing.assert_allclose(hourly, truth["temperature"][1:], atol=1e-12)
    assert held.left_out == (
        "The truth was put on the clock of the forecasts: the mean of its readings in each 1h.",
    )
    coarse = make_forecast(truth, channels=("temperature",))
    coarse["predictions"] = coarse["predictions"].isel(lead_time=[1, 3]).to_dataset()
    mixed = collect({"ar": tree, "coarse": coarse, "truth": truth})
    assert mixed.truth is None and "ar 1h, coarse 2h" in mixed.left_out[0]


def test_one_chain_has_no_r_hat_and_no_sampler_statistics():
    tree = xr.DataTree.from_dict({"posterior": make_posterior(chains=1)["posterior"].to_dataset()})
    named = dict(zip(COLUMNS, convergence("ar", tree)[0], strict=True))
    assert np.isnan(named["worst r-hat"]) and named["divergences"] == "–"


def test_page_parts_escape_and_mark_the_best():
    assert "&lt;b&gt;" in page("<b>", "", [("x", "y"), ("gone", "")])
    assert "gone" not in page("t", "", [("gone", "")])
    rows = table(["m", "crps"], [["<a>", 0.5], ["b", 0.25], ["c", float("nan")]], best=1)
    assert rows.count('class="best"') == 1 and '<td class="best">0.250</td>' in rows
    assert "&lt;a&gt;" in rows and "<td>–</td>" in rows
    assert figure([], "none") == ""


def test_settings_have_a_short_name():
    assert short_name('{"type": "NUTS", "num": 3}') == "NUTS"
    assert short_name("plain words") == "plain words"
    assert short_name("") == short_name(None) == "–"


def test_assimilations_have_a_section(tmp_path):
    folder = tmp_path / "twin"
    folder.mkdir()
    tree, true = make_assimilation(times=80)
    tree.to_netcdf(folder / "analysis.nc", engine="h5netcdf")
    true.to_netcdf(folder / "truth.nc", engine="h5netcdf")
    held = collect(folder)
    assert list(held.assimilations) == ["analysis"] and lacking(held) == ()
    text = report(folder, tmp_path / "r.html").read_text(encoding="utf-8")
    outline = Outline()
    outline.feed(text)
    assert outline.headings[1:] == ["Summary", "Assimilation", "Provenance"]
    assert "ETKF(size = 20)" in text and "Lorenz96(size = 8)" in text
    checked = verify_assimilation(tree, true)
    assert f"<td>{float(checked['mean_square'][0]):.3f}</td>" in text
    low, high = checked["rmse_interval"].sel(variable="x", stage="analysis").values
    rmse = float(checked["rmse"].sel(variable="x", stage="analysis"))
    assert f"{rmse:.3g} [{low:.3g}, {high:.3g}]" in text
    assert 'class="fine">Nothing in this table is off' in text
    assert text.count("data:image/png") == 4  # the field, its energy, innovations, spread and ranks


def test_an_assimilation_without_truth_and_members_is_reported(tmp_path):
    tree, _ = make_scalars(times=80)
    text = report({"mast": without_members(tree)}, tmp_path / "r.html").read_text("utf-8")
    assert "temperature (degC)" in text and "assimilate with members=None" in text
    assert "<th>RMSE</th>" not in text
    assert text.count("data:image/png") == 2  # fans and innovations


def test_an_assimilation_that_is_wrong_is_advised(tmp_path):
    tree, true = make_assimilation(times=200, assumed_noise=0.4)
    text = report({"run": tree, "truth": true}, tmp_path / "r.html").read_text("utf-8")
    assert 'class="advice">Innovations of &#x27;x&#x27; are wider than the filter expects' in text
    assert "Nothing in this table is off" not in text


def test_readings_given_as_truth_judge_no_analysis(tmp_path):
    tree, _ = make_scalars(times=80)
    readings = tree["observed_data"].to_dataset()
    text = report({"mast": tree, "truth": readings}, tmp_path / "r.html").read_text("utf-8")
    assert "Nothing is judged by the truth" in text and "<th>RMSE</th>" not in text


def test_an_assimilation_of_no_readings_is_reported_too(tmp_path):
    tree, true = make_assimilation(times=40)
    tree["innovation"] = xr.DataTree(tree["innovation"].to_dataset().map(lambda v: v * np.nan))
    text = report({"run": tree, "truth": true}, tmp_path / "r.html").read_text("utf-8")
    assert text.count("was read at any time") == 2 and "data:image/png" in text


def test_a_reconstruction_is_judged_by_the_truth_alone(tmp_path):
    tree, true = make_assimilation(times=80)
    groups = {"smoothed": tree["analysis"].to_dataset()}
    groups["observed_data"] = tree["observed_data"].to_dataset()
    smoothed = xr.DataTree.from_dict(groups)
    assert kind_of(smoothed) == "a reconstruction"
    text = report({"run": smoothed, "truth": true}, tmp_path / "r.html").read_text("utf-8")
    assert "<td>smoothed</td>" in text and "<th>mean square</th>" not in text
    alone = report({"run": smoothed}, tmp_path / "s.html").read_text("utf-8")
    assert "<th>RMSE</th>" not in alone and alone.count("data:image/png") == 2


def test_an_assimilation_is_named_for_what_it_is(tmp_path):
    tree, _ = make_scalars(times=40)
    tree.to_netcdf(tmp_path / "an.nc", engine="h5netcdf")
    assert kind_of(tree) == "an assimilation"
    with pytest.raises(ValueError, match="is an assimilation, and a fit is wanted"):
        kinds.read(tmp_path / "an.nc", "a fit")
    assert "analysis" in kinds.read(tmp_path / "an.nc", "an assimilation").children
    with pytest.raises(ValueError, match="is an assimilation, and a record is wanted"):
        kinds.refuse_results([str(tmp_path / "an.nc")])
    make_posterior().to_netcdf(tmp_path / "ar.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match="give what assim assimilate wrote"):
        kinds.read(tmp_path / "ar.nc", "an assimilation")
