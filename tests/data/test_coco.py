import dataclasses
import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from cspn_tf.console import UserError
from cspn_tf.data.coco import (
    PHOTO_WITHOUT_GARMENT,
    REPEATED_ANNOTATION,
    read_coco,
    read_labelled_images,
    split_of_file,
    split_path,
    write_coco,
)
from cspn_tf.data.samples import Garment, Sample
from cspn_tf.garments import GarmentType, Variation, Visibility

UPPER_NAMES = ["left collar", "right collar", "left sleeve", "right sleeve", "left hem", "right hem"]
LOWER_NAMES = ["left waistline", "right waistline", "left hem", "right hem"]
FULL_NAMES = UPPER_NAMES[:4] + LOWER_NAMES

UPPER = [10, 11, 2, 20, 21, 2, 30, 31, 1, 40, 41, 2, 70, 71, 2, 0, 0, 0]
LOWER = [50, 51, 2, 60, 61, 1, 70, 71, 2, 80, 81, 2]
FULL = [10, 11, 2, 20, 21, 2, 30, 31, 1, 40, 41, 2, 50, 51, 2, 60, 61, 1, 70, 71, 2, 80, 81, 2]


def _annotation(number, image_id, keypoints, **changes):
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "bbox": [5, 6, 100, 200],
        "area": 20000,
        "iscrowd": 0,
        "num_keypoints": sum(v > 0 for v in keypoints[2::3]),
        "keypoints": keypoints,
        **changes,
    }


def _category(names, number=1, name="fashion"):
    return {"supercategory": "person", "id": number, "name": name, "keypoints": names, "skeleton": []}


def _images(*names):
    return [{"id": n, "file_name": name, "height": 300, "width": 200} for n, name in enumerate(names, start=1)]


def _labels(names=FULL_NAMES, keypoints=FULL, num_photos=1, **changes):
    """One annotation a photo, of one category."""
    return {
        "info": {"description": "a test"},
        "categories": [_category(names)],
        "images": _images(*(f"{n}.jpg" for n in range(1, num_photos + 1))),
        "annotations": [_annotation(n, n, keypoints) for n in range(1, num_photos + 1)],
        **changes,
    }


def _write(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(labels if isinstance(labels, str) else json.dumps(labels))


def _read(root, labels, name="labels.json", **kwargs):
    _write(root / name, labels)
    return read_coco(root, **kwargs)


def _read_one(root, labels, **kwargs):
    result = _read(root, labels, **kwargs)
    assert result.rejected == []
    (garment,) = result.samples[0].garments
    return garment


def _reject(root, labels):
    """Read three photos of which the second has a fault."""
    result = _read(root, labels)
    assert [sample.photo for sample in result.samples] == ["1.jpg", "3.jpg"]
    for rejected in result.rejected:
        assert rejected.reason.isprintable() and rejected.where.startswith(f"{root / 'labels.json'}: ")
    return result.rejected


def _refuse(root, labels, **kwargs):
    with pytest.raises(UserError) as error:
        _read(root, labels, **kwargs)
    assert str(error.value).isprintable()
    return str(error.value)


def _touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"a photo")


def _assert_garments_equal(garment, wanted):
    assert garment.garment_type == wanted.garment_type and garment.variation == wanted.variation
    assert garment.box_xyxy == wanted.box_xyxy
    np.testing.assert_array_equal(garment.keypoints_xy, wanted.keypoints_xy)
    np.testing.assert_array_equal(garment.visibility, wanted.visibility)
    assert garment.keypoints_xy.dtype == np.float32 and garment.visibility.dtype == np.int32


# Reading -------------------------------------------------------------------------------------------------------------


def test_eight_keypoints_of_one_category_are_full_body(tmp_path):
    result = _read(tmp_path, _labels())
    (sample,) = result.samples
    assert (sample.photo, sample.split, sample.group) == ("1.jpg", None, None)
    assert sample.where == f"{tmp_path / 'labels.json'}: image 1"
    assert sample.path == str(tmp_path / "1.jpg")
    (garment,) = sample.garments
    assert garment.garment_type == GarmentType.FULL_BODY and garment.variation == Variation.UNKNOWN
    assert garment.box_xyxy == (5.0, 6.0, 105.0, 206.0)
    wanted_xy = [[10, 11], [20, 21], [30, 31], [40, 41], [50, 51], [60, 61], [70, 71], [80, 81]]
    np.testing.assert_array_equal(garment.keypoints_xy, np.array(wanted_xy, np.float32))
    np.testing.assert_array_equal(garment.visibility, [2, 2, 1, 2, 2, 1, 2, 2])
    assert result.notes == {} and "COCO" in result.variant


