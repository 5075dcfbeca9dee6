"""Measured against labelled lengths, by hand."""

import numpy as np
import pytest

from cspn_tf.evaluation.lengths import keypoint_sds, measure_lengths
from cspn_tf.evaluation.matching import Matched, match_photos
from cspn_tf.garment_set import Garments
from cspn_tf.result import Result

POINTS = np.array([[40, 10], [60, 10], [10, 50], [90, 50], [0, 0], [0, 0], [30, 110], [70, 110]], float)
BOX = [0.0, 10.0, 100.0, 110.0]


def photo(hem_error=0.0, hidden=(), found=True):
    """One upper-body garment whose right hem is predicted so many pixels too far to the right."""
    visibility = np.array([2, 2, 2, 2, 0, 0, 2, 2])
    label = Garments([1], [BOX], [POINTS], visibility=[visibility], variations=[0])
    points = POINTS.copy()
    points[7, 0] += hem_error
    scores = np.where(np.isin(np.arange(8), hidden), 0.1, 0.9)
    predicted = Garments([1], [BOX], [points], scores=[0.9], keypoint_scores=[scores])
    return label, Result(0, (120, 100), predicted if found else Garments([], [], []))


def matched(*photos):
    labels, results = zip(*photos, strict=True)
    return match_photos(list(labels), list(results))


def test_bias_and_limits_of_agreement_by_hand():
    found = measure_lengths(matched(photo(4), photo(0), photo(8), photo(0, found=False)))["upper-body"]
    errors = np.array([0.1, 0.0, 0.2])  # of a hem of 40 pixels
    assert found["hem_width"]["count"] == found["hem_width"]["num_labelled"] == 3
    assert found["hem_width"]["bias"] == pytest.approx(errors.mean())
    reach = 1.96 * errors.std()
    assert found["hem_width"]["limits"] == pytest.approx([errors.mean() - reach, errors.mean() + reach])
    assert found["hem_width"]["median_error"] == pytest.approx(0.1)
    assert found["collar_width"]["bias"] == 0 and found["collar_width"]["within_sd"] == 1.0
    assert found["hem_width"]["not_measurable"] == 0.0


def test_what_the_model_calls_hidden_is_not_measurable():
    found = measure_lengths(matched(photo(), photo(hidden=[7])))["upper-body"]
    assert (found["hem_width"]["count"], found["hem_width"]["num_labelled"]) == (1, 2)
    assert found["hem_width"]["not_measurable"] == 0.5
    assert found["collar_width"]["not_measurable"] == 0.0


def test_of_nothing_there_is_nothing():
    found = measure_lengths(matched(photo(found=False)))
    assert found["upper-body"]["hem_width"] == {
        **dict.fromkeys(("bias", "limits", "median_error", "within_sd", "not_measurable")),
        "count": 0,
        "num_labelled": 0,
    }
    assert found["full-body"]["waist_width"]["count"] == 0


def test_stated_deviations_are_those_of_the_errors():
    rng = np.random.default_rng(0)
    photos = [photo(error) for error in rng.normal(0, 3.0, 2000)]
    sds = keypoint_sds(matched(*photos))
    # The right hem moves along x alone: half of its errors are of size 0, and 3 px are 0.03 of the long side.
    errors = np.abs(rng.normal(0, 3.0, 2000)) / 100
    expected = np.percentile(np.concatenate([errors, np.zeros(2000)]), 68.27)
    assert sds["upper-body"][7] == pytest.approx(expected, rel=0.1)
    assert sds["upper-body"][:7] == [0.0] * 7 and sds["lower-body"] == [0.0] * 8


def test_a_garment_with_an_empty_box_has_no_error():
    label, result = photo(2.0)
    without_box = label.replace(boxes_xyxy=np.zeros((1, 4)))
    all_found = [np.array([0]), np.array([0])]
    sds = keypoint_sds(Matched([label, without_box], [result, result], all_found))
    assert sds["upper-body"][7] > 0 and sds == keypoint_sds(matched(photo(2.0)))
