import json

import numpy as np
import pytest

from cspn_tf.console import UserError
from cspn_tf.data.coco import read_coco, read_labelled_images
from cspn_tf.data.coco_file import (
    FOREIGN_GROUP,
    FOREIGN_PATH,
    FOREIGN_VARIATION,
    NO_KEYPOINTS,
    OTHER_NUM_KEYPOINTS,
    UNUSED_CATEGORY,
)
from cspn_tf.data.coco_results import read_coco_results
from cspn_tf.garments import GarmentType, Variation
from tests.data.coco_labels import (
    FULL,
    FULL_NAMES,
    LOWER,
    LOWER_NAMES,
    UPPER,
    UPPER_NAMES,
    make_annotation,
    make_category,
    make_labels,
    write_labels,
)

NAN = float("nan")
GROUPING = {"id": 0, "name": "clothes", "supercategory": "none"}
PERSON = {"id": 9, "name": "person", "keypoints": ["nose", "left_eye"]}


def _read(root, labels, **kwargs):
    write_labels(root / "labels.json", labels)
    return read_coco(root, **kwargs)


def _read_one(root, labels, **kwargs):
    """Read the one garment of the first photo."""
    result = _read(root, labels, **kwargs)
    assert result.rejected == []
    assert len(result.samples[0].garments) == 1
    return result.samples[0].garments


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


# Categories ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names, keypoints, garment_type, keypoints_xy, visibility",
    [
        (
            FULL_NAMES,
            FULL,
            GarmentType.FULL_BODY,
            [[10, 11], [20, 21], [30, 31], [40, 41], [50, 51], [60, 61], [70, 71], [80, 81]],
            [2, 2, 1, 2, 2, 1, 2, 2],
        ),
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
        (
            FULL_NAMES[::-1],
            FULL,
            GarmentType.FULL_BODY,
            [[80, 81], [70, 71], [60, 61], [50, 51], [40, 41], [30, 31], [20, 21], [10, 11]],
            [2, 2, 1, 2, 2, 1, 2, 2],
        ),
    ],
)
def test_the_names_of_keypoints_tell_their_slots_and_the_type(
    tmp_path, names, keypoints, garment_type, keypoints_xy, visibility
):
    garment = _read_one(tmp_path, make_labels(names, keypoints))
    assert garment.types.tolist() == [garment_type] and garment.variations.tolist() == [Variation.UNKNOWN]
    assert garment.boxes_xyxy.tolist() == [[5, 6, 105, 206]]
    assert garment.keypoints_xy.tolist() == [keypoints_xy]
    assert garment.visibility.tolist() == [visibility]


@pytest.mark.parametrize("spelling", ["left_{}", "Left-{}", "LEFT  {}", " left.{} ", "left_-{}"])
def test_spellings_of_keypoint_names(tmp_path, spelling):
    names = [spelling.format(name.partition(" ")[2]) if name.startswith("left") else name for name in FULL_NAMES]
    assert _read_one(tmp_path, make_labels(names)).keypoints_xy[0, 2].tolist() == [30, 31]


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
    labels = make_labels(keypoints=[0] * 24)
    labels["categories"] = [make_category(FULL_NAMES, 1, name), make_category(LOWER_NAMES, 2, "other")]
    assert _read_one(tmp_path, labels).types.tolist() == [garment_type]


def test_a_name_that_is_recognised_goes_before_the_set_of_keypoints(tmp_path):
    dress = make_labels(UPPER_NAMES, UPPER)
    dress["categories"] = [make_category(UPPER_NAMES, 1, "full-body")]
    garment = _read_one(tmp_path, dress)
    assert garment.types.tolist() == [GarmentType.FULL_BODY]
    assert garment.visibility[0].tolist() == [2, 2, 1, 2, 0, 0, 2, 0]
    short = make_labels(["left collar", "right collar"], [1, 2, 2, 3, 4, 1])
    short["categories"][0]["name"] = "upper body"
    assert _read_one(tmp_path, short).types.tolist() == [GarmentType.UPPER_BODY]


