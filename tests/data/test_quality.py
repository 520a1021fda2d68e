"""Flags of every scheme: what becomes NaN, what is counted, what is said."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from assim.data.flags import grade
from assim.data.quality import flags_of, screen

N = 10


def _file(
    flag: np.ndarray, of_file: dict | None = None, name: str = "x_qc", **attrs: object
) -> xr.Dataset:
    """Readings 0, 1, 2, ... called x, with one flag variable."""
    return xr.Dataset(
        {
            "x": ("time", np.arange(float(len(flag))), {"units": "K"}),
            name: ("time", flag, attrs),
        },
        coords={"time": np.arange(len(flag))},
        attrs=of_file or {},
    )


def _missing(raw: xr.Dataset, qc: object = "bad", name: str = "x") -> list[int]:
    out = screen(raw[[name]], raw, qc)
    assert list(out.data_vars) == [name]
    return np.flatnonzero(np.isnan(out[name].values)).tolist()


IMOS = (
    "No_QC_performed Good_data Probably_good_data Bad_data_that_are_potentially_correctable Bad_data "
    "Value_changed Not_used Not_used Interpolated_value Missing_value"
)
ARGO = (
    "no_qc_performed good_data probably_good_data probably_bad_data bad_data value_changed not_used "
    "not_used estimated_value missing_value"
)


@pytest.mark.parametrize("meanings", [IMOS, ARGO, IMOS.replace(" ", ", ")])
def test_tables_of_imos_argo_and_oceansites_keep_1_2_5_8_and_say_0(meanings: str) -> None:
    raw = _file(
        np.arange(N, dtype="i1"), flag_values=np.arange(N, dtype="i1"), flag_meanings=meanings
    )
    assert _missing(raw) == [3, 4, 9]
    out = screen(raw[["x"]], raw)
    assert out["x"].attrs["n_bad"] == 3
    assert out["x"].attrs["n_suspect"] == 0
    assert (
        "3 of 10 readings of 'x' are flagged bad and count as missing (qc='bad')."
        in out.attrs["repairs"]
    )
    assert "1 of 10 readings of 'x' had no quality control and are kept." in out.attrs["repairs"]


@pytest.mark.parametrize(
    "values", ["0, 1, 2, 3, 4, 5, 6, 7, 8, 9", "0b 1b 2b 3b 4b 5b 6b 7b 8b 9b"]
)
def test_flag_values_may_be_written_as_text(values: str) -> None:
    raw = _file(np.arange(N, dtype="i1"), flag_values=values, flag_meanings=IMOS)
    assert _missing(raw) == [3, 4, 9]


@pytest.mark.parametrize(
    ("qc", "gone"),
    [
        ("bad", [3, 4]),
        ("suspect", [2, 3, 4]),
        ("none", []),
        ({"x": "suspect"}, [2, 3, 4]),
        ({}, [3, 4]),
    ],
)
def test_qartod_drops_what_was_asked_for_and_counts_all_the_same(
    qc: object, gone: list[int]
) -> None:
    raw = _file(
        np.array([1, 2, 3, 4, 9], "u1"),
        flag_values=np.array([1, 2, 3, 4, 9], "u1"),
        flag_meanings="PASS NOT_EVALUATED SUSPECT FAIL MISSING",
    )
    assert _missing(raw, qc) == gone
    out = screen(raw[["x"]], raw, qc)
    assert (out["x"].attrs["n_bad"], out["x"].attrs["n_suspect"]) == (2, 1)


def test_qartod_by_name_alone() -> None:
    raw = _file(np.array([1, 2, 3, 4, 9], "u1"), long_name="QARTOD aggregate", name="x_qc_agg")
    assert _missing(raw) == [3, 4]
    assert _missing(raw, "suspect") == [2, 3, 4]


def test_masks_are_read_bit_by_bit() -> None:
    raw = _file(
        np.array([0, 1, 2, 4, 5, 6], "i4"),
        flag_masks=np.array([1, 2, 4], "i4"),
        flag_meanings="sensor_failed spike_suspected calibration_passed",
    )
    assert _missing(raw) == [1, 4]
    assert _missing(raw, "suspect") == [1, 2, 4, 5]


def test_masks_with_values_are_enumerations_inside_a_word() -> None:
    raw = _file(
        np.array([0, 1, 2, 3, 4, 6, 7], "i4"),
        flag_masks=np.array([3, 3, 3, 4], "i4"),
        flag_values=np.array([1, 2, 3, 4], "i4"),
        flag_meanings="good suspect bad heater_on",
    )
    assert _missing(raw) == [3, 6]
    assert _missing(raw, "suspect") == [2, 3, 5, 6]


ARM = {
    "bit_1_description": "Value is equal to missing_value.",
    "bit_1_assessment": "Bad",
    "bit_2_description": "Value is less than the valid_min.",
    "bit_2_assessment": "Bad",
    "bit_4_description": "Difference exceeds valid_delta.",
    "bit_4_assessment": "Indeterminate",
}
WORDS = np.array([0, 1, 2, 8, 10, 4, -9999], "i4")


def test_arm_bits_on_the_flag() -> None:
    raw = _file(WORDS, name="qc_x", **ARM)
    assert _missing(raw) == [1, 2, 4]
    assert _missing(raw, "suspect") == [1, 2, 3, 4]


def test_arm_bits_in_the_global_attributes() -> None:
    raw = _file(WORDS, {f"qc_{k}": v for k, v in ARM.items()}, name="qc_x")
    assert _missing(raw) == [1, 2, 4]
    assert _missing(raw, "suspect") == [1, 2, 3, 4]


def test_arm_bits_without_an_assessment_go_by_their_description() -> None:
    described = {k: v for k, v in ARM.items() if "description" in k}
    assert _missing(_file(WORDS, name="qc_x", **described), "suspect") == [1, 2, 3, 4]
    assert _missing(_file(WORDS, name="qc_x", **described)) == [1, 2, 4]


def test_arm_integers() -> None:
    raw = _file(
        np.array([1, 4, 9, -9999], "i4"),
        name="qc_x",
        flag_1_assessment="Acceptable",
        flag_4_assessment="Indeterminate",
        flag_9_assessment="Bad",
    )
    assert _missing(raw) == [2]
    assert _missing(raw, "suspect") == [1, 2]


def test_arm_mentor_words_have_one_global_explanation() -> None:
    raw = _file(np.array([0, 1, 2, 4, 8], "i4"), {"qc_method": "Standard Mentor QC"}, name="qc_x")
    assert _missing(raw) == [1, 2, 3]
    assert _missing(raw, "suspect") == [1, 2, 3, 4]


@pytest.mark.parametrize("blank", [b" ", b""])
def test_argo_digits_are_characters(blank: bytes) -> None:
    raw = _file(np.array([b"0", b"1", b"2", b"3", b"4", b"5", b"8", blank]), name="X_QC")
    assert _missing(raw) == [3, 4, 7]


def test_ooi_pairs_name_what_ran_and_what_passed() -> None:
    raw = _file(np.array([7, 7, 0, 3], "u1"), name="x_qc_executed")
    raw["x_qc_results"] = ("time", np.array([7, 5, 0, 3], "u1"))
    assert _missing(raw) == [1]
    whole = screen(raw, raw)
    assert list(whole.data_vars) == ["x"]


def test_flags_without_a_scheme_mask_nothing_and_say_so() -> None:
    raw = _file(np.arange(4, dtype="i1"))
    out = screen(raw, raw)
    assert list(out.data_vars) == ["x"]
    assert np.isfinite(out["x"]).all()
    assert "x_qc follow no scheme that can be read" in out.attrs["repairs"]


def test_modes_of_an_instrument_are_no_verdict_on_a_reading() -> None:
    raw = _file(
        np.array([0, 1], "i1"),
        name="x_flag",
        flag_values=np.array([0, 1], "i1"),
        flag_meanings="calculated default",
    )
    assert _missing(raw) == []


@pytest.mark.parametrize(
    "name", ["x_quality_control", "x_qc", "qc_x", "X_QC", "flag_x", "x_qartod_results", "x_flag"]
)
def test_links_by_name(name: str) -> None:
    raw = _file(
        np.arange(3, dtype="i1"), name=name, flag_values=[0, 1, 2], flag_meanings="ok bad suspect"
    )
    assert flags_of(raw, "x") == [name]
    assert _missing(raw) == [1]


def test_ancillary_variables_come_before_names_and_several_add_up() -> None:
    told = {"flag_values": [0, 1, 2], "flag_meanings": "ok bad suspect"}
    raw = _file(np.array([0, 1, 0, 0]), **told)
    raw["other"] = ("time", np.array([1, 0, 0, 2]), told)
    raw["more"] = ("time", np.array([0, 0, 2, 1]), told)
    raw["x_sd"] = ("time", np.ones(4))
    raw["x"].attrs["ancillary_variables"] = "other more x_sd"
    out = screen(raw[["x", "x_sd"]], raw)
    assert np.flatnonzero(np.isnan(out["x"])).tolist() == [0, 3]
    assert (out["x"].attrs["n_bad"], out["x"].attrs["n_suspect"]) == (2, 1)
    assert out["x"].attrs["ancillary_variables"] == "x_sd"


def test_no_row_is_dropped_because_another_variable_is_flagged() -> None:
    raw = _file(np.array([1, 1, 1]), flag_values=[0, 1], flag_meanings="ok bad")
    raw["y"] = ("time", np.arange(3.0))
    out = screen(raw[["x", "y"]], raw)
    assert np.isnan(out["x"]).all()
    np.testing.assert_array_equal(out["y"], [0, 1, 2])
    assert out["y"].attrs["n_bad"] == 0


def test_flags_spread_over_further_dimensions_of_the_reading() -> None:
    raw = xr.Dataset(
        {
            "x": (("depth", "time"), np.ones((2, 3), "f4")),
            "x_qc": ("time", [0, 1, 0], {"flag_values": [0, 1], "flag_meanings": "ok bad"}),
        }
    )
    out = screen(raw[["x"]], raw)
    assert out["x"].dims == ("depth", "time")
    assert out["x"].dtype == np.float32
    np.testing.assert_array_equal(np.isnan(out["x"]), [[False, True, False]] * 2)
    assert out["x"].attrs["n_bad"] == 2


def test_flags_of_another_shape_are_not_read() -> None:
    raw = xr.Dataset(
        {
            "x": ("time", np.ones(3)),
            "x_qc": (
                ("depth", "time"),
                np.ones((2, 3)),
                {"flag_values": [0, 1], "flag_meanings": "ok bad"},
            ),
        }
    )
    out = screen(raw[["x"]], raw)
    assert np.isfinite(out["x"]).all()
    assert "nothing was masked" in out.attrs["repairs"]


def test_readings_that_the_file_lacks_are_not_counted_again() -> None:
    raw = _file(np.array([4, 4, 1]), flag_values=np.arange(N), flag_meanings=IMOS)
    raw["x"].attrs["_FillValue"] = 0.0
    ds = raw[["x"]].where(raw["x"] != 0)
    assert screen(ds, raw)["x"].attrs["n_bad"] == 1


def test_the_decoded_clock_need_not_be_the_stored_one() -> None:
    raw = _file(np.array([1, 4, 1]), flag_values=np.arange(N), flag_meanings=IMOS)
    ds = raw[["x"]].assign_coords(
        time=np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "M8[ns]")
    )
    out = screen(ds, raw)
    assert np.flatnonzero(np.isnan(out["x"])).tolist() == [1]
    assert out.sizes["time"] == 3
    assert out["time"].dtype == "datetime64[ns]"


def test_flags_that_were_decoded_to_floats_are_read() -> None:
    raw = _file(np.array([1.0, 4.0, np.nan]), flag_values=np.arange(N), flag_meanings=IMOS)
    assert _missing(raw) == [1]


@pytest.mark.parametrize("name", ["int", "char"])
def test_lazy_input_stays_lazy(name: str) -> None:
    pytest.importorskip("dask.array")
    flags = np.array([1, 4, 2, 9], "i1") if name == "int" else np.array([b"1", b"4", b"2", b" "])
    attrs = {"flag_values": np.arange(N), "flag_meanings": IMOS} if name == "int" else {}
    raw = _file(flags, **attrs).chunk(time=2)
    out = screen(raw[["x"]], raw)
    assert out["x"].chunks == ((2, 2),)
    assert "n_bad" not in out["x"].attrs
    assert np.flatnonzero(np.isnan(out["x"].compute())).tolist() == [1, 3]
    assert "become missing when read" in out.attrs["repairs"]


def test_a_flag_that_was_asked_for_as_a_reading_stays() -> None:
    raw = _file(np.array([1, 4]), flag_values=np.arange(N), flag_meanings=IMOS)
    out = screen(raw.assign(x_qc=raw["x_qc"].astype(float)), raw)
    assert list(out.data_vars) == ["x", "x_qc"]
    np.testing.assert_array_equal(out["x_qc"], [1, 4])


def test_earlier_repairs_stay() -> None:
    raw = _file(np.array([1, 4]), flag_values=np.arange(N), flag_meanings=IMOS)
    out = screen(raw[["x"]].assign_attrs(repairs="The clock was sorted."), raw)
    assert out.attrs["repairs"].splitlines()[0] == "The clock was sorted."
    assert len(out.attrs["repairs"].splitlines()) == 2


@pytest.mark.parametrize("qc", ["drop", {"x": "drop"}, 3, None])
def test_other_choices_are_refused(qc: object) -> None:
    raw = _file(np.array([1, 4]))
    with pytest.raises(ValueError, match="'bad', 'suspect', 'none'"):
        screen(raw[["x"]], raw, qc)


def test_a_choice_for_a_variable_that_is_not_there_is_refused() -> None:
    raw = _file(np.array([1, 4]))
    with pytest.raises(ValueError, match="qc names 'z'"):
        screen(raw[["x"]], raw, {"z": "none"})


@pytest.mark.parametrize(
    ("meaning", "expected"),
    [
        ("probably_good", "good"),
        ("probably_bad", "bad"),
        ("not_evaluated", "unchecked"),
        ("No_QC_performed", "unchecked"),
        ("unknown", "unchecked"),
        ("not_used", ""),
        ("not_good", "bad"),
        ("not_failed", "good"),
        ("suspect_or_of_high_interest", "suspect"),
        ("fluxes_should_be_discarded", "bad"),
        ("best_quality_fluxes", "good"),
        ("Indeterminate", "suspect"),
        ("interpolated_value", "good"),
        ("value is greater than valid_max", "bad"),
    ],
)
def test_words_decide(meaning: str, expected: str) -> None:
    assert grade(meaning) == expected


def _stored(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, engine="netcdf4", mask_and_scale=False, decode_times=False) as ds:
        return ds.load()


def test_night_values_of_a_real_arm_radiometer(shared_data: Path) -> None:
    raw = _stored(shared_data / "met_arm" / "sgpsirsE13.b1.20190101.000000.cdf")
    out = screen(raw, raw)
    missing = np.isnan(out["down_short_hemisp"].values)
    np.testing.assert_array_equal(missing, raw["qc_down_short_hemisp"].values != 0)
    assert missing.sum() == 656
    assert (
        "656 of 1440 readings of 'down_short_hemisp' are flagged bad and count as missing (qc='bad')."
        in out.attrs["repairs"].splitlines()
    )
    assert not [n for n in out.data_vars if str(n).startswith("qc_")]


def test_salinity_of_a_real_imos_mooring(shared_data: Path) -> None:
    (path,) = (shared_data / "mooring_imos").glob("*BCKOSTUZ*1812-WQM*")
    raw = _stored(path)
    out = screen(raw, raw)
    expected = np.isin(raw["PSAL_quality_control"].values, [3, 4, 9])
    np.testing.assert_array_equal(np.isnan(out["PSAL"].values), expected)
    assert out["PSAL"].attrs["n_bad"] == expected.sum() > 9000
    assert np.isfinite(out["TEMP"]).mean() > 0.9


def test_characters_of_a_real_argo_float(shared_data: Path) -> None:
    raw = _stored(shared_data / "argo" / "2902746_Sprof.nc")
    assert raw["PSAL_QC"].dtype.kind == "S"
    out = screen(raw[["PSAL", "DOXY"]], raw)
    digits = np.char.decode(raw["PSAL_QC"].values.astype("S1"))
    np.testing.assert_array_equal(
        np.isnan(out["PSAL"].values), np.isin(digits, ["3", "4", "9", "", " "])
    )


@pytest.mark.parametrize(
    ("path", "name", "flag"),
    [
        ("met_arm/bnfmetM1.b1.20250619.000000.cdf", "logger_volt", "qc_logger_volt"),
        ("flux_arm/sgpecorsfE39.b1.20230601.000000.nc", "co2_flux", "qc_co2_flux"),
        ("sonde_arm/bnfsondewnpnM1.b1.20250619.053000.cdf", "pres", "qc_pres"),
    ],
)
def test_each_real_arm_variable_is_linked(
    shared_data: Path, path: str, name: str, flag: str
) -> None:
    raw = _stored(shared_data / path)
    assert flag in flags_of(raw, name)
    out = screen(raw[[name]], raw)
    assert "follow no scheme" not in out.attrs.get("repairs", "")
