"""The numbers of an evaluation, from labels and predictions made by hand."""

import json

import numpy as np
import pytest

from cspn_tf.evaluation import measures as evaluation
from cspn_tf.evaluation.bootstrap import Bootstrap
from cspn_tf.evaluation.keypoint_metrics import evaluate_keypoints
from cspn_tf.evaluation.matching import match_given_boxes, match_photos
from cspn_tf.garment_set import Garments
from cspn_tf.result import Result

KEYPOINTS = np.array([[40, 10], [60, 10], [20, 80], [80, 80], [30, 100], [70, 100], [25, 190], [75, 190]], float)
BOX = [0.0, 0.0, 100.0, 200.0]


def truth(garment_types=(3,), variations=None, boxes=None, visibility=2):
    """Return the labels of a photo, all keypoints with the same visibility code."""
    num = len(garment_types)
    return Garments(
        garment_types,
        boxes or [BOX] * num,
        np.repeat(KEYPOINTS[np.newaxis], num, axis=0),
        visibility=np.full((num, 8), visibility),
        variations=variations or [1] * num,
    )


def prediction(garment_types=(3,), boxes=None, scores=None, offset_xy=(3.0, 4.0), status=0):
    """Return what was found on a photo, five pixels off by default."""
    num = len(garment_types)
    garments = Garments(
        garment_types,
        boxes or [BOX] * num,
        np.repeat(KEYPOINTS[np.newaxis] + np.array(offset_xy), num, axis=0),
        scores=scores or [0.9] * num,
        keypoint_scores=np.full((num, 8), 0.8),
    )
    return Result(status, (300, 200), garments)


def evaluate(truths, results, bootstrap=None):
    return evaluation.evaluate_predictions(match_photos(truths, results), bootstrap)


def test_a_found_garment_five_pixels_off():
    scores = evaluate([truth()], [prediction()])
    assert scores["num_photos"] == scores["num_garments"] == scores["num_detections"] == 1
    assert scores["num_keypoints"] == 8
    assert scores["detection_recall_50"] == scores["precision_50"] == {"value": 1.0, "count": 1, "interval": None}
    assert scores["miss_rate"] == scores["false_positives_per_photo"] == {"value": 0.0, "count": 1, "interval": None}
    assert scores["epe"]["value"] == pytest.approx(5)
    assert scores["ne_garment"]["value"] == pytest.approx(5 / 60)
    assert scores["ne_longside"]["value"] == pytest.approx(5 / 200)
    assert scores["ne_bbox"]["value"] == pytest.approx(np.hypot(0.03, 0.02))
    assert scores["pck_02"] == {"value": 1.0, "count": 8, "skipped": 0, "interval": None}
    assert scores["detection"]["ap"] == pytest.approx(1.0)
    # 5 pixels of a box of 20,000: the similarity is exp(-25 / 400), 0.939.
    assert scores["keypoint_detection"]["ap"] == pytest.approx(9 / 10)


def test_missed_garments_false_positives_and_a_photo_that_failed():
    truths = [truth(), truth((1, 2), boxes=[BOX, [0, 100, 100, 200]]), truth()]
    predictions = [
        prediction((3, 3, 1), scores=[0.9, 0.8, 0.7]),  # one right, one twice, one of a wrong type
        prediction((1,)),
        prediction((), status=3),
    ]
    scores = evaluate(truths, predictions)
    assert (scores["num_photos"], scores["num_failed_photos"], scores["num_garments"]) == (3, 1, 4)
    assert (scores["num_detections"], scores["num_keypoints"]) == (4, 32)
    for name in ("detection_recall_50", "miss_rate", "precision_50"):
        assert (scores[name]["value"], scores[name]["count"]) == (0.5, 4)
    assert scores["false_positives_per_photo"]["value"] == pytest.approx(2 / 3)
    # Missed garments fail these, and take no part in those.
    assert (scores["pck_02"]["value"], scores["pck_02"]["count"]) == (0.5, 32)
    assert (scores["auc"]["count"], scores["ne_longside"]["count"]) == (32, 16)
    assert (scores["epe"]["value"], scores["epe"]["count"]) == (pytest.approx(5), 16)