def test_keypoints_that_the_named_type_does_not_have_are_refused(tmp_path):
    labels = make_labels(UPPER_NAMES, UPPER)
    labels["categories"] = [make_category(UPPER_NAMES, 1, "lower-body")]
    wanted = "category 'lower-body' has the keypoint left_collar, which lower-body does not have"
    assert wanted in _refuse(tmp_path, labels)
    garment = _read_one(tmp_path, labels, categories={"lower-body": GarmentType.UPPER_BODY})
    assert garment.types.tolist() == [GarmentType.UPPER_BODY]


def test_a_name_that_says_nothing_is_refused_beside_other_garments(tmp_path):
    labels = make_labels()
    labels["categories"].append(make_category(LOWER_NAMES, 2, "other"))
    assert "category 'fashion' has no recognisable garment type" in _refuse(tmp_path, labels)
    garments = read_coco(tmp_path, categories={"fashion": GarmentType.FULL_BODY}).samples[0].garments
    assert garments.types.tolist() == [GarmentType.FULL_BODY]


def test_a_given_type_goes_before_the_categorys_own(tmp_path):
    labels = make_labels(keypoints=[*FULL[:12], *[0] * 6, *FULL[18:]])
    garment = _read_one(tmp_path, labels, categories={"fashion": GarmentType.UPPER_BODY})
    assert garment.types.tolist() == [GarmentType.UPPER_BODY]
    assert garment.visibility.tolist() == [[2, 2, 1, 2, 0, 0, 2, 2]]


def test_a_given_type_makes_a_subset_of_keypoints_readable(tmp_path):
    labels = make_labels(["left collar", "right collar"], [1, 2, 2, 3, 4, 1])
    assert "category 'fashion' has no recognisable garment type" in _refuse(tmp_path, labels)
    garments = read_coco(tmp_path, categories={"fashion": GarmentType.UPPER_BODY}).samples[0].garments
    assert garments.visibility.tolist() == [[2, 1, 0, 0, 0, 0, 0, 0]]


def test_a_given_type_for_a_category_that_is_not_there_is_refused(tmp_path):
    message = _refuse(tmp_path, make_labels(), categories={"fashions": GarmentType.FULL_BODY})
    assert "no category 'fashions'; found 'fashion'" in message


@pytest.mark.parametrize(
    "category",
    [
        GROUPING,
        {**GROUPING, "name": "fashion"},
        {**GROUPING, "keypoints": []},
        {**GROUPING, "keypoints": None},
        {"id": None, "name": "x"},
        PERSON,
        {**PERSON, "keypoints": ["left hem", "Left-Hem"]},
        {**PERSON, "keypoints": [1]},
        7,
    ],
)
def test_a_category_that_no_annotation_uses_may_be_anything(tmp_path, category):
    labels = make_labels()
    labels["categories"].insert(0, category)
    result = _read(tmp_path, labels)
    assert result.samples[0].garments.types.tolist() == [GarmentType.FULL_BODY]
    assert result.rejected == [] and result.notes == {UNUSED_CATEGORY: 1}
    assert list(read_labelled_images([tmp_path / "labels.json"])[0]) == [1]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"categories": [7]}, "categories[0] is 7, required an object"),
        ({"categories": [{"id": 1, "keypoints": FULL_NAMES}]}, "categories[0] has no 'name'"),
        ({"categories": [{"id": 1, "name": 2, "keypoints": FULL_NAMES}]}, "name of categories[0] is 2"),
        ({"categories": [{"id": None, "name": "x", "keypoints": FULL_NAMES}]}, "id of categories[0] is null"),
        ({"categories": [{"id": 1.5, "name": "x", "keypoints": FULL_NAMES}]}, "id of categories[0] is 1.5"),
        ({"categories": [{"id": 1, "name": "x"}]}, "category 'x' has no 'keypoints'"),
        (
            {"categories": [{**PERSON, "id": 1}]},
            "category 'person' has the unknown keypoint 'nose'; known are left_collar",
        ),
        ({"names": [*FULL_NAMES, 3]}, "category 'fashion' has the unknown keypoint 3"),
        ({"names": [*FULL_NAMES, "Left-Hem"]}, "category 'fashion' has a keypoint more than once"),
        ({"names": FULL_NAMES[1:]}, "category 'fashion' has no recognisable garment type"),
        ({"names": []}, "category 'fashion' has no 'keypoints'"),
        ({"categories": [make_category(LOWER_NAMES), make_category(UPPER_NAMES, 1, "x")]}, "appears more than once"),
    ],
)
def test_a_fault_of_a_category_that_is_used_ends_the_reading(tmp_path, changes, words):
    message = _refuse(tmp_path, make_labels(**changes))
    assert message.startswith(f"{tmp_path / 'labels.json'}: not a readable file of COCO keypoints") and words in message


