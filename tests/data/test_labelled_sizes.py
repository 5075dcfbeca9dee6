import dataclasses

import numpy as np
import pytest

from cspn_tf.console import UserError
from cspn_tf.data.labelled_sizes import (
    CONTRADICTED,
    RESHAPED,
    SCALED,
    TURNED,
    check_labelled_sizes,
    size_fault,
    unreached_part,
)
from cspn_tf.data.samples import Sample
from cspn_tf.garment_set import Garments
from cspn_tf.garments import GarmentType


def _sample(labelled_size, x=50, y=40, visibility=2):
    """A garment whose box ends at (x, y) / 2 and whose farthest keypoint is at x, y."""
    keypoints_xy = np.zeros((8, 2))
    keypoints_xy[3] = x, y
    garments = Garments.label(
        GarmentType.UPPER_BODY, (1, 1, x / 2, y / 2), keypoints_xy, [2, 2, 2, visibility] + [0] * 4
    )
    return Sample("a.jpg", "train", garments, "labels.json:3", "a.jpg", labelled_size=labelled_size)


# One photo -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labelled", "size", "fault"),
    [
        (None, (480, 640), None),
        ((480, 640), (480, 640), None),
        ((480, 640), (481, 639), None),  # rounded
        ((480, 640), (640, 480), (TURNED, "labelled at 640 x 480, photo 480 x 640")),
        ((480, 640), (320, 240), (TURNED, "labelled at 640 x 480, photo 240 x 320: turned, and 0.5 times as large")),
        ((480, 640), (240, 320), (SCALED, "labelled at 640 x 480, photo 320 x 240: 0.5 times as large")),
        ((480, 640), (1440, 1920), (SCALED, "labelled at 640 x 480, photo 1920 x 1440: 3 times as large")),
        ((1101, 750), (256, 174), (SCALED, "labelled at 750 x 1101, photo 174 x 256: 0.232 times as large")),
        ((640, 640), (320, 320), (SCALED, "labelled at 640 x 640, photo 320 x 320: 0.5 times as large")),
        (
            (480, 640),
            (320, 320),
            (RESHAPED, "labelled at 640 x 480, photo 320 x 320: 0.5 times as wide, 0.667 times as high"),
        ),
    ],
)
def test_what_is_between_the_sizes_is_told(labelled, size, fault):
    assert size_fault(_sample(labelled), size) == fault


@pytest.mark.parametrize(
    ("labelled", "size", "x", "y", "kind"),
    [
        ((480, 640), (640, 480), 300, 490, TURNED),  # ten pixels beyond the edge at 479.5, of 480
        ((480, 640), (640, 480), 300, 491, CONTRADICTED),
        ((480, 640), (640, 480), 491, 491, TURNED),  # it fits neither
        ((240, 320), (480, 640), 328, 100, CONTRADICTED),
        ((240, 320), (480, 640), 325, 100, SCALED),
    ],
)
def test_labels_that_fit_the_photo_and_not_the_size_contradict_it(labelled, size, x, y, kind):
    assert size_fault(_sample(labelled, x, y), size)[0] == kind


def test_boxes_contradict_where_no_keypoint_is_labelled():
    sample = _sample((480, 640), 300, 1200)
    assert size_fault(_sample((480, 640), 300, 1200, visibility=0), (640, 480))[0] == TURNED
    boxes = sample.garments.replace(visibility=np.zeros((1, 8)))
    assert size_fault(dataclasses.replace(sample, garments=boxes), (640, 480)) == (
        CONTRADICTED,
        "labelled at 640 x 480, photo 480 x 640, labels reach to x 150, y 600",
    )


# All photos ----------------------------------------------------------------------------------------------------------


SAME, OTHER = (_sample((480, 640)), (480, 640)), (_sample((480, 640)), (640, 480))
CONTRADICTING = (_sample((480, 640), 300, 600), (640, 480))


@pytest.mark.parametrize(
    ("pairs", "fails"),
    [
        ([OTHER] * 3 + [SAME] * 3, False),
        ([OTHER] * 4 + [SAME] * 3, True),
        ([OTHER] * 4 + [(_sample(None), (640, 480))] * 30, True),  # these say nothing
        ([OTHER] * 10 + [CONTRADICTING], True),
        ([OTHER] * 9 + [CONTRADICTING], False),
        ([CONTRADICTING] * 9, False),
        ([], False),
    ],
)
def test_most_photos_with_another_size_fail(pairs, fails):
    if not fails:
        check_labelled_sizes(pairs)
        return
    with pytest.raises(UserError, match=r"^labels.json:3: photo 'a.jpg' labelled at 640 x 480, photo 480 x 640; of"):
        check_labelled_sizes(pairs)


@pytest.mark.parametrize("num_keypoints", [0, 8])
def test_labels_of_photos_enlarged_since_fail_though_boxes_overshoot(num_keypoints):
    garments = Garments.label(
        GarmentType.FULL_BODY, (-5, -4, 325, 484), [(300, 470)] * 8, [2] * num_keypoints + [0] * (8 - num_keypoints)
    )
    sample = Sample("a.jpg", "train", garments, "labels.json:3", "a.jpg", labelled_size=(480, 320))
    with pytest.raises(UserError, match="of 20 photos with a stated size: 20 labelled size scaled"):
        check_labelled_sizes([(sample, (960, 640))] * 20)


def test_the_failure_counts_each_kind_and_has_an_example_of_the_most_frequent():
    scaled = (_sample((480, 640)), (240, 320))
    with pytest.raises(UserError) as error:
        check_labelled_sizes([OTHER] + [scaled] * 3 + [SAME])
    assert "photo 'a.jpg' labelled at 640 x 480, photo 320 x 240: 0.5 times as large; of 5 photos" in str(error.value)
    assert "with a stated size: 3 labelled size scaled, 1 labelled size turned. Bring" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("num", "x", "y", "part"),
    [
        (50, 51.2, 25.6, "to 51% of the width and 26% of the height in 99 % of 50 photos"),  # for photos half as large
        (49, 51.2, 25.6, None),
        (50, 90, 20, None),
        (50, 20, 90, None),
    ],
)
def test_labels_that_stay_in_a_part_of_the_photos_are_told(num, x, y, part):
    assert unreached_part([(_sample(None, x, y), (100, 101))] * num) == part


def test_one_photo_in_a_hundred_may_be_reached_and_those_that_say_a_size_do_not_count():
    small = [(_sample(None, 30, 30), (100, 100))] * 150
    assert unreached_part([*small, (_sample(None, 99, 99), (100, 100))]) is not None
    assert unreached_part([*small, *[(_sample(None, 99, 99), (100, 100))] * 5]) is None
    assert unreached_part([(_sample((100, 100), 30, 30), (100, 100))] * 150) is None