@pytest.mark.parametrize(
    "names, keypoints, garment_type, keypoints_xy, visibility",
    [
        (
            UPPER_NAMES,
            UPPER,
            GarmentType.UPPER_BODY,
            [[10, 11], [20, 21], [30, 31], [40, 41], [0, 0], [0, 0], [70, 71], [0, 0]],
            [2, 2, 1, 2, 0, 0, 2, 0],
        ),
        (
            LOWER_NAMES,
            LOWER,
            GarmentType.LOWER_BODY,
            [[0, 0], [0, 0], [0, 0], [0, 0], [50, 51], [60, 61], [70, 71], [80, 81]],
            [0, 0, 0, 0, 2, 1, 2, 2],
        ),
    ],
)
def test_fewer_keypoints_tell_the_type(tmp_path, names, keypoints, garment_type, keypoints_xy, visibility):
    garment = _read_one(tmp_path, _labels(names, keypoints))
    assert garment.garment_type == garment_type
    np.testing.assert_array_equal(garment.keypoints_xy, keypoints_xy)
    np.testing.assert_array_equal(garment.visibility, visibility)


@pytest.mark.parametrize("spelling", ["left_{}", "Left-{}", "LEFT  {}", " left.{} ", "left_-{}"])
def test_spellings_of_keypoint_names(tmp_path, spelling):
    names = [spelling.format(name.partition(" ")[2]) if name.startswith("left") else name for name in FULL_NAMES]
    assert _read_one(tmp_path, _labels(names)).keypoints_xy[2].tolist() == [30, 31]


def test_the_order_of_keypoint_names_is_the_files(tmp_path):
    garment = _read_one(tmp_path, _labels(FULL_NAMES[::-1]))
    wanted_xy = [[80, 81], [70, 71], [60, 61], [50, 51], [40, 41], [30, 31], [20, 21], [10, 11]]
    np.testing.assert_array_equal(garment.keypoints_xy, wanted_xy)
    np.testing.assert_array_equal(garment.visibility, [2, 2, 1, 2, 2, 1, 2, 2])


@pytest.mark.parametrize(
    "name, garment_type",
    [
        ("upper", GarmentType.UPPER_BODY),
        ("upper-body", GarmentType.UPPER_BODY),
        ("Upper_Body", GarmentType.UPPER_BODY),
        ("upperbody", GarmentType.UPPER_BODY),
        ("lower body", GarmentType.LOWER_BODY),
        ("LOWER", GarmentType.LOWER_BODY),
        ("full-body", GarmentType.FULL_BODY),
        ("full", GarmentType.FULL_BODY),
    ],
)
def test_names_of_categories_with_all_keypoints(tmp_path, name, garment_type):
    labels = _labels(keypoints=[0] * 24)
    labels["categories"] = [_category(FULL_NAMES, 1, name), _category(LOWER_NAMES, 2, "other")]
    assert _read_one(tmp_path, labels).garment_type == garment_type


def test_a_name_that_says_nothing_is_refused_beside_other_categories(tmp_path):
    labels = _labels()
    labels["categories"].append(_category(LOWER_NAMES, 2, "other"))
    assert "category 'fashion' does not tell its garment type" in _refuse(tmp_path, labels)
    (garment,) = read_coco(tmp_path, categories={"fashion": GarmentType.FULL_BODY}).samples[0].garments
    assert garment.garment_type == GarmentType.FULL_BODY


def test_a_given_type_goes_before_the_categorys_own(tmp_path):
    labels = _labels(keypoints=[*FULL[:12], *[0] * 6, *FULL[18:]])
    garment = _read_one(tmp_path, labels, categories={"fashion": GarmentType.UPPER_BODY})
    assert garment.garment_type == GarmentType.UPPER_BODY
    np.testing.assert_array_equal(garment.visibility, [2, 2, 1, 2, 0, 0, 2, 2])


