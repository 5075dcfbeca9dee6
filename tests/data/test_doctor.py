import numpy as np
import pytest

from cspn_tf.data.doctor import (
    KINDS,
    KINDS_OF_DATASETS,
    NO_GARMENTS,
    NOTHING_VISIBLE,
    examine,
    examine_dataset,
    find_duplicates,
)
from cspn_tf.data.photo_checks import PhotoFacts
from cspn_tf.data.samples import Sample
from cspn_tf.data.shards import WrittenPhoto
from cspn_tf.garment_set import Garments
from cspn_tf.garments import GarmentType

SHIRT = Garments.label(
    GarmentType.UPPER_BODY,
    (10.0, 10.0, 90.0, 110.0),
    np.array([[40, 12], [60, 12], [12, 60], [88, 60], [0, 0], [0, 0], [30, 108], [70, 108]], np.float32),
    np.array([2, 2, 2, 2, 0, 0, 1, 2], np.int32),
)


def _found(height=120, width=100, *, garment=SHIRT, box=None, visibility=None, **keypoints):
    """Findings of the shirt, changed: (kind, detail) each."""
    keypoints_xy = garment.keypoints_xy.copy()
    for name, xy in keypoints.items():
        keypoints_xy[0, int(name[1:])] = xy
    garment = garment.replace(
        keypoints_xy=keypoints_xy,
        boxes_xyxy=[box] if box else garment.boxes_xyxy,
        visibility=garment.visibility if visibility is None else [visibility],
    )
    findings = examine(Sample("a.jpg", "train", garment, "list.txt:3", "a.jpg"), (height, width))
    assert all((f.photo, f.split, f.where) == ("a.jpg", "train", "list.txt:3") for f in findings)
    assert all(finding.kind in KINDS for finding in findings)
    return [(finding.kind, finding.detail) for finding in findings]


def test_nothing_is_found_where_nothing_is_odd():
    assert _found() == []


@pytest.mark.parametrize(
    ("box", "height", "width", "found"),
    [
        ((-1.5, 10, 90, 110), 120, 100, False),
        ((-1.6, 10, 90, 110), 120, 100, True),
        ((10, 10, 100.5, 110), 120, 100, False),  # a pixel beyond the edge at 99.5
        ((10, 10, 101, 110), 120, 100, True),
        ((10, 10, 90, 121), 120, 100, True),
    ],
)
def test_a_box_that_reaches_outside_is_found(box, height, width, found):
    findings = _found(height, width, box=box)
    assert ("box reaches outside the photo" in dict(findings)) == found


def test_a_keypoint_outside_is_found_and_one_without_coordinates_is_not():
    assert _found(k3=(100, 60)) == [("keypoint outside the photo", "right_sleeve 100 60, photo 100 x 120")]
    assert "keypoint outside the photo" not in dict(_found(k3=(100, 60), visibility=[2, 2, 2, 0, 0, 0, 1, 2]))


def test_a_keypoint_far_from_its_box_is_found():
    # A tenth of the long side, 100, is 10.
    assert _found(k3=(99.4, 60), box=(10, 10, 89.5, 110)) == []
    assert _found(k3=(99, 60), box=(10, 10, 88, 110)) == [
        ("keypoint far outside its box", "right_sleeve 99 60, box 10 10 88 110")
    ]


@pytest.mark.parametrize(
    ("left", "right", "kind"), [(0, 1, "collars reversed"), (2, 3, "sleeves reversed"), (6, 7, "hems reversed")]
)
def test_a_reversed_pair_is_found(left, right, kind):
    changed = {f"k{left}": SHIRT.keypoints_xy[0, right], f"k{right}": SHIRT.keypoints_xy[0, left]}
    ((found, detail),) = _found(**changed)
    assert found == kind
    assert f"x {SHIRT.keypoints_xy[0, right, 0]:g}" in detail


def test_a_reversed_pair_needs_both_of_its_keypoints():
    assert _found(k0=(70, 12), visibility=[2, 0, 2, 2, 0, 0, 1, 2]) == []


def test_the_waistline_of_trousers_is_looked_at():
    xy = np.zeros((8, 2), np.float32)
    xy[4:] = [[60, 20], [40, 20], [30, 100], [70, 100]]
    trousers = Garments.label(GarmentType.LOWER_BODY, (10, 10, 90, 110), xy, [0] * 4 + [2] * 4)
    assert _found(garment=trousers) == [("waistline reversed", "left_waistline x 60, right_waistline x 40")]
    assert _found(garment=trousers, k4=(35, 20)) == [
        ("normalising pair too close", "left_waistline and right_waistline are 5.0 px apart")
    ]


def test_keypoints_in_one_place_are_found():
    assert _found(k1=(40, 12)) == [("keypoints in one place", "left_collar, right_collar at 40 12")]


@pytest.mark.parametrize(("x", "found"), [(22, False), (21.9, True)])
def test_a_normalising_pair_under_ten_pixels_is_found(x, found):
    assert ("normalising pair too close" in dict(_found(k3=(x, 60)))) == found