def test_nested_scores_have_every_slice_with_its_count():
    truths = [truth((1, 2), variations=[1, 3])]
    scores = evaluate(truths, [prediction((1, 2))])
    assert set(scores["detected_boxes"]) == {
        *("pck_02", "pck_02_found", "auc", "ne_bbox", "ne_garment", "ne_longside", "epe")
    }
    for groups in scores["detected_boxes"].values():
        assert set(groups["garment_type"]) == {"upper-body", "lower-body", "full-body"}
        assert set(groups["visibility"]) == {"visible", "occluded"}
        assert groups["variation"]["large_pose"]["count"] == groups["garment_type"]["lower-body"]["count"] == 8
        assert groups["garment_type"]["full-body"]["value"] is None
        assert groups["overall"]["per_keypoint"]["RH"]["count"] == 2
    recall = scores["detection"]["recall_50"]
    assert recall["overall"] == {"value": 1.0, "count": 2, "interval": None}
    assert recall["garment_type"]["full-body"] == {"value": None, "count": 0, "interval": None}
    assert recall["variation"]["large_pose"] == {"value": 1.0, "count": 1, "interval": None}


def test_the_top_numbers_are_the_overall_ones():
    scores = evaluate([truth(visibility=1)], [prediction()])
    for name, groups in scores["detected_boxes"].items():
        assert set(scores[name]) == {"value", "count", "skipped", "interval"}
        assert scores[name].items() <= groups["overall"].items()
    assert scores["ne_garment"]["value"] is None
    assert scores["epe"]["value"] == pytest.approx(5)


@pytest.mark.parametrize(
    ("truths", "predictions"),
    [([], []), ([truth(())], [prediction(())]), ([truth()], [prediction(())]), ([truth(())], [prediction()])],
)
def test_nothing_labelled_or_nothing_found_is_still_json(truths, predictions):
    scores = evaluate(truths, predictions, Bootstrap(len(truths), 10))
    json.dumps(scores, allow_nan=False)
    if any(map(len, truths)):
        assert scores["detection_recall_50"]["value"] == scores["pck_02"]["value"] == 0.0
    else:
        assert scores["detection_recall_50"]["value"] is scores["pck_02"]["value"] is None
    for kind in ("detection", "keypoint_detection"):
        assert scores[kind]["ap"] == scores["detection_recall_50"]["value"]


# Intervals -----------------------------------------------------------------------------------------------------------


def two_of_three_found():
    """Return the labels and predictions of four photos: the third garment is missed, the fourth photo shows none."""
    truths = [truth(), truth((1,), variations=[3]), truth((2,)), truth(())]
    return truths, [prediction(), prediction((1,), offset_xy=(30.0, 40.0)), prediction(()), prediction()]


def test_intervals_are_there_if_asked_for():
    truths, predictions = two_of_three_found()
    bootstrap = Bootstrap(4, num_resamples=200)
    scores = evaluate(truths, predictions, bootstrap)
    assert scores["epe"]["interval"] == pytest.approx([5, 50])
    assert scores["epe"]["interval"] == scores["detected_boxes"]["epe"]["overall"]["interval"]
    assert scores["detected_boxes"]["epe"]["variation"]["large_pose"]["interval"] == pytest.approx([50, 50])
    assert scores["detected_boxes"]["epe"]["garment_type"]["lower-body"]["interval"] is None
    assert scores["detected_boxes"]["epe"]["overall"]["per_keypoint"]["LC"]["interval"] == pytest.approx([5, 50])
    low, high = scores["detection_recall_50"]["interval"]
    assert 0 <= low < 2 / 3 < high == 1
    assert scores["miss_rate"]["interval"] == pytest.approx([1 - high, 1 - low])
    assert scores["precision_50"]["interval"] == pytest.approx([0, 1])
    assert scores["detection"]["recall_50"]["garment_type"]["full-body"]["interval"] == [1, 1]
    in_boxes = evaluate_keypoints(match_given_boxes(truths, [t.keypoints_xy for t in truths]), bootstrap)
    assert in_boxes["pck_02"]["overall"]["interval"] == [1, 1]
    json.dumps([scores, in_boxes], allow_nan=False)


def test_intervals_are_those_of_resampled_photos():
    truths, predictions = two_of_three_found()
    random = np.random.default_rng(6)
    values = {"epe": [], "detection_recall_50": [], "false_positives_per_photo": []}
    for _ in range(40):
        photos = random.integers(4, size=4)
        resampled = evaluate([truths[p] for p in photos], [predictions[p] for p in photos])
        for name, of_name in values.items():
            of_name += [resampled[name]["value"]] if resampled[name]["count"] else []
    scores = evaluate(truths, predictions, Bootstrap(4, 40, seed=6))
    for name, of_name in values.items():
        assert scores[name]["interval"] == pytest.approx(np.percentile(of_name, [2.5, 97.5]).tolist()), name