def test_a_given_type_makes_a_subset_of_keypoints_readable(tmp_path):
    labels = _labels(["left collar", "right collar"], [1, 2, 2, 3, 4, 1])
    assert "category 'fashion' does not tell its garment type" in _refuse(tmp_path, labels)
    (garment,) = read_coco(tmp_path, categories={"fashion": GarmentType.UPPER_BODY}).samples[0].garments
    np.testing.assert_array_equal(garment.visibility, [2, 1, 0, 0, 0, 0, 0, 0])


def test_a_given_type_for_a_category_that_is_not_there_is_refused(tmp_path):
    message = _refuse(tmp_path, _labels(), categories={"fashions": GarmentType.FULL_BODY})
    assert "no category 'fashions', found 'fashion'" in message


def test_mmpose_files_come_together(tmp_path):
    annotations = tmp_path / "annotations"
    images = {"images": _images("a.jpg", "b.jpg")}
    _write(annotations / "fld_upper_train.json", _labels(UPPER_NAMES, UPPER, **images))
    lower = _labels(LOWER_NAMES, LOWER, **images)
    lower["annotations"] = [_annotation(1, 1, LOWER), _annotation(2, 2, LOWER)]
    _write(annotations / "fld_lower_train.json", lower)
    _write(annotations / "fld_full_val.json", _labels(images=_images("c.jpg")))
    _touch(tmp_path, "img/a.jpg", "img/b.jpg", "img/c.jpg")
    result = read_coco(tmp_path)
    found = {
        (sample.photo, sample.split): [garment.garment_type for garment in sample.garments] for sample in result.samples
    }
    assert found == {
        ("a.jpg", "train"): [GarmentType.LOWER_BODY, GarmentType.UPPER_BODY],  # files in the order of their names
        ("b.jpg", "train"): [GarmentType.LOWER_BODY],
        ("c.jpg", "val"): [GarmentType.FULL_BODY],
    }
    assert [sample.path for sample in result.samples if sample.photo == "a.jpg"] == [str(tmp_path / "img/a.jpg")]
    assert result.rejected == [] and result.notes == {}


def test_a_fault_in_one_file_costs_the_photo_of_all(tmp_path):
    _write(tmp_path / "lower_train.json", _labels(LOWER_NAMES, [*LOWER[:-1], 3], 2))
    _write(tmp_path / "upper_train.json", _labels(UPPER_NAMES, UPPER, 3))
    result = read_coco(tmp_path)
    assert [sample.photo for sample in result.samples] == ["3.jpg"]
    assert [rejected.photo for rejected in result.rejected] == ["1.jpg", "2.jpg"]
    assert result.rejected[0].where == f"{tmp_path / 'lower_train.json'}: annotation 1"


@pytest.mark.parametrize("groups, num_samples", [(("a", "a"), 1), (("a", "b"), 0), (("a", None), 0), ((None, "a"), 0)])
def test_files_must_agree_on_the_group_of_a_photo(tmp_path, groups, num_samples):
    for names, keypoints, group in zip((UPPER_NAMES, LOWER_NAMES), (UPPER, LOWER), groups, strict=True):
        labels = _labels(names, keypoints)
        if group:
            labels["images"][0]["split_group"] = group
        _write(tmp_path / f"{len(names)}.json", labels)
    result = read_coco(tmp_path)
    assert [sample.group for sample in result.samples] == ["a"] * num_samples
    assert len(result.rejected) == 1 - num_samples
    assert all("split_group" in rejected.reason for rejected in result.rejected)


def test_the_same_name_in_two_splits_is_two_photos_if_it_is(tmp_path):
    for split in ("train", "val"):
        _write(tmp_path / f"labels.{split}.json", _labels())
        _touch(tmp_path, f"{split}/1.jpg")
    assert [(sample.split, sample.path) for sample in read_coco(tmp_path).samples] == [
        ("train", str(tmp_path / "train/1.jpg")),
        ("val", str(tmp_path / "val/1.jpg")),
    ]


def test_one_photo_in_two_splits_is_rejected(tmp_path):
    for name in ("labels.json", "labels.train.json"):
        _write(tmp_path / name, _labels())
    _touch(tmp_path, "img/1.jpg")
    result = read_coco(tmp_path)
    assert result.samples == []
    assert [rejected.reason for rejected in result.rejected] == [
        f"the same photo is labelled apart from it in {tmp_path / 'labels.train.json'}: image 1",
        f"the same photo is labelled apart from it in {tmp_path / 'labels.json'}: image 1",
    ]