def test_what_is_not_labelled_is_found():
    assert _found(visibility=[2, 2, 2, -1, 0, 0, 1, 2]) == [
        ("normalising pair not labelled", "left_sleeve and right_sleeve")
    ]
    assert _found(visibility=[0, -1, 0, 0, 0, 0, 0, 0]) == [("no labelled keypoint", "")]


def test_every_garment_is_looked_at():
    odd = SHIRT.replace(boxes_xyxy=[(-5.0, 10.0, 90.0, 110.0)])
    findings = examine(
        Sample("a.jpg", "train", Garments.concatenate([odd, SHIRT, odd]), "list.txt:3", "a.jpg"), (120, 100)
    )
    assert [finding.kind for finding in findings] == ["box reaches outside the photo"] * 2


def test_the_size_that_was_labelled_is_looked_at():
    sample = Sample("a.jpg", "train", Garments.concatenate([SHIRT, SHIRT]), "list.txt:3", "a.jpg", None, (240, 200))
    (finding,) = examine(sample, (120, 100))
    assert (finding.kind, finding.detail) == (
        "labelled size scaled",
        "labelled at 200 x 240, photo 100 x 120: 0.5 times as large",
    )
    assert (finding.photo, finding.where) == ("a.jpg", "list.txt:3")


# The dataset as a whole ----------------------------------------------------------------------------------------------


def _photos(*splits_and_visibility, num=1, size=120):
    photos = []
    for split, visibility in splits_and_visibility:
        garments = SHIRT.replace(visibility=[visibility])
        sample = Sample(f"{split}.jpg", split, garments, "list.txt:3", "a.jpg")
        photos += [WrittenPhoto(sample, PhotoFacts((size, size), "", None))] * num
    return photos


OCCLUDED, SOME_VISIBLE, UNLABELLED = [1, 1, 1, 1, 0, 0, 1, -1], [1, 1, 1, 2, 0, 0, 1, 1], [0] * 7 + [-1]


@pytest.mark.parametrize(
    ("visibility", "found"),
    [
        ({"train": OCCLUDED, "val": OCCLUDED}, [("all", "all of 10 labelled keypoints are occluded")]),
        ({"train": OCCLUDED, "val": UNLABELLED}, [("all", "all of 5 labelled keypoints are occluded")]),
        ({"train": SOME_VISIBLE, "val": OCCLUDED}, [("val", "all of 5 labelled keypoints are occluded")]),
        ({"train": SOME_VISIBLE, "val": UNLABELLED}, []),
        ({"train": UNLABELLED, "val": UNLABELLED}, []),
    ],
)
def test_labels_that_know_no_visible_keypoint_are_found(visibility, found):
    findings = examine_dataset(_photos(*visibility.items()))
    assert [(finding.split, finding.detail) for finding in findings] == found
    assert {finding.kind for finding in findings} <= {NOTHING_VISIBLE} < set(KINDS_OF_DATASETS)


def test_photos_of_which_none_has_a_garment_are_found():
    sample = Sample("a.jpg", "train", Garments.concatenate([]), "list.txt:3", "a.jpg")
    photos = [WrittenPhoto(sample, PhotoFacts((120, 120), "", None))] * 3
    (finding,) = examine_dataset(photos)
    assert (finding.kind, finding.detail) == (NO_GARMENTS, "none of 3 photos has a garment")
    assert examine_dataset([*photos, *_photos(("train", SOME_VISIBLE))]) == []


def test_labels_that_stay_in_a_part_of_every_photo_are_found():
    assert examine_dataset(_photos(("val", SOME_VISIBLE), num=50)) == []
    (finding,) = examine_dataset(_photos(("val", SOME_VISIBLE), num=50, size=240))
    assert (finding.kind, finding.split, finding.photo) == ("labels in a part of the photos", "all", "val.jpg")
    assert finding.detail == "to 38% of the width and 46% of the height in 99 % of 50 photos"


# Duplicates ----------------------------------------------------------------------------------------------------------


def _photo(name, split, digest, look):
    return WrittenPhoto(Sample(name, split, SHIRT, "list.txt:3", name), PhotoFacts((9, 9), digest, look))


def test_the_same_file_and_the_same_picture_are_found_once_each():
    photos = [
        _photo("a", "train", "d1", "l1"),
        _photo("b", "test", "d1", "l1"),  # a copy of a
        _photo("c", "train", "d2", "l2"),
        _photo("d", "train", "d3", "l2"),  # c, saved anew
        _photo("e", "val", "d4", None),
        _photo("f", "val", "d5", None),  # no look is not the same look
    ]
    copies, resaved = find_duplicates(photos)
    assert copies == {
        "kind": "same file",
        "across_splits": True,
        "photos": [{"split": "train", "photo": "a"}, {"split": "test", "photo": "b"}],
    }
    assert resaved == {
        "kind": "same picture",
        "across_splits": False,
        "photos": [{"split": "train", "photo": "c"}, {"split": "train", "photo": "d"}],
    }
