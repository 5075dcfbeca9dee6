"""Metrics against hand-computed values, against `tests.reference_metrics`, and their intervals against naive loops."""

import json
import math

import numpy as np
import pytest

from cspn_tf.evaluation import keypoint_metrics as metrics
from cspn_tf.evaluation.bootstrap import Bootstrap
from cspn_tf.evaluation.keypoint_metrics import score
from cspn_tf.evaluation.matching import Matched, match_given_boxes
from cspn_tf.garment_set import Garments
from cspn_tf.garments import KEYPOINT_ABBREVIATIONS, KEYPOINT_SLOTS, GarmentType, Visibility
from cspn_tf.result import Result
from tests.reference_metrics import reference

UPPER, LOWER, FULL = GarmentType.UPPER_BODY, GarmentType.LOWER_BODY, GarmentType.FULL_BODY
ALL_METRICS = tuple(metrics.KEYPOINT_METRICS)


def one_garment(
    garment_type=FULL, offset_xy=(3.0, 4.0), sleeve_distance=50.0, found=True, visibility=None, box=(0, 0, 100, 200)
):
    """Return one garment in a box of 100 x 200 whose predictions are all off by `offset_xy`: 5 pixels by default."""
    keypoints = np.zeros((8, 2))
    keypoints[:, 0] = [40, 60, 20, 20 + sleeve_distance, 30, 70, 25, 75]
    keypoints[:, 1] = [10, 10, 80, 80, 100, 100, 190, 190]
    if visibility is None:
        visibility = [Visibility.VISIBLE if k in KEYPOINT_SLOTS[garment_type] else 0 for k in range(8)]
    label = Garments.label(garment_type, box, keypoints, visibility, variation=1)
    return match_given_boxes([label], [keypoints[np.newaxis] + np.array(offset_xy) if found else None])


def join(*parts):
    """Return the photos of several `Matched` as one."""
    lists = ([value for part in parts for value in getattr(part, name)] for name in ("truths", "results", "matches"))
    return Matched(*lists)


def per_slot(found, key):
    return [entry[key] for entry in found["per_keypoint"].values()]


def slices_of(name, matched, bootstrap=None):
    return metrics.evaluate_keypoints(matched, bootstrap)[name]