@pytest.mark.parametrize(
    "name, split",
    [
        ("fld_upper_train.json", "train"),
        ("labels.val.json", "val"),
        ("labels-validation.json", "val"),
        ("Test.json", "test"),
        ("train_labels.json", None),
        ("labels.json", None),
        ("labels_train2017.json", None),
        ("a/train/labels.json", None),
    ],
)
def test_a_files_split_is_the_last_part_of_its_name(name, split):
    assert split_of_file(name) == split


def test_an_annotation_that_repeats_another_is_left_out_and_counted(tmp_path):
    labels = _labels(num_photos=2)
    labels["annotations"] += [_annotation(3, 1, FULL), _annotation(4, 1, FULL, bbox=[5, 6, 100, 201])]
    result = _read(tmp_path, labels)
    assert [len(sample.garments) for sample in result.samples] == [2, 1]
    assert result.notes == {REPEATED_ANNOTATION: 1} and result.rejected == []


def test_photos_without_annotations_are_left_out_and_counted(tmp_path):
    result = _read(tmp_path, _labels(images=_images("1.jpg", "2.jpg", "3.jpg")))
    assert len(result.samples) == 1 and result.rejected == []
    assert result.notes == {PHOTO_WITHOUT_GARMENT: 2}


def test_only_the_given_files_are_read(tmp_path):
    _write(tmp_path / "a.json", "no JSON")
    _write(tmp_path / "elsewhere" / "b.json", _labels())
    result = read_coco(str(tmp_path), annotation_files=[str(tmp_path / "elsewhere" / "b.json")] * 2)
    assert len(result.samples) == 1 and result.notes == {}


@pytest.mark.parametrize("folder", ["", "img", "image", "images", "photos", "val", "validation"])
def test_photos_are_looked_for_in_the_usual_folders(tmp_path, folder):
    _touch(tmp_path, os.path.join(folder, "1.jpg"))
    (sample,) = _read(tmp_path, _labels(), "annotations/labels.val.json").samples
    assert sample.path == str(tmp_path / folder / "1.jpg")


def test_the_first_folder_that_has_the_photo_counts(tmp_path):
    _touch(tmp_path, "images/1.jpg", "img/1.jpg", "val/1.jpg")
    assert _read(tmp_path, _labels()).samples[0].path == str(tmp_path / "img/1.jpg")


def test_a_longer_spelling_of_a_photo_is_the_same_photo(tmp_path):
    labels = _labels(num_photos=3)
    labels["images"][0]["file_name"] = "./3.jpg"
    result = _read(tmp_path, labels)
    assert [sample.photo for sample in result.samples] == ["2.jpg"]
    assert result.rejected[0].reason == "file_name '3.jpg' is there more than once"


@pytest.mark.parametrize("variation", [0, 3, 5, 3.0])
def test_variation_is_restored(tmp_path, variation):
    labels = _labels()
    labels["annotations"][0]["variation"] = variation
    assert _read_one(tmp_path, labels).variation == Variation(variation)


