"""Who is to blame where several contradict each other, on toys whose truth is known."""

import numpy as np
import pytest

from assim.blaming import blamed

FAULT = 5.0


def group(members: tuple[int, ...], broken: tuple[int, ...], channels: int):
    """A judge of a group of equals: each is held against the mean of those of it that are not hidden."""
    value = np.zeros(channels)
    value[list(broken)] = FAULT

    def judged(hidden, at):
        told = np.full((1, at.sum(), channels), np.nan)
        for c in members:
            others = [o for o in members if o != c and not hidden[o]]
            if not hidden[c]:
                told[..., c] = abs(value[c] - np.mean(value[others])) if others else 0.3
        return told

    return judged


def both(*judges):
    def judged(hidden, at):
        told = [judge(hidden, at) for judge in judges]
        return np.where(np.isfinite(told[0]), told[0], told[1])

    return judged


def found(judged, channels: int, rows: int = 1):
    over = judged(np.zeros(channels, bool), np.ones(rows, bool))
    return np.flatnonzero(blamed(over, judged)[0, 0]).tolist()


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_the_one_without_which_the_rest_agree(broken):
    assert found(group((0, 1, 2), (broken,), 3), 3) == [broken]


def test_two_faults_among_five_are_both_found():
    assert found(group((0, 1, 2, 3, 4), (1, 3), 5), 5) == [1, 3]


def test_a_fault_elsewhere_does_not_keep_the_innocent_accused():
    judged = both(group((0, 1, 2), (1,), 6), group((3, 4, 5), (4,), 6))
    assert found(judged, 6) == [1, 4]


def test_of_two_alike_nobody_can_tell_which():
    assert found(group((0, 1), (1,), 2), 2) == [0, 1]


def test_nor_where_others_are_wrong_as_well():
    two = both(group((0, 1), (1,), 4), group((2, 3), (3,), 4))
    assert found(two, 4) == [0, 1, 2, 3]
    triad = both(group((0, 1, 2), (1,), 5), group((3, 4), (4,), 5))
    assert found(triad, 5) == [1, 3, 4]

    def beside(hidden, at):
        told = group((0, 1), (1,), 4)(hidden, at)
        told[..., 2] = np.nan if hidden[2] else 1.2
        return told

    assert found(beside, 4) == [0, 1, 2]


def test_what_is_known_to_be_broken_is_hidden_first():
    judged = group((0, 1, 2), (1,), 3)
    over = judged(np.zeros(3, bool), np.ones(1, bool))
    over[..., 1] = 0.9  # it hides well itself
    known = np.array([[[False, True, False]]])
    assert not blamed(over, judged, known).any()
    assert blamed(over, judged)[0, 0].tolist() == [True, False, True]


def test_what_is_beyond_all_bounds_ends():
    def judged(hidden, at):
        return np.full((1, at.sum(), 8), np.inf)

    over = np.full((1, 1, 8), 0.1)
    over[..., :3] = np.inf
    assert blamed(over, judged)[0, 0].tolist() == [True] * 3 + [False] * 5


def test_a_rig_of_which_most_contradict_is_left_as_it_is():
    def judged(hidden, at):
        raise AssertionError("nothing is to be tried")

    over = np.full((1, 4, 20), 2.0)
    over[..., :2] = 0.5
    np.testing.assert_array_equal(blamed(over, judged), over > 1)


def table(*without):
    """A judge of three sensors, of whom one at a time is hidden: rows of what is left without each."""

    def judged(hidden, at):
        gone = np.flatnonzero(hidden)
        return np.array([[without[gone[0]] if len(gone) == 1 else [0.0, 0.0, 0.0]]])

    return judged


def test_what_cannot_be_judged_excuses_nobody():
    judged = table([np.nan, np.nan, np.nan], [0.3, np.nan, 0.5], [2.0, 2.0, 0.0])
    over = np.array([[[2.0, 2.0, 0.5]]])
    assert blamed(over, judged)[0, 0].tolist() == [False, True, False]


@pytest.mark.parametrize(("left", "both_blamed"), [(1.05, True), (1.2, False), (5.0, False)])
def test_only_who_leaves_as_little_is_blamed_with_the_best(left, both_blamed):
    judged = table([0.0, 0.3, 0.5], [left, 0.0, 0.5], [50.0, 40.0, 0.0])
    over = np.array([[[50.0, 40.0, 0.5]]])
    assert blamed(over, judged)[0, 0].tolist() == [True, both_blamed, False]


@pytest.mark.parametrize(("suspects", "tried"), [(12, True), (13, False)])
def test_a_dozen_suspects_are_tried_and_no_more(suspects, tried):
    def judged(hidden, at):
        return np.where(hidden[0], 0.2, np.full((1, at.sum(), 20), 2.0))

    over = np.where(np.arange(20) < suspects, 2.0, 0.5)[None, None]
    assert blamed(over, judged).sum() == (1 if tried else suspects)


def test_a_single_suspect_and_a_healthy_rig_are_left_as_they_are():
    def judged(hidden, at):
        raise AssertionError("nothing is to be tried")

    over = np.array([[[0.5, 3.0, np.nan], [0.1, 0.2, 0.3]]])
    np.testing.assert_array_equal(
        blamed(over, judged), [[[False, True, False], [False, False, False]]]
    )


def test_each_row_and_run_is_judged_by_itself():
    truth = np.array([[1, 0, 2], [2, 1, 0]])  # (run, row): who is broken

    def judged(hidden, at):
        told = np.empty((2, at.sum(), 3))
        for run in range(2):
            for i, row in enumerate(np.flatnonzero(at)):
                told[run, i] = group((0, 1, 2), (truth[run, row],), 3)(hidden, np.ones(1, bool))[
                    0, 0
                ]
        return told

    over = judged(np.zeros(3, bool), np.ones(3, bool))
    np.testing.assert_array_equal(blamed(over, judged), np.arange(3) == truth[..., None])
