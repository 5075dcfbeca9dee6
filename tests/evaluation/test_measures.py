"""The numbers of an evaluation, from labels and predictions made by hand."""

import dataclasses
import json

import numpy as np
import pytest

from cspn_tf.evaluation import measures as evaluation
from cspn_tf.evaluation.bootstrap import Bootstrap
from cspn_tf.evaluation.measures import PhotoPrediction, PhotoTruth

KEYPOINTS = np.array([[40, 10], [60, 10], [20, 80], [80, 80], [30, 100], [70, 100], [25, 190], [75, 190]], float)
BOX = [0.0, 0.0, 100.0, 200.0]


def truth(garment_types=(3,), variations=None, boxes=None, visibility=2, name="photo"):
    num = len(garment_types)
    return PhotoTruth(
        name=name,
        garment_types=np.array(garment_types, int),
        variations=np.array(variations or [1] * num, int),
        boxes_xyxy=np.array(boxes or [BOX] * num, float).reshape(num, 4),
        keypoints_xy=np.repeat(KEYPOINTS[np.newaxis], num, axis=0),
        visibility=np.full((num, 8), visibility),
    )


def prediction(garment_types=(3,), boxes=None, scores=None, offset_xy=(3.0, 4.0), status=0):
    num = len(garment_types)
    return PhotoPrediction(
        garment_types=np.array(garment_types, int),
        scores=np.array(scores or [0.9] * num, float),
        boxes_xyxy=np.array(boxes or [BOX] * num, float).reshape(num, 4),
        keypoints_xy=np.repeat(KEYPOINTS[np.newaxis] + np.array(offset_xy), num, axis=0),
        keypoint_scores=np.full((num, 8), 0.8),
        status=status,
        image_size=(300, 200),
    )


def test_a_found_garment_five_pixels_off():
    scores = evaluation.evaluate_predictions([truth()], [prediction()])
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
    scores = evaluation.evaluate_predictions(truths, predictions)
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
    scores = evaluation.evaluate_predictions(truths, [prediction((1, 2))])
    assert set(scores["detected_boxes"]) == {"pck_02", "auc", "ne_bbox", "ne_garment", "ne_longside", "epe"}
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
    scores = evaluation.evaluate_predictions([truth(visibility=1)], [prediction()])
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
    scores = evaluation.evaluate_predictions(truths, predictions, Bootstrap(len(truths), 10))
    json.dumps(scores, allow_nan=False)
    if any(len(t.garment_types) for t in truths):
        assert scores["detection_recall_50"]["value"] == scores["pck_02"]["value"] == 0.0
    else:
        assert scores["detection_recall_50"]["value"] is scores["pck_02"]["value"] is None
    for kind in ("detection", "keypoint_detection"):
        assert scores[kind]["ap"] == scores["detection_recall_50"]["value"]


def test_as_many_predictions_as_photos():
    with pytest.raises(ValueError):
        evaluation.evaluate_predictions([truth()], [])


# Intervals -----------------------------------------------------------------------------------------------------------


def two_of_three_found():
    """Return the labels and predictions of four photos: the third garment is missed, the fourth photo shows none."""
    truths = [truth(), truth((1,), variations=[3]), truth((2,)), truth(())]
    return truths, [prediction(), prediction((1,), offset_xy=(30.0, 40.0)), prediction(()), prediction()]


def test_intervals_are_there_if_asked_for():
    truths, predictions = two_of_three_found()
    bootstrap = Bootstrap(4, num_resamples=200)
    scores = evaluation.evaluate_predictions(truths, predictions, bootstrap)
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
    in_boxes = evaluation.evaluate_keypoints(truths, [t.keypoints_xy for t in truths], bootstrap)
    assert in_boxes["pck_02"]["overall"]["interval"] == [1, 1]
    json.dumps([scores, in_boxes], allow_nan=False)


def test_intervals_are_those_of_resampled_photos():
    truths, predictions = two_of_three_found()
    random = np.random.default_rng(6)
    values = {"epe": [], "detection_recall_50": [], "false_positives_per_photo": []}
    for _ in range(40):
        photos = random.integers(4, size=4)
        resampled = evaluation.evaluate_predictions([truths[p] for p in photos], [predictions[p] for p in photos])
        for name, of_name in values.items():
            of_name += [resampled[name]["value"]] if resampled[name]["count"] else []
    scores = evaluation.evaluate_predictions(truths, predictions, Bootstrap(4, 40, seed=6))
    for name, of_name in values.items():
        assert scores[name]["interval"] == pytest.approx(np.percentile(of_name, [2.5, 97.5]).tolist()), name


def test_intervals_are_left_out_unless_asked_for():
    scores = evaluation.evaluate_predictions(*two_of_three_found())

    def intervals(part):
        if isinstance(part, dict):
            for key, value in part.items():
                yield from [value] if key == "interval" else intervals(value)

    assert set(intervals(scores)) == {None}