def test_optional_keys_may_be_missing(tmp_path):
    labels = _labels()
    for key in ("iscrowd", "num_keypoints", "area"):
        del labels["annotations"][0][key]
    for key in ("height", "width"):
        del labels["images"][0][key]
    assert _read_one(tmp_path, labels).garment_type == GarmentType.FULL_BODY


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"bbox": [1, 2, 3]}, "bbox has 3 values, required 4"),
        ({"bbox": [1, 2, 0, 4]}, "box 1 2 1 6 has no area"),
        ({"bbox": [1, 2, -3, 4]}, "box 1 2 -2 6 has no area"),
        ({"bbox": [1, 2, "3", 4]}, "bbox is '3', required a number"),
        ({"bbox": [1, 2, float("inf"), 4]}, "bbox Infinity is not a number of pixels"),
        ({"bbox": [1e6, 2, 1e6, 4]}, "corner of the box 2000000.0 is not a number of pixels"),
        ({"keypoints": FULL[:-1]}, "keypoints has 23 values, required 24"),
        ({"keypoints": None}, "keypoints is null, required a list"),
        ({"keypoints": [*FULL[:-1], 3]}, "visibility of right_hem is 3, required 2, 1, 0"),
        ({"keypoints": [*FULL[:-1], True]}, "visibility of right_hem is true"),
        ({"keypoints": [*FULL[:-2], [1], 2]}, "y of right_hem is a list of 1"),
        ({"keypoints": [float("nan"), *FULL[1:]]}, "x of left_collar NaN is not a number of pixels"),
        ({"num_keypoints": 6}, "num_keypoints is 6, required 8"),
        ({"num_keypoints": None}, "num_keypoints is null, required 8"),
        ({"iscrowd": 1}, "iscrowd is 1"),
        ({"iscrowd": True}, "iscrowd is true, required 0, 1"),
        ({"category_id": 2}, "category_id 2 is no category's id"),
        ({"category_id": "1"}, "category_id is '1', required a whole number"),
        ({"id": None}, "id is null, required a whole number"),
        ({"id": 3}, "annotation id 3 is there more than once"),
        ({"variation": 6}, "variation is 6, required 0, 1, 2, 3, 4, 5"),
        ({"variation": None}, "variation is null"),
    ],
)
def test_a_fault_of_an_annotation_costs_the_photo(tmp_path, changes, words):
    labels = _labels(num_photos=4 if changes.get("id") == 3 else 3)
    labels["annotations"].insert(0, _annotation(9, 2, FULL))
    labels["annotations"][2].update(changes)
    if changes.get("id") == 3:
        labels["annotations"][3]["image_id"] = 4  # the other one with this id
    labels["annotations"].append(_annotation(8, 3, FULL, bbox=[1, 2, 3, 4]))
    assert words in _reject(tmp_path, labels)[0].reason


@pytest.mark.parametrize("key", ["id", "category_id", "bbox", "keypoints"])
def test_an_annotation_that_lacks_something_costs_the_photo(tmp_path, key):
    labels = _labels(num_photos=3)
    del labels["annotations"][1][key]
    (rejected,) = _reject(tmp_path, labels)
    assert rejected.reason == f"the annotation has no '{key}'"
    assert rejected.where.endswith("annotations[1]" if key == "id" else "annotation 2")
    assert rejected.photo == "2.jpg"


def test_a_labelled_keypoint_the_type_does_not_have_costs_the_photo(tmp_path):
    labels = _labels(keypoints=[*FULL[:12], *[0] * 6, *FULL[18:]], num_photos=3)
    labels["categories"][0]["name"] = "upper"
    labels["annotations"][1]["keypoints"] = FULL
    assert _reject(tmp_path, labels)[0].reason == "left_waistline is labelled, which upper-body does not have"


@pytest.mark.parametrize("image_id", [9, "1", 1.0, True, None, [1]])
def test_an_annotation_of_no_photo_is_rejected(tmp_path, image_id):
    labels = _labels(num_photos=3)
    labels["annotations"].append(_annotation(4, image_id, FULL))
    result = _read(tmp_path, labels)
    assert len(result.samples) == 3
    (rejected,) = result.rejected
    assert "is no image's id" in rejected.reason and rejected.where.endswith(": annotation 4")


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"id": 1.5}, "id is 1.5, required a whole number"),
        ({"id": None}, "id is null"),
        ({"file_name": None}, "file_name is null, required text"),
        ({"file_name": "../2.jpg"}, "file_name '../2.jpg' is not a path inside the dataset"),
        ({"file_name": "/2.jpg"}, "is not a path inside the dataset"),
        ({"file_name": "2\0.jpg"}, "file_name '2\\x00.jpg' is not a path inside the dataset"),
        ({"file_name": "\ud800.jpg"}, "file_name '\\ud800.jpg' is not a path inside the dataset"),
        ({"file_name": ""}, "is not a path inside the dataset"),
        ({"split_group": 7}, "split_group is 7, required text"),
    ],
)
def test_a_fault_of_an_image_costs_the_photo(tmp_path, changes, words):
    labels = _labels(num_photos=3)
    labels["images"][1].update(changes)
    assert any(words in rejected.reason for rejected in _reject(tmp_path, labels))


def test_images_with_the_same_id_are_rejected(tmp_path):
    labels = _labels(num_photos=4)
    labels["images"][3]["id"] = 2
    result = _read(tmp_path, labels)
    assert [sample.photo for sample in result.samples] == ["1.jpg", "3.jpg"]
    assert {rejected.photo for rejected in result.rejected} == {"2.jpg", "4.jpg", ""}  # "" has no image any more