def test_two_categories_of_one_name_are_refused_if_both_are_used(tmp_path):
    labels = make_labels(LOWER_NAMES, LOWER, 2)
    labels["categories"].append(make_category(UPPER_NAMES, 2))
    assert _read(tmp_path, labels).rejected == []
    labels["annotations"][1] = make_annotation(2, 2, UPPER, category_id=2)
    assert "category 'fashion' or its id 1 appears more than once" in _refuse(tmp_path, labels)


# Annotations ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variation", [0, 3, 5, 3.0, "3"])
def test_variation_is_restored(tmp_path, variation):
    labels = make_labels()
    labels["annotations"][0]["variation"] = variation
    assert _read_one(tmp_path, labels).variations.tolist() == [int(variation)]


@pytest.mark.parametrize("is_null", [False, True])
def test_what_is_optional_may_be_missing_or_null(tmp_path, is_null):
    labels = make_labels()
    for holder, keys in (
        (labels["annotations"][0], ("id", "iscrowd", "num_keypoints", "area", "variation")),
        (labels["images"][0], ("height", "width", "split_group")),
    ):
        for key in keys:
            holder.pop(key, None)
            holder.update({key: None} if is_null else {})
    result = _read(tmp_path, labels)
    assert result.rejected == [] and result.notes == {}
    assert result.samples[0].garments.visibility.tolist() == [[2, 2, 1, 2, 2, 1, 2, 2]]
    assert result.samples[0].labelled_size is None and result.samples[0].group is None


@pytest.mark.parametrize(
    "changes, notes",
    [
        ({"iscrowd": False}, {}),
        ({"iscrowd": "0"}, {}),
        ({"iscrowd": 0.0}, {}),
        ({"bbox": ["5", "6.0", 100, "200.0"]}, {}),
        ({"keypoints": [str(value) for value in FULL]}, {}),
        ({"variation": ""}, {FOREIGN_VARIATION: 1}),
        ({"variation": "red"}, {FOREIGN_VARIATION: 1}),
        ({"variation": 6}, {FOREIGN_VARIATION: 1}),
        ({"category_id": 1.0}, {}),
        ({"id": "a7f3"}, {}),
        ({"id": -1}, {}),
        ({"num_keypoints": 8.0}, {}),
        ({"num_keypoints": 6}, {OTHER_NUM_KEYPOINTS: 1}),
        ({"num_keypoints": "many"}, {OTHER_NUM_KEYPOINTS: 1}),
        ({"num_keypoints": NAN}, {OTHER_NUM_KEYPOINTS: 1}),
        ({"keypoints": [v if place % 3 < 2 else float(v) for place, v in enumerate(FULL)]}, {}),
        ({"keypoints": [v if place % 3 < 2 else str(v) for place, v in enumerate(FULL)]}, {}),
    ],
)
def test_values_that_cannot_mislead_are_read(tmp_path, changes, notes):
    labels = make_labels()
    labels["annotations"][0].update(changes)
    result = _read(tmp_path, labels)
    assert result.rejected == [] and result.notes == notes
    assert result.samples[0].garments == _read_one(tmp_path / "plain", make_labels())
    assert read_labelled_images([tmp_path / "labels.json"])[0][1].garments == result.samples[0].garments


