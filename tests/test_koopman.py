"""The spectrum of a posterior: its formulas, what verifies a mode, and what cannot be read."""

from itertools import permutations

import numpy as np
import pytest
import xarray as xr

import assim
from assim import koopman
from assim.data.framing import Selection, frame_of
from assim.koopman.labelling import in_order, labelled
from assim.koopman.matching import matched
from assim.koopman.reading import Read, record_of, residual_of
from assim.models import FieldPersistence
from assim.tree import Fitted
from tests.synthetic_modes import (
    CHANNELS,
    RATE,
    READER,
    SCALE,
    SHAPE,
    STEP,
    GivenModes,
    make_modes,
    make_record,
    traces,
    tree_around,
)

MODEL = GivenModes()
FRAME = frame_of(make_record(40), Selection())
LAMBDA = np.exp(RATE * STEP)
ORDER = [0, 2, 1]
"""The real mode, and the pairs by frequency."""
DRAWS = 9
SPREAD = np.random.default_rng(1).normal(size=(DRAWS, 3)) * np.array([1e-4, 1e-4 + 1e-3j, 1e-3j])


def read(tree, ds=None, **settings):
    return koopman.spectrum(tree, ds, model=MODEL, **settings)


@pytest.fixture(scope="module")
def later():
    return make_record(40, first=40)


@pytest.fixture(scope="module")
def exact(later):
    return read(make_modes(DRAWS), later)


@pytest.fixture(scope="module")
def spread(later):
    return read(make_modes(DRAWS, RATE + SPREAD.imag * 1j + SPREAD.real), later, level=0.8)


def complex_of(parts):
    return (parts.sel(part="real") + 1j * parts.sel(part="imag")).values


class TestExactModes:
    def test_eigenvalues_are_those_of_the_record(self, exact):
        np.testing.assert_allclose(complex_of(exact["eigenvalue"]), LAMBDA[ORDER], rtol=1e-5)
        np.testing.assert_allclose(exact["growth_rate"], RATE.real[ORDER], rtol=1e-5)
        np.testing.assert_allclose(exact["frequency"], RATE.imag[ORDER] / (2 * np.pi), rtol=1e-5)
        np.testing.assert_allclose(exact["period"][1:], 2 * np.pi / RATE.imag[[2, 1]], rtol=1e-5)
        assert exact["period"][0] == np.inf

    def test_half_lives_are_infinite_where_nothing_is_damped(self, exact):
        half = [np.log(2) / 0.002, np.inf, np.log(2) / 0.001]
        np.testing.assert_allclose(exact["half_life"], half, rtol=1e-5)
        assert exact["half_life"].attrs["units"] == "s"

    def test_linear_data_leave_no_residual(self, exact):
        assert (exact["residual"] < 1e-5).all()
        assert koopman.table(exact)["status"].tolist() == ["verified"] * 3

    def test_energy_is_the_mean_square_of_what_a_mode_shows(self, exact):
        seen = make_record(41, first=39).to_dataarray().values / SCALE[:, None]
        level, east, north, up, down = (seen**2).mean(axis=1)
        by_mode = np.array([level, up + down, east + north])
        np.testing.assert_allclose(exact["energy"], by_mode / by_mode.sum(), rtol=1e-4)

    def test_amplitude_is_in_file_units(self, exact, later):
        envelope = np.hypot(later["up"], later["down"])
        shown = exact["amplitude"].isel(mode=1)
        np.testing.assert_allclose(shown.sel(variable="up"), envelope.mean(), rtol=1e-4)
        np.testing.assert_allclose(shown.sel(variable=["level", "east"]), 0.0, atol=1e-6)
        assert shown["units"].values.tolist() == ["m"] * 5

    def test_phase_is_counted_from_the_variable_shown_most(self, exact):
        phase = exact["phase"].isel(mode=2).sel(variable=["east", "north"]).values
        assert abs(phase[1] - phase[0]) == pytest.approx(np.pi / 2, abs=1e-5)
        assert min(abs(phase)) == pytest.approx(0.0, abs=1e-5)

    def test_it_says_what_it_was_made_of(self, exact):
        assert exact.attrs == {
            "time_step": STEP,
            "aliasing_limit": 0.05,
            "level": 0.9,
            "tolerance": 0.1,
            "draws": DRAWS,
            "pairs": 40,
            "record": "2020-01-01T00:06:30 to 2020-01-01T00:13:10",
        }