# Keypoints in labelled boxes -----------------------------------------------------------------------------------------


def test_keypoints_in_labelled_boxes():
    truths = [truth((1, 2)), truth()]
    scores = evaluation.evaluate_keypoints(truths, [truths[0].keypoints_xy + [6, 8], truths[1].keypoints_xy])
    assert scores["epe"]["overall"]["value"] == pytest.approx(20 / 3)
    assert scores["epe"]["garment_type"]["full-body"]["value"] == 0.0


def test_a_photo_that_could_not_be_read_is_missed():
    scores = evaluation.evaluate_keypoints([truth(), truth()], [None, KEYPOINTS[np.newaxis]])
    assert scores["pck_02"]["overall"]["value"] == 0.5
    assert scores["epe"]["overall"]["count"] == 8


# The served outputs --------------------------------------------------------------------------------------------------


def test_served_outputs_lose_their_padding():
    served = prediction((3, 1))
    pad = [(0, 2)]
    outputs = {
        "status": np.array([3, 0]),
        "image_size": np.array([[0, 0], [300, 200]]),
        "num_garments": np.array([0, 2]),
        "classes": np.stack([np.zeros(4), np.pad(served.garment_types, pad)]),
        "scores": np.stack([np.zeros(4), np.pad(served.scores, pad)]),
        "boxes": np.stack([np.zeros((4, 4)), np.pad(served.boxes_xyxy, pad + [(0, 0)])]),
        "keypoints": np.stack([np.zeros((4, 8, 2)), np.pad(served.keypoints_xy, pad + [(0, 0)] * 2)]),
        "keypoint_scores": np.stack([np.zeros((4, 8)), np.pad(served.keypoint_scores, pad + [(0, 0)])]),
    }
    failed, found = (PhotoPrediction.from_served(outputs, index) for index in (0, 1))
    assert (failed.status, failed.image_size, len(failed.scores)) == (3, (0, 0), 0)
    assert failed.keypoints_xy.shape == (0, 8, 2)
    for field in dataclasses.fields(PhotoPrediction):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(served, field.name))


def test_matched_garments_take_the_keypoints_of_their_own_detection():
    photo = prediction((1, 3), scores=[0.5, 0.9])
    photo.keypoints_xy[1] += 100
    garments = evaluation.matched_garments(truth((3, 2, 1)), photo)
    assert garments.matched.tolist() == [True, False, True]
    np.testing.assert_array_equal(garments.predicted_xy[0], photo.keypoints_xy[1])
    np.testing.assert_array_equal(garments.predicted_xy[2], photo.keypoints_xy[0])


# Boxes ---------------------------------------------------------------------------------------------------------------


def test_box_errors_by_hand():
    # 100 x 200, centre (50, 100): found as 110 x 180 around (55, 96), and as 90 x 200 around (51, 100).
    boxes = [[0.0, 6.0, 110.0, 186.0], [6.0, 0.0, 96.0, 200.0]]
    truths = [truth(), truth((3, 1))]
    predictions = [prediction(boxes=boxes[:1]), prediction(boxes=boxes[1:])]
    errors = evaluation.evaluate_predictions(truths, predictions)["box_errors"]
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
    errors = evaluation.measure_box_errors(truths, predictions)
    assert errors["count"] == 0 and errors["log_width"] == dict.fromkeys(("mean", "sd", "p5", "p50", "p95"))


def test_an_empty_labelled_box_has_no_box_error():
    empty = truth(boxes=[[5.0, 5.0, 5.0, 5.0]])
    assert evaluation.measure_box_errors([empty], [prediction(boxes=[[5.0, 5.0, 5.0, 5.0]])])["count"] == 0


# Keypoint scores -----------------------------------------------------------------------------------------------------


def test_scores_are_compared_with_visibility_where_a_garment_was_found():
    labels = truth()
    labels.visibility[0] = [2, 2, 1, 1, 0, -1, 2, 1]
    found = prediction()
    found.keypoint_scores[0] = [0.9, 0.6, 0.2, 0.7, 0.99, 0.99, 0.8, 0.1]
    missed = prediction((1,))  # of another type: its scores are of nothing that is labelled
    scores = evaluation.evaluate_predictions([labels, truth()], [found, missed])["visibility"]
    assert (scores["num_visible"], scores["num_occluded"]) == (3, 3)
    # Visible 0.9, 0.8, 0.6 against occluded 0.7, 0.2, 0.1: one of nine pairs is the wrong way round.
    assert scores["auroc"] == pytest.approx(8 / 9)


def test_without_photos_scores_say_nothing_of_visibility():
    assert evaluation.evaluate_predictions([], [])["visibility"]["auroc"] is None