@pytest.mark.parametrize(
    "labels, words",
    [
        ("", "is not JSON"),
        ("[]", "it is a list of 0, required an object"),
        ('{"images": []}', "it has no 'annotations'"),
        ('{"images": {}}', "images is an object, required a list"),
        ('{"images": [], "images": []}', "it has the key 'images' more than once"),
        (json.dumps(_labels())[:-30], "is not JSON"),
        (_labels(categories=[7]), "categories[0] is 7, required an object"),
        (_labels(categories=[{"id": 1, "keypoints": FULL_NAMES}]), "categories[0] has no 'name'"),
        (_labels(categories=[{"id": 1, "name": 2, "keypoints": FULL_NAMES}]), "name of categories[0] is 2"),
        (_labels(categories=[{"id": "1", "name": "x", "keypoints": FULL_NAMES}]), "id of categories[0] is '1'"),
        (_labels(categories=[{"id": 1, "name": "x"}]), "category 'x' has no 'keypoints'"),
        (_labels(["nose", "left_eye"]), "category 'fashion' has the keypoint 'nose', known are left_collar"),
        (_labels([*FULL_NAMES, 3]), "category 'fashion' has the keypoint 3"),
        (_labels([*FULL_NAMES, "Left-Hem"]), "category 'fashion' has a keypoint more than once"),
        (_labels(FULL_NAMES[1:]), "category 'fashion' does not tell its garment type"),
        (_labels([]), "category 'fashion' does not tell its garment type"),
        (_labels(categories=[_category(LOWER_NAMES), _category(UPPER_NAMES)]), "is there more than once"),
        (_labels(categories=[_category(LOWER_NAMES), _category(UPPER_NAMES, 1, "x")]), "is there more than once"),
    ],
)
def test_a_file_that_is_not_coco_keypoints_is_refused(tmp_path, labels, words):
    message = _refuse(tmp_path, labels)
    assert message.startswith(f"{tmp_path / 'labels.json'}: ") and words in message