class TestDraws:
    def test_intervals_are_quantiles_over_draws(self, spread):
        growth, turns = SPREAD.real + RATE.real, (SPREAD.imag + RATE.imag) / (2 * np.pi)
        for name, values in (("growth_rate", growth), ("frequency", turns)):
            low, middle, high = np.quantile(values, [0.1, 0.5, 0.9], axis=0)[:, ORDER]
            np.testing.assert_allclose(spread[name], middle, rtol=1e-4, atol=1e-8)
            ends = spread[f"{name}_interval"]
            np.testing.assert_allclose(ends.sel(bound="lower"), low, rtol=1e-4, atol=1e-8)
            np.testing.assert_allclose(ends.sel(bound="upper"), high, rtol=1e-4, atol=1e-8)

    def test_the_bounds_of_period_and_half_life_are_those_of_rate_and_frequency(self, spread):
        turning = spread.isel(mode=2)
        period, turns = turning["period_interval"].values, turning["frequency_interval"].values
        np.testing.assert_allclose(period, 1 / turns[::-1])
        half, growth = turning["half_life_interval"].values, turning["growth_rate_interval"].values
        assert (growth < 0).all()
        np.testing.assert_allclose(half, -np.log(2) / growth)
        assert half[0] < half[1] and period[0] < period[1]

    def test_the_residual_is_how_far_an_eigenvalue_is_off(self, spread):
        drawn = np.exp((RATE + SPREAD.real + 1j * SPREAD.imag) * STEP)
        apart = np.median(np.abs(drawn - LAMBDA), axis=0)[ORDER]
        np.testing.assert_allclose(spread["residual"], apart, rtol=1e-3)
        np.testing.assert_allclose(
            complex_of(spread["eigenvalue_draws"]), drawn[:, ORDER], rtol=1e-5
        )

    def test_modes_in_another_order_are_put_in_correspondence(self, spread, later):
        orders = np.array([np.random.default_rng(d).permutation(3) for d in range(DRAWS)])
        rate = np.take_along_axis(RATE + SPREAD.imag * 1j + SPREAD.real, orders, axis=1)
        tree = make_modes(
            DRAWS, rate, shape=SHAPE[:, orders].transpose(1, 0, 2), reader=READER[orders]
        )
        xr.testing.assert_allclose(read(tree, later, level=0.8), spread, rtol=1e-4, atol=1e-6)

    def test_another_basis_tells_the_same(self, exact, later):
        turn = np.exp(2j * np.arange(DRAWS))[:, None, None] * np.array([3.0, 0.2j, 7.0])
        tree = make_modes(DRAWS, shape=SHAPE / turn, reader=READER * turn.transpose(0, 2, 1))
        told = read(tree, later)
        for name in ("energy", "amplitude", "amplitude_interval", "eigenvalue", "residual"):
            xr.testing.assert_allclose(told[name], exact[name], rtol=1e-4, atol=1e-5)
        shown = exact["amplitude"] > 0.1
        apart = np.exp(1j * (told["phase"] - exact["phase"])).where(shown, 1.0)
        np.testing.assert_allclose(apart, 1.0, atol=1e-4)

    def test_assignment_is_of_least_total_distance(self):
        rng = np.random.default_rng(2)
        drawn = rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4))
        orders = [list(p) for p in permutations(range(4))]

        def best(reference):
            cost = [[np.abs(one[p] - reference).sum() for p in orders] for one in drawn]
            return np.array([orders[i] for i in np.argmin(cost, axis=1)])

        first = np.take_along_axis(drawn, best(drawn[0]), axis=1)
        middle = np.median(first.real, axis=0) + 1j * np.median(first.imag, axis=0)
        np.testing.assert_array_equal(matched(drawn), best(middle))

    def test_a_mode_that_few_draws_have_is_not_told(self):
        rate = RATE + SPREAD.real + 1j * SPREAD.imag
        rate = np.concatenate(
            [np.full((DRAWS, 1), np.nan), rate, np.full((DRAWS, 1), -1.0)], axis=1
        )
        rate[2:, 4], rate[:3, 2] = np.nan, np.nan
        ones = np.where(np.isfinite(rate), 1.0, 0.0)
        shape = np.ones((DRAWS, len(CHANNELS), 5), complex)
        read = in_order(Read(rate, shape, 0.1 * ones, ones, 0.2 * ones), STEP)
        told = labelled(read, FRAME, 0.9)
        assert told.sizes["mode"] == 3
        np.testing.assert_allclose(told["held"], [1, 1, 1 - 3 / DRAWS])
        turns = np.median(rate[3:, 2].imag) / (2 * np.pi)
        np.testing.assert_allclose(told["frequency"][2], turns)
        np.testing.assert_allclose(told["floor"], 0.1)
        assert told["eigenvalue_draws"][:3, 2].isnull().all()
        assert told.drop_vars("eigenvalue_draws").notnull().all()
        with pytest.raises(ValueError, match="No mode is held by 50% of the 9 draws"):
            in_order(Read(np.nan * rate, shape, ones, ones, ones), STEP)

    def test_no_retrace_between_equal_calls(self, exact, later):
        before = len(traces)
        read(make_modes(DRAWS, RATE * 0.9), later)
        assert len(traces) == before
        with pytest.raises(ValueError, match="num_draws=0 leaves no draw"):
            read(make_modes(DRAWS), later, num_draws=0)