def random_garments(seed, num=60):
    """Return garments of every type, variation and visibility code, some missed, some without a normaliser."""
    random = np.random.default_rng(seed)
    types = random.integers(1, 4, num)
    visibility = random.choice([-1, 0, 1, 2, 2, 2, 2], (num, 8))
    for row, garment_type in enumerate(types):
        visibility[row, [k for k in range(8) if k not in KEYPOINT_SLOTS[garment_type]]] = 0
    low = random.uniform(0, 100, (num, 2))
    boxes = np.concatenate([low, low + random.uniform(30, 300, (num, 2))], axis=1)
    keypoints = low[:, np.newaxis] + random.uniform(0, 1, (num, 8, 2)) * (boxes[:, 2:] - low)[:, np.newaxis]
    # Pairs around the least distance that normalises, and boxes without width, without height and inside out.
    for left, right in ((2, 3), (4, 5)):
        keypoints[: num // 3, right] = keypoints[: num // 3, left] + random.uniform(-9, 9, (num // 3, 2))
    boxes[0, 2], boxes[1, 3], boxes[2, 2] = boxes[0, 0], boxes[1, 1], boxes[2, 0] - 5
    predicted = keypoints + random.normal(0, 30, (num, 8, 2))
    found = random.uniform(size=num) < 0.8
    found[:3] = True
    visibility[:3, 6] = 2
    keypoints[visibility <= 0] = np.nan
    variations, photos = random.integers(0, 6, num), random.integers(0, num // 2, num)
    labels = Garments(types, boxes, keypoints, visibility=visibility, variations=variations)
    scores = {"scores": np.ones(num), "keypoint_scores": np.ones((num, 8))}
    detections = Garments(types, boxes, predicted, **scores)
    rows = [np.flatnonzero(photos == photo) for photo in range(num // 2)]
    results = [Result(0, garments=detections[of_photo]) for of_photo in rows]
    matches = [np.where(found[of_photo], np.arange(len(of_photo)), -1) for of_photo in rows]
    return Matched([labels[of_photo] for of_photo in rows], results, matches)


# Hand-computed values ------------------------------------------------------------------------------------------------


def test_ne_garment_is_the_distance_over_the_sleeve_distance():
    found = score("ne_garment", one_garment(sleeve_distance=50))
    assert found["value"] == pytest.approx(5 / 50)
    assert (found["count"], found["skipped"]) == (8, 0)


def test_ne_garment_of_a_lower_body_is_over_the_waistline_distance():
    found = score("ne_garment", one_garment(LOWER))
    assert found["value"] == pytest.approx(5 / 40)
    assert per_slot(found, "count") == [0, 0, 0, 0, 1, 1, 1, 1]
    assert per_slot(found, "value")[0] is None


@pytest.mark.parametrize(("distance", "skipped"), [(9.99, 1), (10.0, 0)])
def test_ne_garment_skips_a_pair_under_ten_pixels(distance, skipped):
    found = score("ne_garment", one_garment(sleeve_distance=distance))
    assert found["skipped"] == skipped
    assert found["count"] == (0 if skipped else 8)


@pytest.mark.parametrize(
    ("sleeve", "skipped"), [(Visibility.OCCLUDED, 0), (Visibility.CUT_OFF, 1), (Visibility.ABSENT, 1)]
)
def test_ne_garment_wants_a_labelled_pair_that_may_be_occluded(sleeve, skipped):
    visibility = [2, 2, 2, int(sleeve), 2, 2, 2, 2]
    assert score("ne_garment", one_garment(visibility=visibility))["skipped"] == skipped


def test_ne_bbox_divides_x_by_width_and_y_by_height():
    assert score("ne_bbox", one_garment())["value"] == pytest.approx(math.hypot(3 / 100, 4 / 200))


def test_ne_bbox_averages_slots_not_keypoints():
    # Collars in one garment only, at error 0; everything else at 0.05. Pooled would be 12 * 0.05 / 14.
    perfect = one_garment(offset_xy=(0, 0), visibility=[2, 2, 0, 0, 0, 0, 0, 0])
    shifted = one_garment(offset_xy=(5, 0), visibility=[0, 0, 2, 2, 2, 2, 2, 2])
    found = score("ne_bbox", join(perfect, shifted, shifted))
    assert found["value"] == pytest.approx(6 * 0.05 / 8)
    assert found["count"] == 14


def test_ne_longside_divides_by_the_long_side():
    assert score("ne_longside", one_garment())["value"] == pytest.approx(5 / 200)


def test_epe_is_in_pixels_and_counts_occluded_keypoints():
    found = score("epe", one_garment(visibility=[1, 2, 1, 2, 0, -1, 2, 2]))
    assert found["value"] == pytest.approx(5)
    assert found["count"] == 6


@pytest.mark.parametrize(("offset", "correct"), [(39.9, 1.0), (40.0, 1.0), (40.1, 0.0)])
def test_pck_threshold_is_a_fifth_of_the_long_side_and_included(offset, correct):
    assert score("pck_02", one_garment(offset_xy=(offset, 0)))["value"] == correct


def test_auc_of_perfect_half_way_and_far_predictions():
    assert score("auc", one_garment(offset_xy=(0, 0)))["value"] == pytest.approx(1.0)
    # Error 0.25 is reached at threshold 10 of 0 to 20: ten full steps and the one that rises, which counts half.
    assert score("auc", one_garment(offset_xy=(50, 0)))["value"] == pytest.approx(10.5 / 20)
    assert score("auc", one_garment(offset_xy=(101, 0)))["value"] == 0.0


def test_a_missed_garment_fails_pck_and_auc_and_leaves_errors_alone():
    garments = join(one_garment(offset_xy=(0, 0)), one_garment(found=False))
    assert score("pck_02", garments)["value"] == 0.5
    assert score("auc", garments)["value"] == pytest.approx(0.5)
    assert score("pck_02", garments)["count"] == 16
    assert score("pck_02_found", garments)["value"] == 1.0
    assert score("pck_02_found", garments)["count"] == 8
    for name in ("ne_garment", "ne_bbox", "ne_longside", "epe"):
        found = score(name, garments)
        assert (found["value"], found["count"]) == (0.0, 8)


# What must never count -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL_METRICS)
@pytest.mark.parametrize("code", [Visibility.CUT_OFF, Visibility.ABSENT])
def test_keypoints_without_coordinates_never_count(name, code):
    garment, wild = (one_garment(visibility=[int(code), 2, 2, 2, 2, 2, 2, 2]) for _ in range(2))
    wild.labels.keypoints_xy[0, 0] = np.nan
    found = score(name, wild)
    assert found == score(name, garment)
    assert (found["count"], per_slot(found, "value")[0], per_slot(found, "count")[0]) == (7, None, 0)


@pytest.mark.parametrize(
    ("name", "count"),
    [("ne_garment", 7), ("ne_bbox", 7), ("ne_longside", 7), ("epe", 8), ("pck_02", 8), ("pck_02_found", 8), ("auc", 8)],
)
def test_occluded_keypoints_count_where_the_definition_says_labelled(name, count):
    assert score(name, one_garment(visibility=[1, 2, 2, 2, 2, 2, 2, 2]))["count"] == count


@pytest.mark.parametrize("name", ALL_METRICS)
def test_nothing_gives_none_and_zero(name):
    nothing = {"value": None, "count": 0, "skipped": 0, "interval": None}
    nothing["per_keypoint"] = {name: dict(nothing) for name in KEYPOINT_ABBREVIATIONS}
    invisible = one_garment(visibility=[0, 0, 0, 0, 0, -1, -1, -1])
    for matched, num_photos in ((Matched([], [], []), 0), (invisible, 1)):
        assert score(name, matched) == score(name, matched, Bootstrap(num_photos)) == nothing


@pytest.mark.parametrize("name", [name for name in ALL_METRICS if name not in ("epe", "ne_garment")])
def test_an_empty_box_is_skipped_by_what_divides_by_it(name):
    garment = one_garment(box=(10, 10, 10, 50))
    found = score(name, garment)
    assert (found["value"], found["count"], found["skipped"]) == (None, 0, 1)


# Slices --------------------------------------------------------------------------------------------------------------


def test_a_slice_by_visibility_keeps_the_normaliser():
    garments = one_garment(visibility=[2, 2, 1, 1, 2, 2, 2, 2])
    scores = slices_of("ne_garment", garments)["visibility"]
    assert scores["visible"]["value"] == pytest.approx(5 / 50)
    assert scores["occluded"]["count"] == 0
    assert slices_of("epe", garments)["visibility"]["occluded"]["count"] == 2


def test_score_as_json():
    form = json.loads(json.dumps(score("ne_garment", one_garment(LOWER), Bootstrap(1))))
    assert (form["count"], form["skipped"], form["interval"]) == (4, 0, pytest.approx([5 / 40, 5 / 40]))
    assert form["per_keypoint"]["LC"] == {"value": None, "count": 0, "skipped": 0, "interval": None}
    assert form["per_keypoint"]["RH"]["value"] == pytest.approx(5 / 40)
    assert form["per_keypoint"]["RH"]["interval"] == pytest.approx([5 / 40, 5 / 40])


def test_skipped_keypoints_are_counted_by_slot():
    garments = join(one_garment(sleeve_distance=9.0, visibility=[2, 1, 2, 2, 0, 0, 2, 2]), one_garment())
    form = score("ne_garment", garments)
    assert (form["count"], form["skipped"]) == (8, 1)
    # An occluded keypoint would not have counted.
    assert per_slot(form, "skipped") == [1, 0, 1, 1, 0, 0, 1, 1]


# Intervals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL_METRICS)
def test_intervals_equal_a_naive_loop_over_resamples(name):
    garments = random_garments(1, num=14)
    num_photos, num_resamples, seed = 9, 40, 3
    random = np.random.default_rng(seed)
    resampled = []
    for _ in range(num_resamples):
        photos = random.integers(num_photos, size=num_photos)
        rows = [row for photo in photos for row in np.flatnonzero(garments.photo_index == photo)]
        resampled.append(reference(name, garments, rows))

    found = score(name, garments, Bootstrap(num_photos, num_resamples, seed))
    wanted = [r.value for r in resampled if r.value is not None]
    assert found["interval"] == pytest.approx(np.percentile(wanted, [2.5, 97.5]))
    assert found["interval"][0] < found["value"] < found["interval"][1]
    for slot, interval in enumerate(per_slot(found, "interval")):
        wanted = [r.values[slot] for r in resampled if r.values[slot] is not None]
        assert interval == pytest.approx(np.percentile(wanted, [2.5, 97.5]))


@pytest.mark.parametrize("name", ALL_METRICS)
def test_intervals_change_nothing_else_and_are_left_out_unless_asked_for(name):
    garments = random_garments(2)
    plain, with_intervals = score(name, garments), score(name, garments, Bootstrap(30, 20))
    for found in (with_intervals, *with_intervals["per_keypoint"].values()):
        assert found["interval"] is not None
        found["interval"] = None
    assert with_intervals == plain


def test_the_keypoints_of_one_photo_are_drawn_together():
    # Half of the keypoints is right: as halves of one photo that is always so, as two photos only on average.
    right, wrong = one_garment(offset_xy=(0, 0)), one_garment(offset_xy=(90, 0))
    apart = join(right, wrong)
    together = match_given_boxes([apart.labels], [apart.predicted.keypoints_xy])
    assert score("pck_02", together, Bootstrap(1))["interval"] == [0.5, 0.5]
    assert score("pck_02", apart, Bootstrap(2))["interval"] == [0.0, 1.0]


def test_slices_have_intervals():
    garments = random_garments(3)
    scores = slices_of("epe", garments, Bootstrap(30, 50))
    for found in (scores["overall"], *scores["garment_type"].values(), *scores["visibility"].values()):
        assert found["interval"][0] < found["value"] < found["interval"][1]


# Against slow loops --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", ALL_METRICS)
def test_metrics_equal_slow_loops_on_random_garments(name, seed):
    garments = random_garments(seed)
    check_against_reference(score(name, garments), reference(name, garments))


@pytest.mark.parametrize("name", ALL_METRICS)
def test_slices_equal_slow_loops_on_random_garments(name):
    garments = random_garments(7)
    scores = slices_of(name, garments)
    for code, slice_ in ((1, "upper-body"), (2, "lower-body"), (3, "full-body")):
        wanted = reference(name, garments, among=lambda g, k, code=code: garments.labels.types[g] == code)
        check_against_reference(scores["garment_type"][slice_], wanted)
    for code, slice_ in enumerate(("unknown", "normal_pose", "medium_pose", "large_pose", "medium_zoom_in")):
        wanted = reference(name, garments, among=lambda g, k, code=code: garments.labels.variations[g] == code)
        check_against_reference(scores["variation"][slice_], wanted)
    for code, slice_ in ((2, "visible"), (1, "occluded")):
        wanted = reference(name, garments, among=lambda g, k, code=code: garments.labels.visibility[g, k] == code)
        check_against_reference(scores["visibility"][slice_], wanted)


def check_against_reference(found, wanted):
    assert (found["count"], found["skipped"]) == (wanted.count, wanted.skipped)
    assert found["value"] == pytest.approx(wanted.value)
    assert per_slot(found, "value") == pytest.approx(wanted.values)
    assert per_slot(found, "count") == wanted.counts
    assert per_slot(found, "skipped") == wanted.skipped_keypoints


def test_random_garments_have_every_hard_case():
    garments = random_garments(0)
    assert set(garments.labels.types) == {1, 2, 3} and set(garments.labels.visibility.ravel()) == {-1, 0, 1, 2}
    assert 0 < garments.found.sum() < len(garments.labels)
    assert max(np.bincount(garments.photo_index)) > 1
    skipped = {name: reference(name, garments).skipped for name in ALL_METRICS}
    assert skipped["epe"] == 0 < skipped["ne_bbox"] < skipped["ne_garment"]


# Rates ---------------------------------------------------------------------------------------------------------------


def test_a_rate_is_the_share_of_hits_in_all_photos():
    assert metrics.rate([0, 1, 2, 2], [True, False, True, True]) == {"value": 0.75, "count": 4, "interval": None}
    assert metrics.rate([], []) == metrics.rate([], [], Bootstrap(1)) == {"value": None, "count": 0, "interval": None}


def test_the_interval_of_a_rate_is_over_photos():
    hits = [[1], [0], [1, 0, 1], [], [0, 0], [1]]  # by photo
    random = np.random.default_rng(4)
    draws = [random.integers(6, size=6) for _ in range(60)]
    wanted = [np.mean([hit for photo in photos for hit in hits[photo]]) for photos in draws]
    photo_index = np.repeat(np.arange(6), list(map(len, hits)))
    interval = metrics.rate(photo_index, np.concatenate(hits), Bootstrap(6, 60, seed=4))["interval"]
    assert interval == pytest.approx(np.percentile(wanted, [2.5, 97.5]).tolist())