@pytest.mark.parametrize("x, y", [(NAN, NAN), (None, None), (-1, -1), (-100.5, 3), (1e9, 1), ("", ""), ([1], True)])
@pytest.mark.parametrize("v", [0, 0.0, "0"])
def test_coordinates_of_keypoints_that_are_not_labelled_are_not_looked_at(tmp_path, x, y, v):
    labels = make_labels()
    labels["annotations"][0].update(keypoints=[x, y, v, *FULL[3:]], num_keypoints=7)
    garment = _read_one(tmp_path, labels)
    assert garment.keypoints_xy[0, :2].tolist() == [[0, 0], [20, 21]]
    assert garment.visibility.tolist() == [[0, 2, 1, 2, 2, 1, 2, 2]]


@pytest.mark.parametrize("nothing", [(0, 0, None), (None, None, None), (NAN, NAN, NAN), ("", "", ""), (0.0, NAN, None)])
def test_a_keypoint_without_any_number_is_not_labelled(tmp_path, nothing):
    labels = make_labels()
    labels["annotations"][0].update(keypoints=[*nothing, *FULL[3:]], num_keypoints=7)
    result = _read(tmp_path, labels)
    assert result.rejected == [] and result.notes == {}
    assert result.samples[0].garments.visibility.tolist() == [[0, 2, 1, 2, 2, 1, 2, 2]]


@pytest.mark.parametrize("changes", [{"keypoints": []}, {"keypoints": None}, {}])
def test_an_annotation_without_keypoints_is_a_box(tmp_path, changes):
    labels = make_labels()
    del labels["annotations"][0]["keypoints"], labels["annotations"][0]["num_keypoints"]
    labels["annotations"][0].update(changes)
    result = _read(tmp_path, labels)
    (sample,) = result.samples
    assert sample.garments.boxes_xyxy.tolist() == [[5, 6, 105, 206]] and not sample.garments.labelled.any()
    assert result.notes == {NO_KEYPOINTS: 1}


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"bbox": None}, "bbox is null, required a list"),
        ({"bbox": [1, 2, 3]}, "bbox has 3 values, required 4"),
        ({"bbox": [1, 2, None, 4], "keypoints": []}, "bbox is null, required a number"),
        ({"bbox": [1, 2, 0, 4]}, "box 1 2 1 6 has no area"),
        ({"bbox": [1, 2, -3, 4]}, "box 1 2 -2 6 has no area"),
        ({"bbox": [1, 2, "wide", 4]}, "bbox is 'wide', required a number"),
        ({"keypoints": ["left", *FULL[1:]]}, "x of left_collar is 'left', required a number"),
        ({"bbox": [1, 2, float("inf"), 4]}, "bbox Infinity is not a number of pixels"),
        ({"bbox": [1e6, 2, 1e6, 4]}, "corner of the box 2000000.0 is not a number of pixels"),
        ({"keypoints": FULL[:-1]}, "keypoints has 23 values, required 24"),
        ({"keypoints": {}}, "keypoints is an object, required a list"),
        ({"keypoints": [*FULL[:-1], 3]}, "visibility of right_hem is 3, required 2, 1, 0"),
        ({"keypoints": [*FULL[:-2], [1], 2]}, "y of right_hem is a list of 1"),
        ({"keypoints": [NAN, *FULL[1:]]}, "x of left_collar NaN is not a number of pixels"),
        ({"iscrowd": 1}, "iscrowd is 1"),
        ({"iscrowd": True}, "iscrowd is 1"),
        ({"iscrowd": 2}, "iscrowd is 2, required 0, 1"),
        ({"category_id": 2}, "category_id 2 is not the id of any category"),
        ({"category_id": "fashion"}, "category_id 'fashion' is not the id of any category"),
        ({"category_id": True}, "category_id is true, required a whole number or text"),
        ({"id": 3}, "annotation id 3 appears more than once"),
        ({"id": "3"}, "annotation id 3 appears more than once"),
    ],
)
def test_a_fault_of_an_annotation_costs_the_photo(tmp_path, changes, words):
    is_repeated = changes.get("id") in (3, "3")
    labels = make_labels(num_photos=4 if is_repeated else 3)
    labels["annotations"].insert(0, make_annotation(9, 2, FULL))
    labels["annotations"][2].update(changes)
    if is_repeated:
        labels["annotations"][3]["image_id"] = 4  # the other one with this id
    labels["annotations"].append(make_annotation(8, 3, FULL, bbox=[1, 2, 3, 4]))
    assert words in _reject(tmp_path, labels)[0].reason