class TestVerified:
    def test_without_a_record_every_mode_says_that_it_is_unverified(self):
        told = read(make_modes(DRAWS))
        assert (told["verified"] == 0).all() and told["residual"].isnull().all()
        assert koopman.table(told)["status"].tolist() == ["unverified"] * 3
        assert told["energy"].notnull().all() and told.attrs["pairs"] == 0

    def test_a_residual_beyond_the_tolerance_refutes(self, later):
        wrong = RATE + np.array([0, 0, 0.02j])
        told = read(make_modes(DRAWS, wrong), later)
        assert told["verified"].values.tolist() == [1, 2, 1]
        assert told["verified"].attrs["flag_meanings"] == "unverified verified refuted"
        lenient = read(make_modes(DRAWS, wrong), later, tolerance=0.3)
        assert (lenient["verified"] == 1).all()

    @pytest.mark.parametrize(("short", "state"), [(0.09, 1), (0.11, 2)])
    def test_the_floor_is_taken_off_in_squares(self, short, state):
        noisy = make_record(40, first=40, noise=0.3)
        plain = read(make_modes(DRAWS), noisy)
        residual = plain["residual"].values
        assert (residual > 0.1).all() and (plain["verified"] == 2).all()
        floor = np.sqrt(residual**2 - short**2)[np.argsort(ORDER)]
        unit = read(make_modes(DRAWS, floor=np.ones(3)), noisy)["floor"].values[np.argsort(ORDER)]
        told = read(
            make_modes(DRAWS, floor=floor / unit), noisy
        )  # one over the size of a coordinate
        np.testing.assert_allclose(told["floor"], floor[ORDER], rtol=1e-5)
        assert (told["verified"] == state).all()

    def test_a_mode_that_the_record_never_shows_stays_unverified(self):
        apart = make_record(40, first=60)
        told = read(make_modes(DRAWS), apart.assign(level=0 * apart["level"]))
        assert told["verified"].values.tolist() == [0, 1, 1]

    def test_rows_of_the_training_do_not_count(self, exact):
        whole = make_record(80)
        whole["east"][5:35] += 100.0
        told = read(make_modes(DRAWS), whole)
        np.testing.assert_allclose(told["residual"], exact["residual"], atol=1e-5)
        assert told.attrs["pairs"] == 40
        seen = read(make_modes(DRAWS), whole, in_sample=True)
        assert seen["verified"].values[2] == 2 and seen.attrs["pairs"] > 70

    def test_rows_without_a_reading_make_no_pair(self):
        holed = make_record(40, first=60)
        holed = holed.map(lambda v: v.where(~v["time"].isin(v["time"][[10, 25]])))
        told = read(make_modes(DRAWS), holed)
        assert told.attrs["pairs"] == 39 - 4 and (told["residual"] < 1e-5).all()

    def test_rows_at_their_own_times_are_a_residual_apart_by_their_span(self):
        late = np.random.default_rng(4).uniform(0, 0.4, 40)
        late[20:] += 3.0
        own = make_record(40, first=60, late=late)
        model = GivenModes(own_times=True)
        told = koopman.spectrum(make_modes(DRAWS, own_times=True), own, model=model)
        near = np.abs(np.diff(late)) <= 1 / 3
        assert told.attrs["pairs"] == near.sum() < 38
        assert (told["residual"] < 1e-4).all()
        with pytest.raises(ValueError, match="has . pairs of windows"):
            koopman.pseudospectrum(make_modes(own_times=True), own, model=model)

    def test_a_record_that_was_trained_on_verifies_nothing(self):
        with pytest.raises(ValueError, match="has 0 pairs of windows .*in_sample=True"):
            read(make_modes(DRAWS), make_record(40))

    def test_a_residual_is_a_ratio_of_root_mean_squares(self):
        before, after = np.array([[1.0, 2j], [3.0, 0.0]]), np.array([[2.0, 2.0], [1.0, 1.0]])
        rate, dt = np.array([0.0, 0.05j * np.pi]), np.array([10.0, 10.0])
        told = residual_of(before, after, rate, dt)
        np.testing.assert_allclose(told, [(5 / 10) ** 0.5, (17 / 4) ** 0.5], rtol=1e-6)


