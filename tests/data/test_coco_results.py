import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspn_tf.console import UserError
from cspn_tf.data.coco_file import CocoPhoto
from cspn_tf.data.coco_results import read_coco_results
from cspn_tf.garments import GarmentType

KEYPOINTS = [value for k in range(8) for value in (10.0 * k + 5, 10.0 * k + 7, 0.1 * k)]


def entry(**changes):
    """Return an entry without the keys that are changed to None."""
    whole = {"image_id": 7, "category_id": 1, "score": 0.9, "bbox": [1, 2, 30, 40], "keypoints": KEYPOINTS, **changes}
    return {key: value for key, value in whole.items() if value is not None}


def read(folder, entries, categories=()):
    path = folder / "results.json"
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    photos = {image_id: CocoPhoto(f"img/{image_id}.jpg", None, "") for image_id in (7, 8, "a7")}
    return read_coco_results(path, photos, categories)


def refuse(folder, entries, categories=()):
    with pytest.raises(UserError) as error:
        read(folder, entries, categories)
    message = str(error.value)
    assert message.startswith(f"{folder / 'results.json'}: ") and message.isprintable()
    return message.removeprefix(f"{folder / 'results.json'}: ")


# Reading -------------------------------------------------------------------------------------------------------------


def test_entries_are_garments_of_their_images(tmp_path):
    second = entry(image_id=8, category_id=3.0, score=-2)
    garments, num_boxes_from_keypoints = read(tmp_path, [second, entry(area=3, id=9), entry(image_id=8, score=10**300)])
    assert list(garments) == [8, 7] and num_boxes_from_keypoints == 0
    assert garments[7].types.tolist() == [GarmentType.UPPER_BODY] and garments[7].scores.tolist() == [0.9]
    assert garments[7].boxes_xyxy.tolist() == [[1, 2, 31, 42]]
    np.testing.assert_array_equal(garments[7].keypoints_xy[0], np.reshape(KEYPOINTS, (8, 3))[:, :2])
    np.testing.assert_allclose(garments[7].keypoint_scores[0], 0.1 * np.arange(8))
    assert garments[8].types.tolist() == [GarmentType.FULL_BODY, GarmentType.UPPER_BODY]
    assert garments[8].scores.tolist() == [-2, 1e300]
    assert garments[7].visibility is None and garments[7].variations is None


@pytest.mark.parametrize("changes", [{"image_id": "7"}, {"image_id": 7.0}, {"category_id": "1"}, {"category_id": 1.0}])
def test_spellings_of_ids(tmp_path, changes):
    assert read(tmp_path, [entry(**changes)]) == read(tmp_path, [entry()])


def test_an_id_may_be_text(tmp_path):
    assert list(read(tmp_path, [entry(image_id="a7")])[0]) == ["a7"]


def test_no_entries_are_no_results(tmp_path):
    assert read(tmp_path, []) == ({}, 0)


def test_images_of_a_document_are_those_with_their_names(tmp_path):
    images = [{"id": 8, "file_name": "img/7.jpg"}, {"id": "x", "file_name": "./img/8.jpg"}, {"id": 7, "file_name": "a"}]
    scores = [0.5, *[0] * 6, 0.25]
    annotations = [
        entry(image_id=8, id=1, keypoint_scores=scores),
        entry(image_id="x", score=0.1, keypoint_scores=None),
    ]
    garments, _ = read(tmp_path, {"images": images, "annotations": annotations})
    assert {image_id: rows.scores.tolist() for image_id, rows in garments.items()} == {7: [0.9], 8: [0.1]}
    assert garments[7].keypoint_scores.tolist() == [scores]
    assert garments[7].keypoints_xy.tolist() == garments[8].keypoints_xy.tolist()


def test_categories_of_a_document_are_types_by_their_names(tmp_path):
    names = {0: "Full body", 2: "lower-body", "5": "upper", 9: "shoe", 10: "lower body"}
    document = {
        "images": [{"id": 7, "file_name": "img/7.jpg"}],
        "categories": [{"id": number, "name": name} for number, name in names.items()],
        "annotations": [entry(category_id=number) for number in (5, 0, "2", 10, 3)],
    }
    labelled = {(0, GarmentType.FULL_BODY), (2, GarmentType.UPPER_BODY)}
    garments, _ = read(tmp_path, document, labelled)
    assert garments[7].types.tolist() == [1, 3, 2, 2, 3]
    document["categories"] = []
    assert refuse(tmp_path, document, labelled) == "entry 0: category_id is 5, required 1, 2, 3"


def test_a_list_whose_labels_number_the_types_otherwise_is_refused(tmp_path):
    labelled = {(1, GarmentType.FULL_BODY), (2, GarmentType.LOWER_BODY), (3, GarmentType.UPPER_BODY)}
    assert read(tmp_path, [entry(category_id=2)], labelled)[0][7].types.tolist() == [2]
    assert refuse(tmp_path, [entry(category_id=2), entry(category_id=1)], labelled) == (
        "entry 1: category_id 1 is upper-body in results, but full-body in the labels; a document with 'categories' "
        "says which is meant"
    )
    # As in MMPose's files, of which each has one category of its own, 1.
    read(tmp_path, [entry(category_id=1)], labelled | {(1, GarmentType.UPPER_BODY)})


@pytest.mark.parametrize("missing", [{}, {"bbox": None}])
@pytest.mark.parametrize(("category_id", "box_xyxy"), [(1, [5, 7, 75, 77]), (2, [45, 47, 75, 77]), (3, [5, 7, 75, 77])])
def test_a_missing_box_is_the_extent_of_the_types_keypoints(tmp_path, category_id, box_xyxy, missing):
    found = [{**entry(bbox=None, category_id=category_id), **missing}, entry()]
    garments, num_boxes_from_keypoints = read(tmp_path, found)
    assert garments[7].boxes_xyxy[0].tolist() == box_xyxy and num_boxes_from_keypoints == 1