@pytest.mark.parametrize("key", ["category_id", "bbox"])
def test_an_annotation_that_lacks_something_costs_the_photo(tmp_path, key):
    labels = make_labels(num_photos=3)
    del labels["annotations"][1][key]
    (rejected,) = _reject(tmp_path, labels)
    assert rejected.reason == f"the annotation has no '{key}'"
    assert rejected.where.endswith("annotation 2") and rejected.photo == "2.jpg"


def test_a_labelled_keypoint_the_type_does_not_have_costs_the_photo(tmp_path):
    labels = make_labels(keypoints=[*FULL[:12], *[0] * 6, *FULL[18:]], num_photos=3)
    labels["categories"][0]["name"] = "upper"
    labels["annotations"][1]["keypoints"] = FULL
    assert _reject(tmp_path, labels)[0].reason == "left_waistline is labelled, but upper-body does not have it"


@pytest.mark.parametrize(
    "image_id, words",
    [
        (9, "image_id 9 is not the id of any image"),
        ("x", "image_id 'x' is not the id of any image"),
        (None, "image_id is null, required a whole number or text"),
    ],
)
def test_an_annotation_of_no_photo_is_rejected(tmp_path, image_id, words):
    labels = make_labels(num_photos=3)
    labels["annotations"].append(make_annotation(4, image_id, FULL))
    result = _read(tmp_path, labels)
    assert len(result.samples) == 3
    (rejected,) = result.rejected
    assert rejected.reason == words and rejected.where.endswith(": annotation 4") and rejected.photo == ""


# Images and their ids ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_image", [7, "7", 7.0, "007"])
@pytest.mark.parametrize("of_annotation", [7, "7", 7.0])
def test_an_id_is_the_same_in_all_its_spellings(tmp_path, of_image, of_annotation):
    labels = make_labels()
    labels["images"][0]["id"], labels["annotations"][0]["image_id"] = of_image, of_annotation
    assert _read_one(tmp_path, labels).types.tolist() == [GarmentType.FULL_BODY]
    images = read_labelled_images([tmp_path / "labels.json"])[0]
    assert [(image_id, len(image.garments)) for image_id, image in images.items()] == [(7, 1)]
    entry = {"image_id": of_annotation, "category_id": 3, "score": 1, "bbox": [1, 2, 3, 4], "keypoints": FULL}
    write_labels(tmp_path / "found.json", json.dumps([entry]))
    assert list(read_coco_results(tmp_path / "found.json", images)[0]) == [7]


def test_texts_are_ids_too(tmp_path):
    labels = make_labels(num_photos=2)
    for image, annotation in zip(labels["images"], labels["annotations"], strict=True):
        image["id"] = annotation["image_id"] = f"photo {image['id']}\n"
    result = _read(tmp_path, labels)
    assert result.samples[1].where == f"{tmp_path / 'labels.json'}: image 'photo 2\\n'"
    assert list(read_labelled_images([tmp_path / "labels.json"])[0]) == ["photo 1\n", "photo 2\n"]


@pytest.mark.parametrize(
    "size, labelled_size",
    [
        ({"height": 300, "width": 200}, (300, 200)),
        ({"height": "300", "width": 200.0}, (300, 200)),
        ({"height": 0, "width": 200}, None),
        ({"height": 300, "width": -200}, None),
        ({"height": 300, "width": None}, None),
        ({"height": 300, "width": [200]}, None),
        ({"height": 300.5, "width": "wide"}, None),
        ({"width": 200}, None),
    ],
)
def test_the_size_that_was_labelled(tmp_path, size, labelled_size):
    labels = make_labels(images=[{"id": 1, "file_name": "1.jpg", **size}])
    assert _read(tmp_path, labels).samples[0].labelled_size == labelled_size


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"id": 1.5}, "id is 1.5, required a whole number or text"),
        ({"id": None}, "id is null, required a whole number or text"),
        ({"file_name": None}, "file_name is null, required text"),
        ({"file_name": ".."}, "file_name '..' is not a path inside the dataset"),
    ],
)
def test_a_fault_of_an_image_costs_the_photo_and_comes_first(tmp_path, changes, words):
    labels = make_labels(num_photos=3)
    labels["images"][1].update(changes)
    assert _reject(tmp_path, labels)[0].reason == words


