"""Scores against visibility, by hand and by a slow count of pairs."""

import numpy as np
import pytest

from cspn_tf.evaluation.calibration import measure_calibration


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    random = np.random.default_rng(2)
    scores, positive = random.integers(0, 6, 60) / 5, random.random(60) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    assert measure_calibration(scores, positive)["auroc"] == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize(
    "scores, positive, expected",
    [
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], 1.0),
        ([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0], 0.0),
        ([0.5, 0.5, 0.5], [1, 0, 1], 0.5),
        ([0.1, 0.9], [1, 1], None),
        ([], [], None),
    ],
)
def test_auroc_by_hand(scores, positive, expected):
    assert measure_calibration(scores, positive)["auroc"] == expected


def test_bins_by_hand():
    found = measure_calibration([0.05, 0.07, 0.95, 1.0, 0.55], [False, True, True, True, False])
    assert (found["num_positive"], found["num_negative"]) == (3, 2)
    assert [(b["low"], b["high"], b["count"]) for b in found["bins"]] == [(0.0, 0.1, 2), (0.5, 0.6, 1), (0.9, 1.0, 2)]
    assert [b["share_positive"] for b in found["bins"]] == [0.5, 0.0, 1.0]
    assert [b["mean_score"] for b in found["bins"]] == pytest.approx([0.06, 0.55, 0.975])
    assert found["calibration_error"] == pytest.approx((2 * 0.44 + 0.55 + 2 * 0.025) / 5)


def test_probabilities_that_are_right_are_calibrated():
    random = np.random.default_rng(0)
    scores = random.random(40000)
    assert measure_calibration(scores, random.random(40000) < scores)["calibration_error"] < 0.02
    assert measure_calibration(scores**3, random.random(40000) < scores)["calibration_error"] > 0.2


def test_error_by_chance_is_that_of_exact_probabilities():
    random = np.random.default_rng(5)
    scores = random.beta(3, 1, 100)
    drawn = [measure_calibration(scores, random.random(100) < scores) for _ in range(400)]
    expected = np.mean([found["calibration_error"] for found in drawn])
    assert expected > 0.03 and drawn[0]["calibration_error_by_chance"] == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("wild", [2.0, -0.5, 1.7e308])
def test_scores_that_are_no_probabilities_are_only_ranked(wild):
    found = measure_calibration([0.1, wild, 0.5], [False, True, True])
    assert found["auroc"] in (0.5, 1.0) and found["calibration_error"] is None and found["bins"] == []
    assert found["calibration_error_by_chance"] is None


def test_nothing_has_no_measure():
    found = measure_calibration([], [])
    assert found["auroc"] is None and found["calibration_error"] is None and found["bins"] == []
