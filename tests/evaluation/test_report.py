"""The tables, of numbers made by hand."""

import numpy as np
import pytest

from cspn_tf.evaluation.bootstrap import Bootstrap
from cspn_tf.evaluation.keypoint_metrics import evaluate_keypoints
from cspn_tf.evaluation.matching import match_given_boxes, match_photos
from cspn_tf.evaluation.measures import evaluate_predictions
from cspn_tf.evaluation.report import main_table, make_report, with_interval
from tests.evaluation.test_measures import prediction, truth

PHOTOS = {"data": "data/fld", "split": "val", "model": "models/cspn/1"}
FILES = {
    "truth": ["upper.json", "lower.json"],
    "predictions": "found.json",
    "num_boxes_from_keypoints": 3,
    "num_repeated_annotations": 1,
    "num_photos_without_results": 1,
}


def scores_of(about, in_labelled_boxes=True, visibility=2):
    """Return the numbers of four photos, a garment each, of which one is missed and one has a sleeve too few."""
    truths = [truth(visibility=visibility) for _ in range(4)]
    truths[1:3] = truth((1,), visibility=min(visibility, 1)), truth((2,), variations=[3], visibility=visibility)
    truths[3].visibility[0, 2] = 0
    predictions = [prediction(), prediction((1,)), prediction(()), prediction()]
    bootstrap = Bootstrap(4, 50)
    in_boxes = evaluate_keypoints(match_given_boxes(truths, [t.keypoints_xy for t in truths]), bootstrap)
    scores = evaluate_predictions(match_photos(truths, predictions), bootstrap)
    return {
        **about,
        "intervals": bootstrap.about(),
        **scores,
        "ground_truth_boxes": in_boxes if in_labelled_boxes else None,
    }


def rows_of(text, name):
    return [line for line in text.splitlines() if line.startswith(name)]


def test_headline_numbers_have_interval_count_and_skipped():
    scores = scores_of(PHOTOS)
    low, high = scores["miss_rate"]["interval"]
    report = make_report(scores)
    assert (
        "| NE (garment pair, eq. 3) | lower | 0.0833 (0.0833 to 0.0833) | 8 | 1 | 0.0000 (0.0000 to 0.0000) | 16 | 1 |"
        in report
    )
    assert "| EPE, pixels | lower | 5.0000 (5.0000 to 5.0000) | 23 | 0 | 0.0000 (0.0000 to 0.0000) | 31 | 0 |" in report
    assert f"| miss rate | lower | 0.2500 ({low:.4f} to {high:.4f}) | 4 garments | - | - | - | - |" in report
    assert "is under 10 pixels: 1 with detected boxes and 1 with ground-truth boxes." in report

    table = main_table(scores)
    (row,) = rows_of(table, "NE (garment pair")
    assert " ".join(row.split()).endswith("eq. 3) 0.0833 (0.0833 to 0.0833) 8 1 0.0000 (0.0000 to 0.0000) 16 1")
    (row,) = rows_of(table, "miss rate")
    assert " ".join(row.split()).startswith(f"miss rate 0.2500 ({low:.4f} to {high:.4f}) 4 garments")


@pytest.mark.parametrize("make", [make_report, main_table])
def test_it_says_how_a_missed_garment_counts(make):
    text = " ".join(make(scores_of(FILES)).split())
    assert "in the same way for every method: its keypoints are failures in PCK and AUC" in text
    assert "left out of NE and EPE" in text and "read them together with the miss rate" in text


@pytest.mark.parametrize("make", [make_report, main_table])
def test_results_that_may_not_be_what_they_seem_are_cautioned_of(make):
    text = " ".join(make(scores_of(FILES)).split())
    assert "3 results have no box" in text and "No garment was detected" not in text
    nothing = {**scores_of(FILES), "miss_rate": {"value": 1.0, "count": 4, "interval": [1.0, 1.0]}}
    text = " ".join(make({**nothing, "num_boxes_from_keypoints": 0}).split())
    assert "have no box" not in text and "Category ids of results are 1 upper-body, 2 lower-body, 3 full-body" in text
    assert "No garment was detected" not in make(scores_of(PHOTOS))
    words = "3 of 4 labelled photos have no results, and their garments count as missed"
    few = " ".join(make({**scores_of(FILES), "num_photos_without_results": 3}).split())
    assert words in few and "labelled photos have no results" not in " ".join(make(scores_of(FILES)).split())


@pytest.mark.parametrize("make", [make_report, main_table])
@pytest.mark.parametrize("about", [PHOTOS, FILES])
def test_labels_of_which_none_is_visible_are_cautioned_of(make, about):
    words = "No labelled keypoint is marked visible"
    assert words not in " ".join(make(scores_of(about)).split())
    assert words in " ".join(make(scores_of(about, visibility=1)).split())
    assert words not in " ".join(make(scores_of(about, visibility=0)).split())


def test_without_labelled_boxes_there_is_no_column_for_them():
    scores = scores_of(PHOTOS, in_labelled_boxes=False)
    for text in (make_report(scores), main_table(scores)):
        assert "round-truth boxes [" not in text and "## Ground-truth boxes" not in text
        assert "detected boxes (95 %)" in text


def test_the_report_says_what_was_measured_on_what():
    photos, files = make_report(scores_of(PHOTOS)), make_report(scores_of(FILES))
    assert photos.startswith(
        "# Evaluation on split `val`\n\n- model: `models/cspn/1`\n- dataset: `data/fld`\n- 4 photos"
    )
    assert files.startswith("# Evaluation of `found.json`\n\n- labels: `upper.json`, `lower.json`\n- 3 detections;")
    assert (
        "because the result has none: 3\n" in files
        and "left out: 1\n- labelled photos without results: 1\n- 4 images, 4 garments, " in files
    )
    assert "50 bootstrap resamples of the photos (seed 0)" in photos


def test_average_precision_of_boxes_and_keypoints_with_the_constant():
    report = make_report(scores_of(PHOTOS))
    assert "| AP of keypoints | " in report and "| 4 garments with keypoints |" in report
    assert "one sigma for all keypoints, 0.05 of the square root of the ground-truth box's area" in report
    assert rows_of(report, "| full-body | 1.0000 (2) | 1.0000 (2) | 0.9000 (2) |")
    assert rows_of(report, "| lower-body | 0.0000 (1) | 0.0000 (1) | 0.0000 (1) |")
    assert rows_of(report, "| large pose | 0.0000 (1) | - | - |")


def test_every_slice_is_there_with_its_count():
    report = make_report(scores_of(PHOTOS))
    assert "| PCK@0.2 | 0.7500 (4) | 0.7500 (4) | 0.6667 (3) |" in report
    assert "| upper-body | 1.0000 (8) | 1.0000 (8) | 0.9750 (8) | - | - | - | 5.0000 (8) |" in report
    assert "| occluded | 1.0000 (8) |" in report
    assert "| log width | 0.0000 | 0.0000 | 0.0000 | 0.0000 | 0.0000 |" in report


def test_a_value_with_its_interval():
    assert with_interval({"value": 0.5, "interval": [0.25, 2 / 3]}) == "0.5000 (0.2500 to 0.6667)"
    assert with_interval({"value": np.pi, "interval": None}) == "3.1416"
    assert with_interval({"value": None, "interval": None}) == "-"