@pytest.mark.parametrize("name", ["../upload/1/2.jpg", "/data/upload/1/2.jpg", "a/../2.jpg"])
def test_a_photo_of_a_labelling_tool_s_folder_is_found_by_its_name(tmp_path, name):
    result = _read(tmp_path, make_labels(images=[{"id": 1, "file_name": name}]))
    assert [sample.photo for sample in result.samples] == ["2.jpg"] and result.notes == {FOREIGN_PATH: 1}


@pytest.mark.parametrize("group", [7, True, ["a"], NAN])
def test_a_group_that_is_no_text_is_none(tmp_path, group):
    labels = make_labels()
    labels["images"][0]["split_group"] = group
    result = _read(tmp_path, labels)
    assert [sample.group for sample in result.samples] == [None] and result.notes == {FOREIGN_GROUP: 1}


@pytest.mark.parametrize("bad_id", [1.5, True, -1, [1], ""])
def test_images_whose_ids_cannot_be_used_are_the_only_reason(tmp_path, bad_id):
    labels = make_labels(num_photos=3)
    labels["images"][1]["id"] = labels["annotations"][1]["image_id"] = bad_id
    (rejected,) = _reject(tmp_path, labels)
    assert rejected.photo == "2.jpg" and rejected.where.endswith(": images[1]")
    assert rejected.reason.startswith("id is ")


def test_images_with_the_same_id_are_rejected(tmp_path):
    labels = make_labels(num_photos=4)
    labels["images"][3]["id"] = "2"
    result = _read(tmp_path, labels)
    assert [sample.photo for sample in result.samples] == ["1.jpg", "3.jpg"]
    reasons = ["image id 2 appears more than once"] * 2 + ["image_id 4 is not the id of any image"]
    assert [rejected.reason for rejected in result.rejected] == reasons
    assert [rejected.photo for rejected in result.rejected] == ["2.jpg", "4.jpg", ""]


def test_a_longer_spelling_of_a_photo_is_the_same_photo(tmp_path):
    labels = make_labels(num_photos=3)
    labels["images"][0]["file_name"] = "./3.jpg"
    result = _read(tmp_path, labels)
    assert [sample.photo for sample in result.samples] == ["2.jpg"]
    assert result.rejected[0].reason == "file_name '3.jpg' appears more than once"


@pytest.mark.parametrize(
    "labels, words",
    [
        ('{"images": []}', "it has no 'annotations'"),
        ('{"images": {}}', "images is an object, required a list"),
        (json.dumps(make_labels())[:-30], "is not JSON"),
    ],
)
def test_a_file_that_is_not_coco_keypoints_is_refused(tmp_path, labels, words):
    message = _refuse(tmp_path, labels)
    assert message.startswith(f"{tmp_path / 'labels.json'}: ") and words in message


# What tools write ----------------------------------------------------------------------------------------------------

