"""Plots of alarms shade what was right and what was false, where it was."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.dates import num2date

from assim import plotting, scoring
from tests.scoring.test_alarms import CALLS, SECOND, START, TRUTH, foretold, record


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def spans(ax) -> dict[str, list[tuple[float, float]]]:
    """Seconds from the start at which each shade begins and ends, by the legend."""
    found: dict[str, list[tuple[float, float]]] = {}
    for patch in ax.patches:
        x = patch.get_x(), patch.get_x() + patch.get_width()
        ends = tuple(
            round((np.datetime64(num2date(at).replace(tzinfo=None)) - START) / SECOND, 3)
            for at in x
        )
        found.setdefault(patch.get_label(), []).append(ends)
    return found


def test_alarms_are_shaded_by_what_came_of_them():
    ax = plotting.plot_alarms(foretold([0] * 12, CALLS), record([0] * 12, TRUTH), 0.5, place="r1")
    assert spans(ax) == {
        "p above 1 Pa": [(4, 5)],
        "alarm before an onset": [(2, 4)],
        "false alarm": [(7, 9)],
        "alarm, not judged": [(11, 12)],
    }
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_allclose(lines["probability"].get_ydata(), np.array(CALLS) / 10)
    assert set(lines) == {"onset", "probability", "level 0.5"}
    assert ax.get_ylabel() == "probability within 3s" and ax.get_title() == "run r1"


def test_lead_times_stand_against_false_alarms():
    truth = record(TRUTH, TRUTH)
    told = scoring.alarms(foretold(CALLS, [0] * 12), truth, [0.95, 0.5])
    ax = plotting.plot_lead_times({"one": told, "two": told})
    rate, lead = ax.lines[0].get_data()
    np.testing.assert_allclose(rate, [0, 3600 / 14])
    np.testing.assert_allclose(lead, [0, 1])  # of 2 s and a miss
    assert ax.get_xlabel() == "false alarms per hour (1/h)"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["one", "two"]
