"""Average precision of boxes and of keypoints: against pycocotools' own summary, and similarities made by hand."""

import math

import numpy as np
import pytest

from cspn_tf.evaluation import average_precision
from cspn_tf.evaluation.matching import match_photos
from tests.evaluation.test_measures import KEYPOINTS, prediction, truth

NAMES = ("ap", "ap_50", "ap_75", "ar")

# Boxes ---------------------------------------------------------------------------------------------------------------


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
    scores = average_precision.box_precision(match_photos(truths, predictions))
    assert capsys.readouterr().out == ""

    coco = COCO()
    coco.dataset = {
        "images": [{"id": i} for i in range(30)],
        "categories": [{"id": t} for t in (1, 2, 3)],
        "annotations": [
            entry for i, of_photo in enumerate(truths) for entry in of_photo.to_coco_annotations(i, 2 * i + 1)
        ],
    }
    coco.createIndex()
    results = coco.loadRes([entry for i, p in enumerate(predictions) for entry in p.garments.to_coco_results(i)])
    theirs = COCOeval(coco, results, "bbox")
    theirs.evaluate()
    theirs.accumulate()
    theirs.summarize()
    ours = [scores[name] for name in NAMES]
    assert ours == pytest.approx(theirs.stats[[0, 1, 2, 8]].tolist())
    assert 0.1 < ours[0] < ours[1] < 1.0
    by_type = scores["ap_by_garment_type"]
    assert (by_type["upper-body"]["value"] + by_type["lower-body"]["value"]) / 2 == pytest.approx(ours[0])
    assert by_type["full-body"] == {"value": None, "count": 0}


@pytest.mark.parametrize("precision", [average_precision.box_precision, average_precision.keypoint_precision])
def test_nothing_labelled_is_none_and_nothing_found_is_zero(precision):
    for predictions in ([prediction(())], [prediction()]):
        scores = precision(match_photos([truth(())], predictions))
        assert [scores[name] for name in NAMES] == [None] * 4
        assert scores["ap_by_garment_type"]["full-body"] == {"value": None, "count": 0}
    scores = precision(match_photos([truth()], [prediction(())]))
    assert [scores[name] for name in NAMES] == [0.0] * 4
    assert scores["ap_by_garment_type"]["full-body"] == {"value": 0.0, "count": 1}


# Keypoints -----------------------------------------------------------------------------------------------------------

AREA = 100 * 200


def keypoint_scores(truths, predictions):
    scores = average_precision.keypoint_precision(match_photos(truths, predictions))
    return [scores[name] for name in NAMES]


def labelled(visibility):
    return truth().replace(visibility=[visibility])


def shifted(slot, distance):
    found = prediction(offset_xy=(0, 0))
    found.garments.keypoints_xy[0, slot, 0] += distance
    return found


def test_perfect_keypoints_have_a_precision_of_one(capsys):
    truths = [truth((1, 2)), truth()]
    predictions = [prediction((1, 2), offset_xy=(0, 0)), prediction(offset_xy=(0, 0))]
    assert keypoint_scores(truths, predictions) == pytest.approx([1] * 4)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("similarity", "ap", "ap_50", "ap_75"),
    [(0.49, 0.0, 0, 0), (0.51, 0.1, 1, 0), (0.74, 0.5, 1, 0), (0.76, 0.6, 1, 1), (0.96, 1.0, 1, 1)],
)
def test_the_distance_of_one_keypoint_decides_by_its_similarity(similarity, ap, ap_50, ap_75):
    # similarity = exp(-d^2 / (2 area (2 sigma)^2)), of the only labelled keypoint.
    sigma = average_precision.OKS_SIGMA
    distance = math.sqrt(-math.log(similarity) * 2 * AREA * (2 * sigma) ** 2)
    scores = keypoint_scores([labelled([0, 0, 0, 0, 0, 0, 0, 2])], [shifted(7, distance)])
    assert scores == pytest.approx([ap, ap_50, ap_75, ap])


def test_sigma_is_a_twentieth():
    # An eighth of the similarity is of a keypoint 14 pixels off: 7 / 8 + exp(-14^2 / 400) / 8 = 0.952.
    assert average_precision.OKS_SIGMA == 0.05
    assert keypoint_scores([truth()], [shifted(0, 14)])[0] == pytest.approx(1.0)
    assert keypoint_scores([truth()], [shifted(0, 15)])[0] == pytest.approx(0.9)


def test_occluded_keypoints_count_and_unlabelled_ones_do_not():
    far = shifted(7, 1000)
    # All is in the one keypoint that is labelled, or half of it in one of two.
    assert keypoint_scores([labelled([0, 0, 0, 0, 0, 0, 0, 1])], [far])[0] == 0.0
    assert keypoint_scores([labelled([0, 0, 0, 0, 0, 0, 1, 2])], [far])[1:3] == pytest.approx([1.0, 0.0])
    for code in (0, -1):
        assert keypoint_scores([labelled([2, 2, 2, 2, 2, 2, 2, code])], [far])[0] == pytest.approx(1.0)


def test_the_box_of_a_detection_does_not_matter_for_its_keypoints():
    elsewhere = prediction(boxes=[[500.0, 500.0, 600.0, 700.0]], offset_xy=(0, 0))
    assert keypoint_scores([truth()], [elsewhere])[0] == pytest.approx(1.0)


def test_a_garment_without_labelled_keypoints_takes_no_part():
    matched = match_photos([truth(), truth(visibility=0)], [prediction(), prediction(())])
    scores = average_precision.keypoint_precision(matched)
    assert scores["ap_50"] == pytest.approx(1.0)
    assert scores["ap_by_garment_type"]["full-body"]["count"] == 1


def test_precision_is_the_mean_over_labelled_types():
    truths, found = [truth((1, 2), visibility=1)], prediction((1, 2), offset_xy=(0, 0))
    found.garments.keypoints_xy[1] += 1000
    scores = average_precision.keypoint_precision(match_photos(truths, [found]))
    assert scores["ap"] == pytest.approx(0.5)
    assert {name: score["value"] for name, score in scores["ap_by_garment_type"].items()} == {
        "upper-body": pytest.approx(1.0),
        "lower-body": 0.0,
        "full-body": None,
    }


def test_keypoint_precision_equals_slow_similarities():
    # With one garment and one detection a photo, recall at each overlap is the share of garments that are this similar.
    random = np.random.default_rng(2)
    truths, predictions, similarities = [], [], []
    for _ in range(40):
        visibility = random.integers(0, 3, 8)
        visibility[0] = 2
        offsets = random.normal(0, 7, (8, 2))
        truths.append(labelled(visibility))
        found = prediction(offset_xy=(0, 0))
        found.garments.keypoints_xy[0] = KEYPOINTS + offsets
        predictions.append(found)
        terms = [math.exp(-(x * x + y * y) / (2 * AREA * 0.1**2)) for x, y in offsets[visibility > 0]]
        similarities.append(sum(terms) / len(terms))
    recall = np.mean([[s >= t for t in np.linspace(0.5, 0.95, 10)] for s in similarities])
    assert keypoint_scores(truths, predictions)[3] == pytest.approx(recall)
    assert 0.2 < recall < 0.8