SNAKE_NAMES = [name.replace(" ", "_") for name in FULL_NAMES]
DRESS = {"id": 1, "name": "dress", "supercategory": "", "keypoints": SNAKE_NAMES, "skeleton": [[1, 2], [1, 3], [2, 4]]}
# What it is → its categories, what it writes besides of an image and of an annotation, and the notes.
WRITTEN = {
    "Roboflow: a grouping category of the same name, ids from 0, extra keys of images": (
        [{"id": 0, "name": "full-body", "supercategory": "none"}, {**DRESS, "name": "full-body"}],
        {"id": 0, "license": 1, "height": 640, "width": 640, "extra": {"name": "a.jpg"}},
        {"id": 0, "image_id": 0, "category_id": 1, "segmentation": []},
        {UNUSED_CATEGORY: 1},
    ),
    "CVAT: other labels as categories without keypoints, what is outside the picture in its place": (
        [DRESS, {"id": 2, "name": "shoe", "supercategory": "", "keypoints": [], "skeleton": []}],
        {"id": 1, "height": 300, "width": 200, "license": 0, "flickr_url": "", "date_captured": 0},
        {"attributes": {"occluded": False}, "keypoints": [-12.5, 11, 0, *FULL[3:]], "num_keypoints": 7},
        {UNUSED_CATEGORY: 1},
    ),
    "COCO Annotator: booleans, a category without keypoints": (
        [{"id": 4, "name": "shoe", "color": "#0f0", "metadata": {}}, {**DRESS, "keypoints": FULL_NAMES}],
        {"id": 1, "dataset_id": 3, "path": "/datasets/d/1.jpg", "annotated": False, "category_ids": [1]},
        {"iscrowd": False, "isbbox": False, "creator": "me", "width": 200, "height": 300, "events": []},
        {UNUSED_CATEGORY: 1},
    ),
    "points that are not there as NaN, and counted": (
        [{**DRESS, "supercategory": None}],
        {"id": 1, "height": 300, "width": 200, "license": None, "coco_url": None},
        {"iscrowd": 0, "keypoints": [NAN, NAN, 0, *FULL[3:]], "num_keypoints": 8},
        {OTHER_NUM_KEYPOINTS: 1},
    ),
    "ids as text": (
        [DRESS],
        {"id": "0", "width": 0, "height": 0, "license": 0, "coco_url": ""},
        {"id": "0", "image_id": "0", "category_id": "1", "segmentation": [[1, 2, 3, 4]]},
        {},
    ),
    "tables of floats": (
        [{"id": 1.0, "name": "dress", "keypoints": FULL_NAMES}],
        {"id": 1.0, "height": 300.0, "width": 200.0},
        {
            **{"id": 1.0, "image_id": 1.0, "category_id": 1.0, "iscrowd": 0.0, "num_keypoints": NAN},
            "keypoints": [NAN, NAN, 0.0, *map(float, FULL[3:])],
        },
        {OTHER_NUM_KEYPOINTS: 1},
    ),
    "hashes as ids": (
        [{**DRESS, "id": 2754128733}],
        {"id": 1, "height": 300, "width": 200, "license": None, "flickr_url": None},
        {"id": "cku0x", "category_id": 2754128733, "iscrowd": False, "num_keypoints": None},
        {},
    ),
    "null for what is not known": (
        [{**DRESS, "skeleton": None}],
        {"id": 1, "license": "None", "url": "None", "width": 200, "height": 300, "date_captured": ""},
        {"id": None, "iscrowd": None, "num_keypoints": None, "segmentation": None},
        {},
    ),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_files_as_tools_write_them_are_read(tmp_path, kind):
    categories, image, annotation, notes = WRITTEN[kind]
    annotation = {**make_annotation(1, 1, FULL), **annotation}
    images = [{"file_name": "1.jpg", **image}]
    result = _read(tmp_path, {"categories": categories, "images": images, "annotations": [annotation]})
    assert result.rejected == [] and result.notes == notes
    wanted = np.reshape(FULL, (8, 3))
    if annotation["keypoints"][2] == 0:
        wanted[0] = 0
    garments = result.samples[0].garments
    assert garments.types.tolist() == [GarmentType.FULL_BODY]
    assert garments.boxes_xyxy.tolist() == [[5, 6, 105, 206]]
    np.testing.assert_array_equal(garments.keypoints_xy[0], wanted[:, :2])
    np.testing.assert_array_equal(garments.visibility[0], wanted[:, 2])
    (image,) = read_labelled_images([tmp_path / "labels.json"])[0].values()
    assert image.garments == garments


# Label Studio --------------------------------------------------------------------------------------------------------


def _label_studio(*annotations, categories=("lower-body", "Upper body"), names=FULL_NAMES):
    """A file as its converter writes it: rectangles by their labels, and one category for all keypoint labels."""
    return {
        "images": [{"width": 200, "height": 300, "id": 0, "file_name": "images/1.jpg"}],
        "categories": [
            *({"id": number, "name": name} for number, name in enumerate(categories)),
            {"id": 5, "name": "default", "supercategory": "default", "keypoints": names, "skeleton": []},
        ],
        "annotations": [{"id": n, "image_id": 0, "iscrowd": 0, **given} for n, given in enumerate(annotations)],
        "info": {"contributor": "Label Studio"},
    }


SLEEVES = [0, 0, 0] * 2 + [31, 33, 2, 35, 33, 2] + [0, 0, 0] * 4
RECTANGLE = {"category_id": 1, "bbox": [5.5, 6.25, 100, 200], "segmentation": [], "ignore": 0, "area": 2e4}
HULL = {"category_id": 5, "bbox": [31, 33, 4, 0], "keypoints": SLEEVES, "num_keypoints": 2}


def test_keypoints_of_label_studio_are_those_of_the_photos_one_rectangle(tmp_path):
    garments = _read_one(tmp_path, _label_studio(RECTANGLE, HULL))
    assert _read(tmp_path, _label_studio(RECTANGLE, HULL)).notes == {UNUSED_CATEGORY: 1}
    assert garments.types.tolist() == [GarmentType.UPPER_BODY]
    assert garments.boxes_xyxy.tolist() == [[5.5, 6.25, 105.5, 206.25]]
    assert garments.visibility.tolist() == [[0, 0, 2, 2, 0, 0, 0, 0]]
    assert garments.keypoints_xy[0, 2:4].tolist() == [[31, 33], [35, 33]]


def test_rectangles_of_label_studio_without_keypoints_are_boxes(tmp_path):
    result = _read(tmp_path, _label_studio(RECTANGLE, {**RECTANGLE, "category_id": 0}))
    assert result.samples[0].garments.types.tolist() == [GarmentType.UPPER_BODY, GarmentType.LOWER_BODY]
    assert not result.samples[0].garments.visibility.any() and result.notes[NO_KEYPOINTS] == 2


@pytest.mark.parametrize(
    "annotations, words",
    [
        ([RECTANGLE, {**RECTANGLE, "category_id": 0}, HULL], "keypoints without a box of their own, and 2 boxes"),
        ([HULL], "keypoints without a box of their own, and 0 boxes"),
        ([{**RECTANGLE, "category_id": 0}, HULL], "left_sleeve is labelled, but lower-body does not"),
    ],
)
def test_keypoints_of_label_studio_that_no_rectangle_can_have_cost_the_photo(tmp_path, annotations, words):
    unused = {**RECTANGLE, "image_id": 1}
    labels = _label_studio(*annotations, unused)
    labels["images"].append({"id": 1, "file_name": "images/2.jpg"})
    result = _read(tmp_path, labels)
    assert [sample.photo for sample in result.samples] == ["images/2.jpg"]
    (rejected,) = result.rejected
    assert words in rejected.reason and rejected.where == f"{tmp_path / 'labels.json'}: image 0"


def test_a_type_given_for_label_studios_keypoints_goes_before(tmp_path):
    labels = _label_studio({**HULL, "bbox": [5, 6, 100, 200]}, {**RECTANGLE, "image_id": 1})
    labels["images"].append({"id": 1, "file_name": "images/2.jpg"})
    result = _read(tmp_path, labels, categories={"default": GarmentType.UPPER_BODY})
    assert [sample.garments.types.tolist() for sample in result.samples] == [[1], [1]]
    assert result.samples[0].garments.visibility[0].tolist() == [0, 0, 2, 2, 0, 0, 0, 0]


def test_boxes_alone_are_read_by_the_names_of_their_categories(tmp_path):
    labels = make_labels(keypoints=[])
    labels["categories"] = [{"id": 1, "name": "shirt", "supercategory": "none"}]
    with pytest.raises(UserError, match="'shirt' has no recognisable garment type"):
        _read(tmp_path, labels)
    garments = _read_one(tmp_path, labels, categories={"shirt": GarmentType.UPPER_BODY})
    assert garments.types.tolist() == [GarmentType.UPPER_BODY] and not garments.visibility.any()