def test_a_file_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "labels.json").write_bytes(b"\xff\xfe{\0}\0")
    with pytest.raises(UserError, match=r"labels.json: is not UTF-8: byte 0"):
        read_coco(tmp_path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        read_coco(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no JSON file in it or in annotations"):
        read_coco(tmp_path)
    with pytest.raises(UserError, match=r"x.json: cannot be read: No such file"):
        read_coco(tmp_path, annotation_files=[tmp_path / "x.json"])


# Reading all images, strictly ----------------------------------------------------------------------------------------


def _read_images(tmp_path, *documents):
    files = [tmp_path / f"{number}.json" for number in range(len(documents))]
    for file, labels in zip(files, documents, strict=True):
        _write(file, labels)
    return read_labelled_images(files)


def _refuse_images(tmp_path, *documents):
    with pytest.raises(UserError) as error:
        _read_images(tmp_path, *documents)
    assert str(error.value).isprintable()
    return str(error.value)


def test_images_without_annotations_are_there_too(tmp_path):
    photos = _read_images(tmp_path, _labels(images=_images("1.jpg", "2.jpg", "3.jpg")))
    assert [(image_id, photo.name, len(photo.garments)) for image_id, photo in photos.items()] == [
        (1, "1.jpg", 1),
        (2, "2.jpg", 0),
        (3, "3.jpg", 0),
    ]
    assert photos[1].garments[0].garment_type == GarmentType.FULL_BODY


def test_repeated_annotations_are_told_apart_by_everything(tmp_path):
    labels = _labels()
    labels["annotations"] += [_annotation(3, 1, FULL), _annotation(4, 1, FULL, bbox=[5, 6, 100, 201])]
    photo = _read_images(tmp_path, labels)[1]
    assert (len(photo.garments), len(photo.distinct_garments())) == (3, 2)


def test_several_files_share_their_images(tmp_path):
    upper, lower = _labels(UPPER_NAMES, UPPER), _labels(LOWER_NAMES, LOWER)
    lower["images"].append({"id": 5, "file_name": "5.jpg"})
    photos = _read_images(tmp_path, upper, lower)
    assert list(photos) == [1, 5]
    assert [garment.garment_type for garment in photos[1].garments] == [GarmentType.UPPER_BODY, GarmentType.LOWER_BODY]


def test_ids_must_tell_the_images_of_several_files_apart(tmp_path):
    other = _labels(images=[{"id": 1, "file_name": "other.jpg"}])
    message = f"{tmp_path / '1.json'}: image 1 is 'other.jpg', another one in {tmp_path / '0.json'}: image 1"
    assert _refuse_images(tmp_path, _labels(), other) == message
    again = _labels(images=[{"id": 2, "file_name": "1.jpg"}], annotations=[])
    message = f"{tmp_path / '1.json'}: image 2 has another id in {tmp_path / '0.json'}: image 1"
    assert _refuse_images(tmp_path, _labels(), again) == message


def test_the_same_file_twice_is_read_once(tmp_path):
    _write(tmp_path / "a.json", _labels())
    assert len(read_labelled_images([tmp_path / "a.json", tmp_path / "." / "a.json"])[1].garments) == 1


@pytest.mark.parametrize(
    ("key", "changes", "words"),
    [
        ("annotations", {"bbox": [1, 2, 0, 4]}, "annotation 2: box 1 2 1 6 has no area"),
        ("annotations", {"keypoints": FULL[:-1]}, "annotation 2: keypoints has 23 values, required 24"),
        ("annotations", {"image_id": 9}, "annotation 2: image_id 9 is no image's id"),
        ("annotations", {"id": 1}, "annotation 1: annotation id 1 is there more than once"),
        ("images", {"id": None}, "images[1]: id is null, required a whole number"),
        ("images", {"id": 1}, "image 1: image id 1 is there more than once"),
        ("images", {"file_name": "../2.jpg"}, "image 2: file_name '../2.jpg' is not a path inside the dataset"),
    ],
)
def test_any_fault_ends_the_strict_reading(tmp_path, key, changes, words):
    labels = _labels(num_photos=3)
    labels[key][1].update(changes)
    assert _refuse_images(tmp_path, labels) == f"{tmp_path / '0.json'}: {words}"


# Writing -------------------------------------------------------------------------------------------------------------


def _garment(garment_type=GarmentType.FULL_BODY, visibility=(2, 1, 2, 2, 2, 2, 2, 2), **changes):
    visibility = np.array(visibility, np.int32)
    keypoints_xy = np.arange(16, dtype=np.float32).reshape(8, 2) / 4 + 0.1
    keypoints_xy[visibility <= Visibility.ABSENT] = 0
    garment = Garment(garment_type, (1.0, 2.0, 30.5, 40.0), keypoints_xy, visibility)
    return dataclasses.replace(garment, **changes)


def _sample(photo, *garments, split=None, group=None):
    return Sample(photo, split, garments, "somewhere", "anywhere", group)


def test_what_is_written_is_coco(tmp_path):
    upper = _garment(GarmentType.UPPER_BODY, (2, 1, -1, 2, 0, 0, 2, 2), variation=Variation.LARGE_POSE)
    photos = [(_sample("img/a.jpg", upper, _garment()), 50, 40), (_sample("img/b.jpg", _garment()), 60, 70)]
    write_coco(tmp_path / "labels.json", iter(photos))
    labels = json.loads((tmp_path / "labels.json").read_text())
    assert labels["images"] == [
        {"id": 1, "file_name": "img/a.jpg", "height": 50, "width": 40},
        {"id": 2, "file_name": "img/b.jpg", "height": 60, "width": 70},
    ]
    assert [(category["id"], category["name"]) for category in labels["categories"]] == [
        (1, "upper-body"),
        (2, "lower-body"),
        (3, "full-body"),
    ]
    for category in labels["categories"]:
        assert category["keypoints"] == [name.replace(" ", "_") for name in FULL_NAMES]
        assert category["skeleton"] and all(1 <= end <= 8 for link in category["skeleton"] for end in link)
    assert [(label["id"], label["image_id"]) for label in labels["annotations"]] == [(1, 1), (2, 1), (3, 2)]
    assert labels["annotations"][0] == {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [1, 2, 29.5, 38],
        "area": 1121,
        "iscrowd": 0,
        "num_keypoints": 5,
        "keypoints": [
            *[0.1, 0.35, 2, 0.6, 0.85, 1, 0, 0, 0, 1.6, 1.85, 2],
            *[0, 0, 0, 0, 0, 0, 3.1, 3.35, 2, 3.6, 3.85, 2],
        ],
        "variation": 3,
    }
    assert os.listdir(tmp_path) == ["labels.json"]


def test_pycocotools_loads_what_is_written(tmp_path, capsys):
    write_coco(tmp_path / "labels.json", [(_sample("a.jpg", _garment(), _garment(GarmentType.LOWER_BODY)), 50, 40)])
    coco = COCO(str(tmp_path / "labels.json"))
    assert coco.getCatIds() == [1, 2, 3]
    assert [label["category_id"] for label in coco.loadAnns(coco.getAnnIds(imgIds=[1]))] == [3, 2]
    assert coco.loadImgs([1])[0]["file_name"] == "a.jpg"


def test_nothing_is_written_where_the_photos_fail(tmp_path):
    def photos():
        yield _sample("a.jpg", _garment()), 50, 40
        raise UserError("a photo is missing")

    (tmp_path / "labels.json").write_text("old")
    with pytest.raises(UserError):
        write_coco(tmp_path / "labels.json", photos())
    assert os.listdir(tmp_path) == ["labels.json"]
    assert (tmp_path / "labels.json").read_text() == "old"


def test_no_photos_are_a_file_too(tmp_path):
    write_coco(str(tmp_path / "labels.json"), [])
    labels = json.loads((tmp_path / "labels.json").read_text())
    assert labels["images"] == labels["annotations"] == []


@pytest.mark.parametrize(
    "path, wanted",
    [
        ("labels.json", "labels.train.json"),
        ("a.b/labels.v2.json", "a.b/labels.v2.train.json"),
        ("labels", "labels.train.json"),
        ("labels.txt", "labels.txt.train.json"),
    ],
)
def test_split_path(path, wanted):
    assert str(split_path(path, "train")) == wanted
    assert split_of_file(split_path(path, "train")) == "train"


_COORDINATES = st.floats(0, 5000, width=32).map(lambda x: 0.0 if x < 1e-3 else x)


@st.composite
def _garments(draw):
    garment_type = draw(st.sampled_from(GarmentType))
    slots = {1: (0, 1, 2, 3, 6, 7), 2: (4, 5, 6, 7), 3: range(8)}[garment_type]
    visibility = np.zeros(8, np.int32)
    keypoints_xy = np.zeros((8, 2), np.float32)
    for slot in slots:
        visibility[slot] = draw(st.sampled_from(Visibility))
        if visibility[slot] > 0:
            keypoints_xy[slot] = draw(_COORDINATES), draw(_COORDINATES)
    x_min, y_min = draw(_COORDINATES), draw(_COORDINATES)
    width, height = (draw(st.floats(1, 3000, width=32)) for _ in range(2))
    box_xyxy = x_min, y_min, float(np.float32(x_min + width)), float(np.float32(y_min + height))
    return Garment(garment_type, box_xyxy, keypoints_xy, visibility, draw(st.sampled_from(Variation)))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.lists(_garments(), min_size=1, max_size=3), max_size=4), st.sampled_from(["train", "val", None]))