def test_intervals_are_left_out_unless_asked_for():
    scores = evaluate(*two_of_three_found())

    def intervals(part):
        if isinstance(part, dict):
            for key, value in part.items():
                yield from [value] if key == "interval" else intervals(value)

    assert set(intervals(scores)) == {None}


# Keypoints in ground-truth boxes ------------------------------------------------------------------------------------


def test_keypoints_in_labelled_boxes():
    truths = [truth((1, 2)), truth()]
    given = match_given_boxes(truths, [truths[0].keypoints_xy + [6, 8], truths[1].keypoints_xy])
    scores = evaluate_keypoints(given)
    assert scores["epe"]["overall"]["value"] == pytest.approx(20 / 3)
    assert scores["epe"]["garment_type"]["full-body"]["value"] == 0.0


def test_all_numbers_of_an_evaluation_start_with_what_they_are_about():
    truths, results = two_of_three_found()
    given = match_given_boxes(truths, [t.keypoints_xy for t in truths])
    scores = evaluation.measure({"split": "val"}, match_photos(truths, results), given, seed=3)
    assert list(scores)[:2] == ["split", "intervals"] and list(scores)[-1] == "ground_truth_boxes"
    assert scores["intervals"] == Bootstrap(4, seed=3).about()
    assert scores["epe"] == evaluate(truths, results, Bootstrap(4, seed=3))["epe"]
    assert scores["ground_truth_boxes"]["epe"]["overall"]["value"] == 0.0
    assert evaluation.measure({}, match_photos(truths, results), None, seed=3)["ground_truth_boxes"] is None


# Boxes ---------------------------------------------------------------------------------------------------------------


def test_box_errors_by_hand():
    # 100 x 200, centre (50, 100): found as 110 x 180 around (55, 96), and as 90 x 200 around (51, 100).
    boxes = [[0.0, 6.0, 110.0, 186.0], [6.0, 0.0, 96.0, 200.0]]
    truths = [truth(), truth((3, 1))]
    predictions = [prediction(boxes=boxes[:1]), prediction(boxes=boxes[1:])]
    errors = evaluate(truths, predictions)["box_errors"]
    assert errors["count"] == 2
    found = {name: errors[name]["mean"] for name in evaluation.BOX_ERRORS}
    expected = {
        "shift_x": (5 + 1) / 2 / 200,
        "shift_y": (-4 + 0) / 2 / 200,
        "log_width": (np.log(1.1) + np.log(0.9)) / 2,
        "log_height": (np.log(0.9) + 0) / 2,
    }
    assert found == pytest.approx(expected)
    assert errors["shift_x"]["sd"] == pytest.approx(2 / 200)
    assert errors["shift_x"]["p5"] == pytest.approx((1 + 0.05 * 4) / 200)
    assert errors["shift_x"]["p50"] == pytest.approx(3 / 200)
    assert errors["shift_x"]["p95"] == pytest.approx((1 + 0.95 * 4) / 200)


@pytest.mark.parametrize("truths", [[], [truth()]])
def test_box_errors_of_nothing_found(truths):
    predictions = [prediction(()) for _ in truths]
    errors = evaluation.measure_box_errors(match_photos(truths, predictions))
    assert errors["count"] == 0 and errors["log_width"] == dict.fromkeys(("mean", "sd", "p5", "p50", "p95"))


def test_an_empty_labelled_box_has_no_box_error():
    empty = truth(boxes=[[5.0, 5.0, 5.0, 5.0]])
    matched = match_photos([empty], [prediction(boxes=[[5.0, 5.0, 5.0, 5.0]])])
    assert evaluation.measure_box_errors(matched)["count"] == 0


# Keypoint scores -----------------------------------------------------------------------------------------------------


def test_scores_are_compared_with_visibility_where_a_garment_was_found():
    labels = truth()
    labels.visibility[0] = [2, 2, 1, 1, 0, -1, 2, 1]
    found = prediction()
    found.garments.keypoint_scores[0] = [0.9, 0.6, 0.2, 0.7, 0.99, 0.99, 0.8, 0.1]
    missed = prediction((1,))  # of another type: its scores are of nothing that is labelled
    scores = evaluate([labels, truth()], [found, missed])["visibility"]
    assert (scores["num_positive"], scores["num_negative"]) == (3, 3)
    # Visible 0.9, 0.8, 0.6 against occluded 0.7, 0.2, 0.1: one of nine pairs is the wrong way round.
    assert scores["auroc"] == pytest.approx(8 / 9)
