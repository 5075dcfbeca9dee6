"""The numbers of an evaluation, from labels and predictions made by hand."""

import dataclasses
import json

import numpy as np
import pytest

from cspn_tf import evaluation
from cspn_tf.evaluation import PhotoPrediction, PhotoTruth

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
    assert (scores["detection_recall_50"], scores["miss_rate"], scores["precision_50"]) == (1.0, 0.0, 1.0)
    assert scores["false_positives_per_photo"] == 0.0
    assert scores["epe"] == pytest.approx(5)
    assert scores["ne_garment"] == pytest.approx(5 / 60)
    assert scores["ne_longside"] == pytest.approx(5 / 200)
    assert scores["ne_bbox"] == pytest.approx(np.hypot(0.03, 0.02))
    assert scores["pck_02"] == 1.0
    assert scores["detection"]["ap"] == pytest.approx(1.0)


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
    assert scores["detection_recall_50"] == scores["miss_rate"] == scores["precision_50"] == 0.5
    assert scores["false_positives_per_photo"] == pytest.approx(2 / 3)
    assert scores["pck_02"] == 0.5
    assert scores["detected_boxes"]["epe"]["overall"]["count"] == 16
    assert scores["epe"] == pytest.approx(5)


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
    assert recall["overall"] == {"value": 1.0, "count": 2}
    assert recall["garment_type"]["full-body"] == {"value": None, "count": 0}
    assert recall["variation"]["large_pose"] == {"value": 1.0, "count": 1}


def test_the_top_numbers_are_the_overall_ones():
    scores = evaluation.evaluate_predictions([truth(visibility=1)], [prediction()])
    for name, groups in scores["detected_boxes"].items():
        assert scores[name] == groups["overall"]["value"]
    assert scores["ne_garment"] is None
    assert scores["epe"] == pytest.approx(5)


@pytest.mark.parametrize(
    ("truths", "predictions"),
    [([], []), ([truth(())], [prediction(())]), ([truth()], [prediction(())]), ([truth(())], [prediction()])],
)
def test_nothing_labelled_or_nothing_found_is_still_json(truths, predictions):
    scores = evaluation.evaluate_predictions(truths, predictions)
    json.dumps(scores, allow_nan=False)
    if any(len(t.garment_types) for t in truths):
        assert (scores["detection_recall_50"], scores["pck_02"], scores["detection"]["ap"]) == (0.0, 0.0, 0.0)
        assert scores["detection"]["ap_by_garment_type"]["full-body"] == {"value": 0.0, "count": 1}
    else:
        assert scores["detection_recall_50"] is scores["pck_02"] is scores["detection"]["ap"] is None


def test_as_many_predictions_as_photos():
    with pytest.raises(ValueError):
        evaluation.evaluate_predictions([truth()], [])


def test_average_precision_equals_pycocotools_own_summary(capsys):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    random = np.random.default_rng(5)
    truths, predictions = [], []
    for _ in range(30):
        boxes = np.concatenate([random.uniform(0, 50, (2, 2)), random.uniform(100, 200, (2, 2))], axis=1)
        shifted = np.concatenate(
            [boxes + random.normal(0, 12, boxes.shape), random.uniform(0, 90, (1, 4)) + [0, 0, 90, 90]]
        )
        types = random.integers(1, 3, 2)
        truths.append(truth(types, boxes=boxes.tolist()))
        predictions.append(prediction([*types, 1], shifted.tolist(), random.uniform(0.3, 1, 3).tolist()))
    scores = evaluation.evaluate_predictions(truths, predictions)["detection"]
    assert capsys.readouterr().out == ""

    coco = COCO()
    boxes = [(i, int(t), b) for i, p in enumerate(truths) for t, b in zip(p.garment_types, p.boxes_xyxy, strict=True)]
    coco.dataset = {
        "images": [{"id": i} for i in range(30)],
        "categories": [{"id": t} for t in (1, 2, 3)],
        "annotations": [
            {
                "id": n + 1,
                "image_id": i,
                "category_id": t,
                "bbox": [b[0], b[1], b[2] - b[0], b[3] - b[1]],
                "area": (b[2] - b[0]) * (b[3] - b[1]),
                "iscrowd": 0,
            }
            for n, (i, t, b) in enumerate(boxes)
        ],
    }
    coco.createIndex()
    results = coco.loadRes(
        [
            {"image_id": i, "category_id": int(t), "bbox": [b[0], b[1], b[2] - b[0], b[3] - b[1]], "score": s}
            for i, p in enumerate(predictions)
            for t, b, s in zip(p.garment_types, p.boxes_xyxy, p.scores, strict=True)
        ]
    )
    theirs = COCOeval(coco, results, "bbox")
    theirs.evaluate()
    theirs.accumulate()
    theirs.summarize()
    ours = [scores[name] for name in ("ap", "ap_50", "ap_75", "ar")]
    assert ours == pytest.approx(theirs.stats[[0, 1, 2, 8]].tolist())
    assert 0.1 < ours[0] < ours[1] < 1.0
    by_type = scores["ap_by_garment_type"]
    assert (by_type["upper-body"]["value"] + by_type["lower-body"]["value"]) / 2 == pytest.approx(ours[0])
    assert by_type["full-body"] == {"value": None, "count": 0}


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