def test_what_is_written_is_read_back(tmp_path_factory, garments, split):
    root = tmp_path_factory.mktemp("coco")
    samples = [
        _sample(f"img/é {n}.jpg", *of_photo, split=split, group=None if n % 2 else f"pair {n}")
        for n, of_photo in enumerate(garments)
    ]
    path = root / "labels.json" if split is None else split_path(root / "labels.json", split)
    write_coco(path, ((sample, 100, 200) for sample in samples))
    result = read_coco(root)
    assert result.rejected == []
    assert len(result.samples) == len(samples)
    for sample, wanted in zip(result.samples, samples, strict=True):
        assert (sample.photo, sample.split, sample.group) == (wanted.photo, wanted.split, wanted.group)
        kept = {_identity(garment): garment for garment in wanted.garments}
        assert len(sample.garments) == len(kept)
        for garment, wanted_garment in zip(sample.garments, kept.values(), strict=True):
            visibility = np.maximum(wanted_garment.visibility, Visibility.ABSENT)  # cut off becomes absent
            _assert_garments_equal(garment, dataclasses.replace(wanted_garment, visibility=visibility))


def _identity(garment):
    """What tells two garments apart once they are written."""
    visibility = np.maximum(garment.visibility, 0).tolist()
    return str((garment.garment_type, garment.box_xyxy, garment.variation, garment.keypoints_xy.tolist(), visibility))