class TestTold:
    def test_the_table_is_by_energy_and_goes_through_a_file(self, spread, tmp_path):
        table = koopman.table(spread)
        assert (np.diff(table["energy"]) <= 0).all() and table.columns[0] == "status"
        assert table.loc[1, "frequency_lower"] == spread["frequency_interval"][1, 0]
        spread.to_netcdf(tmp_path / "spectrum.nc")
        with xr.open_dataset(tmp_path / "spectrum.nc") as back:
            assert koopman.table(back).equals(table)

    def test_a_frequency_near_the_limit_is_warned_of_unless_it_is_refuted(self, later):
        rate = np.array([RATE[0], RATE[1], 0.96j * np.pi / STEP])
        fast = make_record(40, first=60, rate=rate)
        with pytest.warns(UserWarning, match="mode 2 lies within 5% of the aliasing limit of 0.05"):
            told = read(make_modes(DRAWS, rate), fast)
        assert told.attrs["aliasing_limit"] == 1 / (2 * STEP)
        assert read(make_modes(DRAWS, rate), later)["verified"][2] == 2

    def test_a_negative_eigenvalue_is_no_pair(self, exact, later):
        told = read(make_modes(DRAWS, [RATE[0] + 1j * np.pi / STEP, RATE[1], RATE[2]]), later)
        np.testing.assert_allclose(told["energy"][2], exact["energy"][0], rtol=1e-5)

    def test_a_growing_mode_never_halves(self, later):
        told = read(make_modes(DRAWS, RATE + 0.003), later)
        assert (told["half_life"] == np.inf).all() and (told["growth_rate"] > 0).all()

    def test_stations_have_amplitudes_of_their_own(self, exact):
        train = make_record(40, stations=("a", "b"))
        sites = {k: v.values for k, v in make_modes(DRAWS)["posterior"].data_vars.items()}
        tree = tree_around(MODEL, sites, train)
        told = read(tree, make_record(40, first=40, stations=("a", "b")))
        assert told.attrs["pairs"] == 80
        shown = told["amplitude"]
        np.testing.assert_allclose(shown.sel(station="b"), 2 * shown.sel(station="a"))
        np.testing.assert_allclose(shown.sel(station="a"), exact["amplitude"], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(told["residual"], 0.0, atol=1e-5)

    def test_what_is_not_scaled_linearly_stays_in_internal_units(self, exact, later):
        sites = {k: v.values for k, v in make_modes(DRAWS)["posterior"].data_vars.items()}
        tree = tree_around(MODEL, sites, make_record(40), powers=(1.0, 1.0, 1.0, 0.5, 1.0))
        told = read(tree, later)
        assert told["units"].values.tolist() == ["m", "m", "m", "1", "m"]
        assert "not linear: up" in told["amplitude"].attrs["comment"]
        up, down = (told["amplitude"].sel(variable=name) for name in ("up", "down"))
        np.testing.assert_allclose(up, down / SCALE[4], rtol=1e-5)
        level = told["amplitude"].sel(variable="level")
        np.testing.assert_allclose(level, exact["amplitude"].sel(variable="level"), rtol=1e-4)


class TestPseudospectrum:
    def test_it_is_the_distance_to_the_spectrum_where_modes_are_orthogonal(self):
        rate = np.array([0.0, 2j * np.pi / (8 * STEP), 2j * np.pi / (4 * STEP)])
        ds = make_record(41, first=60, rate=rate)
        tau = koopman.pseudospectrum(make_modes(2, rate), ds, model=MODEL, grid=13)
        z = tau["re"].values[:, None] + 1j * tau["im"].values
        at = np.exp(rate * STEP)
        apart = np.abs(z[..., None] - np.concatenate([at, at.conj()])).min(axis=-1)
        np.testing.assert_allclose(tau, apart, atol=1e-3)
        assert tau.attrs["pairs"] == 40 and tau.name == "pseudospectrum"

    def test_it_needs_a_record_and_a_square(self):
        with pytest.raises(ValueError, match="grid=1 makes no square"):
            koopman.pseudospectrum(make_modes(), make_record(40, first=40), model=MODEL, grid=1)
        with pytest.raises(ValueError, match="has 0 pairs"):
            koopman.pseudospectrum(make_modes(), make_record(40), model=MODEL)


class TestRefused:
    def test_a_model_without_a_spectrum(self, later):
        plain = GivenModes(spectral=False)
        tree = make_modes(DRAWS, spectral=False)
        for verb in (koopman.spectrum, koopman.pseudospectrum):
            with pytest.raises(
                TypeError,
                match="GivenModes has no spectrum: .*HankelDMD, EDMD, LinearKoopman and Koopman",
            ):
                verb(tree, later, model=plain)

    def test_a_model_without_windows(self):
        fitted = Fitted(FieldPersistence(), None, {}, {}, {}, None, None)
        with pytest.raises(TypeError, match="FieldPersistence has no spectrum"):
            record_of(fitted, {}, None, in_sample=False)

    @pytest.mark.parametrize("settings", [{"level": 1.0}, {"tolerance": 0.0}])
    def test_settings_that_are_none(self, settings):
        with pytest.raises(ValueError, match="a level lies between 0 and 1"):
            read(make_modes(), **settings)


def test_it_is_a_namespace_of_the_package():
    assert assim.koopman is koopman and set(koopman.__all__) == {
        "pseudospectrum",
        "spectrum",
        "table",
    }