@pytest.mark.parametrize(
    ("waistlines", "keypoints_xy", "scores"),
    [
        ([-500, 900, 0, 0, 0, 0.5], [[-500, 900], [0, 0]], [0, 0.5]),
        ([float("nan"), None, 0, 3, 4, float("nan")], [[0, 0], [0, 0]], [0, 0]),
        ([1e9, 1, 0.5, "x", [1], True], [[0, 0], [0, 0]], [0, 0]),
    ],
)
def test_keypoints_the_type_does_not_have_may_be_anything(tmp_path, waistlines, keypoints_xy, scores):
    found = entry(bbox=None, keypoints=[*KEYPOINTS[:12], *waistlines, *KEYPOINTS[18:]])
    garments = read(tmp_path, [found])[0][7]
    assert garments.boxes_xyxy.tolist() == [[5, 7, 75, 77]]
    assert garments.keypoints_xy[0, 4:6].tolist() == keypoints_xy
    assert garments.keypoint_scores[0, 4:6].tolist() == scores


def test_boxes_and_extents_may_have_no_area(tmp_path):
    one_point = entry(bbox=None, keypoints=[3, 4, 1] * 8)
    garments = read(tmp_path, [entry(bbox=[1, 2, 0, 0]), one_point])[0][7]
    assert garments.boxes_xyxy.tolist() == [[1, 2, 1, 2], [3, 4, 3, 4]]


# What goes wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_id": 9}, "image_id 9 is not a labelled image"),
        ({"image_id": "9\n"}, "image_id '9\\n' is not a labelled image"),
        ({"image_id": 7.5}, "image_id is 7.5, required a whole number or text"),
        ({"category_id": 0}, "category_id is 0, required 1, 2, 3"),
        ({"category_id": 4}, "category_id is 4, required 1, 2, 3"),
        ({"score": "0.9"}, "score is '0.9', required a finite number"),
        ({"score": True}, "score is true, required a finite number"),
        ({"score": float("nan")}, "score is NaN, required a finite number"),
        ({"score": float("-inf")}, "score is -Infinity, required a finite number"),
        ({"score": 10**400}, "score is 1000000000"),
        ({"keypoints": KEYPOINTS[:-1]}, "keypoints has 23 values, required 24"),
        ({"keypoints": {}}, "keypoints is an object, required a list"),
        ({"keypoints": [None, *KEYPOINTS[1:]]}, "x of left_collar is null, required a number"),
        ({"keypoints": [*KEYPOINTS[:-2], "3 px", 1]}, "y of right_hem is '3 px', required a number"),
        ({"keypoints": [*KEYPOINTS[:-2], float("inf"), 1]}, "y of right_hem Infinity is not a number of pixels"),
        ({"keypoints": [*KEYPOINTS[:-1], float("nan")]}, "score of right_hem is NaN, required a finite number"),
        ({"keypoints": [[1, 2, 3]] * 8}, "keypoints has 8 values, required 24"),
        ({"bbox": [1, 2, 3]}, "bbox has 3 values, required 4"),
        ({"bbox": [1, 2, -3, 4]}, "bbox has width -3 and height 4, required at least 0"),
        ({"bbox": [1, 2, float("nan"), 4]}, "bbox NaN is not a number of pixels"),
    ],
)
def test_a_wrong_value_is_named_with_its_entry(tmp_path, changes, words):
    assert refuse(tmp_path, [entry(), entry(**changes), entry(score="later")]).startswith(f"entry 1: {words}")


def test_a_photo_that_is_not_labelled_is_named_by_its_file(tmp_path):
    document = {"images": [{"id": 7, "file_name": "other/7.jpg"}], "annotations": [entry(id=1)]}
    assert refuse(tmp_path, document) == "entry 0: photo 'other/7.jpg' is not a labelled image"


@pytest.mark.parametrize("key", ["image_id", "category_id", "score", "keypoints"])
def test_a_missing_value_is_named_with_its_entry(tmp_path, key):
    assert refuse(tmp_path, [entry(**{key: None})]) == f"entry 0: the entry has no '{key}'"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is not JSON"),
        ("[", "is not JSON"),
        ("{}", "it has no 'images'"),
        ('{"images": [{"id": 1}], "annotations": []}', "images[0] has no 'file_name'"),
        ('{"images": [], "annotations": [{"image_id": 7}]}', "entry 0: image_id 7 is not a labelled image"),
        ("null", "it is null, required a list"),
        ("[null]", "entry 0: the entry is null, required an object"),
        ("[[]]", "entry 0: the entry is a list of 0, required an object"),
    ],
)
def test_what_is_no_list_of_objects_is_refused(tmp_path, content, words):
    assert refuse(tmp_path, content).startswith(words)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no\.json: cannot be read: No such file"):
        read_coco_results(tmp_path / "no.json", {})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.sampled_from(["image_id", "category_id", "score", "bbox", "keypoints"]), _JSON, st.integers(0, 23))
def test_anything_is_read_or_refused_in_one_line(tmp_path_factory, key, value, place):
    keypoints = [*KEYPOINTS[:place], value, *KEYPOINTS[place + 1 :]]
    for changed in ({**entry(), key: value}, entry(keypoints=keypoints)):
        try:
            found, _ = read(tmp_path_factory.mktemp("results"), [changed])
        except UserError as error:
            assert "results.json: entry 0: " in str(error) and str(error).isprintable()
        else:
            (garments,) = found.values()
            columns = (garments.scores, garments.boxes_xyxy, garments.keypoints_xy, garments.keypoint_scores)
            assert all(np.isfinite(column).all() for column in columns)
