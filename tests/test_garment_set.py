"""Garments as columns, and as everything that they are turned into and made of."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cspn_tf.data.coco_file import CocoPhoto
from cspn_tf.data.coco_results import read_coco_results
from cspn_tf.garment_set import Garments
from cspn_tf.garments import KEYPOINT_SLOTS, KEYPOINTS_OF_TYPE, GarmentType, Variation, Visibility
from tests.fake_model import served_outputs

OF_TYPE = np.array(KEYPOINTS_OF_TYPE, bool)
COLUMNS = ("types", "boxes_xyxy", "keypoints_xy", "visibility", "scores", "keypoint_scores", "variations")


def labels():
    """A lower-body garment with one keypoint of each visibility, and an upper-body one with none labelled."""
    keypoints_xy = np.zeros((2, 8, 2))
    visibility = np.zeros((2, 8), int)
    keypoints_xy[0, 4:6] = [[10.5, 20], [30, 20.25]]
    visibility[0, 4:] = Visibility.VISIBLE, Visibility.OCCLUDED, Visibility.CUT_OFF, Visibility.ABSENT
    return Garments([2, 1], [[1, 2, 41, 62], [0, 0, 9.5, 9]], keypoints_xy, visibility=visibility, variations=[3, 0])


def predictions():
    """A full-body and a lower-body garment that were found."""
    points = np.arange(32).reshape(2, 8, 2) / 4
    keypoints_xy = points * OF_TYPE[[3, 2]][..., np.newaxis]
    keypoint_scores = np.linspace(0.1, 1, 16).reshape(2, 8) * OF_TYPE[[3, 2]]
    boxes = [[1, 2, 20.25, 30], [0, 0, 5, 6]]
    return Garments([3, 2], boxes, keypoints_xy, scores=[0.75, 0.5], keypoint_scores=keypoint_scores)


def coordinates(*shape):
    return arrays.arrays(np.float32, shape, elements=st.floats(0, 4096, width=32))


@st.composite
def any_labels(draw):
    num = draw(st.integers(0, 4))
    corners = np.sort(draw(coordinates(num, 2, 2)), axis=1).reshape(num, 4)
    visibility = draw(arrays.arrays(np.int32, (num, 8), elements=st.sampled_from([int(v) for v in Visibility])))
    return Garments(
        draw(arrays.arrays(np.int32, num, elements=st.integers(1, 3))),
        corners,
        draw(coordinates(num, 8, 2)) * (visibility > 0)[..., np.newaxis],
        visibility=visibility,
        variations=draw(arrays.arrays(np.int32, num, elements=st.sampled_from([int(v) for v in Variation]))),
    )


@st.composite
def any_predictions(draw):
    """Predictions as a model gives them: nothing where the type has no keypoint."""
    num = draw(st.integers(0, 4))
    types = draw(arrays.arrays(np.int32, num, elements=st.integers(1, 3)))
    score = st.floats(0, 1, width=32)
    return Garments(
        types,
        np.sort(draw(coordinates(num, 2, 2)), axis=1).reshape(num, 4),
        draw(coordinates(num, 8, 2)) * OF_TYPE[types][..., np.newaxis],
        scores=draw(arrays.arrays(np.float32, num, elements=score)),
        keypoint_scores=draw(arrays.arrays(np.float32, (num, 8), elements=score)) * OF_TYPE[types],
    )


# Columns -------------------------------------------------------------------------------------------------------------


def test_columns_have_their_dtypes_and_shapes():
    expected = {
        "types": ("int32", (2,)),
        "boxes_xyxy": ("float32", (2, 4)),
        "keypoints_xy": ("float32", (2, 8, 2)),
        "visibility": ("int32", (2, 8)),
        "variations": ("int32", (2,)),
        "scores": ("float64", (2,)),
        "keypoint_scores": ("float64", (2, 8)),
    }
    for garments, unknown in ((labels(), {"scores", "keypoint_scores"}), (predictions(), {"visibility", "variations"})):
        for name in COLUMNS:
            column = getattr(garments, name)
            assert (column is None) == (name in unknown), name
            assert column is None or (column.dtype.name, column.shape) == expected[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes_xyxy": [[1, 2, 3, 4]]}, r"^boxes_xyxy must have the shape \(2, 4\), received \(1, 4\)$"),
        ({"keypoints_xy": np.zeros((2, 8))}, r"^keypoints_xy must have the shape \(2, 8, 2\), received \(2, 8\)$"),
        ({"visibility": np.zeros((2, 7))}, r"^visibility must have the shape \(2, 8\), received \(2, 7\)$"),
        ({"types": [1, 0]}, r"^types must be codes of GarmentType, received 0$"),
        ({"types": [1.9, 1]}, r"^types must be codes of GarmentType, received 1.9$"),
        ({"types": [-1, 2**32 + 1]}, r"^types must be codes of GarmentType, received -1$"),
        ({"visibility": np.full((2, 8), 3)}, r"^visibility must be codes of Visibility, received 3$"),
        ({"variations": [0, 6]}, r"^variations must be codes of Variation, received 6$"),
        ({"variations": 3}, r"^variations must have the shape \(2,\), received \(\)$"),
    ],
)
def test_a_column_that_does_not_fit_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        labels().replace(**change)


def test_none_at_all_have_columns_of_no_rows():
    none = Garments([], [], [])
    assert len(none) == 0 and list(none) == []
    assert none.boxes_xyxy.shape == (0, 4) and none.keypoints_xy.shape == (0, 8, 2) and none.types.dtype == np.int32
    assert none == labels()[:0] == predictions()[[]]
    assert none.labelled.shape == none.of_type.shape == (0, 8)


def test_what_can_be_seen_of_keypoints():
    garments = labels()
    assert np.argwhere(garments.labelled).tolist() == [[0, 4], [0, 5]]
    assert np.argwhere(garments.visible).tolist() == [[0, 4]]
    for garment_type in GarmentType:
        one = Garments([garment_type], np.zeros((1, 4)), np.zeros((1, 8, 2)))
        assert tuple(np.flatnonzero(one.of_type[0])) == KEYPOINT_SLOTS[garment_type]
    for name in ("labelled", "visible"):
        with pytest.raises(ValueError, match="visibility is not known"):
            getattr(predictions(), name)


# Rows ----------------------------------------------------------------------------------------------------------------


def test_rows_are_chosen_by_number_slice_mask_and_numbers():
    garments = Garments.concatenate([labels(), labels()[:1]])
    assert garments.types.tolist() == [2, 1, 2]
    assert garments[1].types.tolist() == garments[-2].types.tolist() == [1]
    assert garments[np.int64(1)] == garments[np.array(1)] == garments[1] == garments[1:2] == garments[[1]]
    assert garments[garments.types == 2] == garments[[0, 2]] == garments[::2]
    assert [row.types.tolist() for row in garments] == [[2], [1], [2]]
    assert garments[[2, 0, 0]].boxes_xyxy.tolist() == [garments.boxes_xyxy[0].tolist()] * 3
    assert len(garments[[]]) == len(garments[np.zeros(3, bool)]) == 0


@pytest.mark.parametrize("row", [2, -3])
def test_a_row_that_is_not_there_is_an_index_error(row):
    with pytest.raises(IndexError, match=f"^there are 2 garments, received the index {row}$"):
        labels()[row]


@pytest.mark.parametrize("rows", [[0.5], [True], [[True], [False]]])
def test_rows_that_are_neither_a_mask_nor_numbers_are_refused(rows):
    with pytest.raises((IndexError, ValueError)):
        labels()[rows]


def test_garments_are_equal_where_all_that_is_known_is():
    assert labels() == labels() and labels() != predictions()
    assert labels() != labels().replace(variations=None)
    assert labels() != labels()[::-1] and labels() != "labels"
    assert labels().replace(scores=[0.5, 1]) != labels()


def test_repeated_garments_are_left_out_in_order():
    one, other = labels()
    moved = one.replace(boxes_xyxy=one.boxes_xyxy + 1)
    assert Garments.concatenate([other, one, moved, one, other]).distinct() == Garments.concatenate([other, one, moved])
    assert labels()[:0].distinct() == labels()[:0]


@given(any_labels(), any_labels())
def test_what_is_joined_can_be_taken_apart(first, second):
    both = Garments.concatenate(iter([first, second]))
    assert (both[: len(first)], both[len(first) :]) == (first, second)
    assert Garments.concatenate(list(both)) == both
    assert len(both.distinct()) == len(
        {json.dumps([getattr(row, n).tolist() for n in COLUMNS if getattr(row, n) is not None]) for row in both}
    )


def test_joining_knows_only_what_all_know():
    assert Garments.concatenate([]) == Garments([], [], [])
    # No rows miss nothing.
    assert Garments.concatenate([Garments([], [], []), predictions()]) == predictions()
    with pytest.raises(ValueError, match=r"^variations is known for some of the garments only$"):
        Garments.concatenate([labels(), labels().replace(variations=None)])


def test_one_label_is_one_row():
    garments = labels()
    made = [
        Garments.label(
            GarmentType(garments.types[row]),
            garments.boxes_xyxy[row],
            garments.keypoints_xy[row],
            garments.visibility[row],
            Variation(garments.variations[row]),
        )
        for row in range(2)
    ]
    assert Garments.concatenate(made) == garments
    assert Garments.label(1, (0, 0, 1, 1), np.zeros((8, 2)), np.zeros(8)).variations.tolist() == [Variation.UNKNOWN]


# What they are turned into -------------------------------------------------------------------------------------------


@given(any_predictions(), st.integers(0, 2))
def test_served_outputs_give_predictions_back(garments, num_padding):
    outputs = served_outputs(garments, len(garments) + num_padding)
    batch = {name: np.stack([np.zeros_like(value), value]) for name, value in outputs.items()}
    assert Garments.from_served(batch, 1) == garments
    assert len(Garments.from_served(batch, 0)) == 0


@given(any_labels())
def test_examples_give_labels_back(garments):
    assert Garments.from_example(garments.to_example()) == garments
    assert garments.replace(variations=None).to_example()["variations"].tolist() == [0] * len(garments)


def test_examples_are_of_labels():
    with pytest.raises(ValueError, match="visibility is not known"):
        predictions().to_example()


def test_a_coco_annotation_has_these_values():
    first, second = labels().to_coco_annotations(image_id=7, first_id=5)
    assert first == {
        "id": 5,
        "image_id": 7,
        "category_id": 2,
        "bbox": [1, 2, 40, 60],
        "area": 2400,
        "iscrowd": 0,
        "num_keypoints": 2,
        "keypoints": [0, 0, 0] * 4 + [10.5, 20, 2, 30, 20.25, 1] + [0, 0, 0] * 2,
        "variation": 3,
    }
    assert (second["id"], second["bbox"], second["num_keypoints"], second["variation"]) == (6, [0, 0, 9.5, 9], 0, 0)
    assert "variation" not in labels().replace(variations=None).to_coco_annotations(7)[0]
    scored = predictions().replace(visibility=2 * predictions().of_type).to_coco_annotations(7)
    assert [entry["score"] for entry in scored] == [0.75, 0.5]
    assert scored[1]["keypoint_scores"] == predictions().keypoint_scores[1].tolist()


def test_a_coco_result_has_these_values():
    first = predictions().to_coco_results(image_id=7)[0]
    assert (first["image_id"], first["category_id"], first["score"]) == (7, 3, 0.75)
    assert first["bbox"] == [1, 2, 19.25, 28] and first["area"] == 19.25 * 28
    assert first["keypoints"][3:6] == [0.5, 0.75, predictions().keypoint_scores[0, 1]]
    with pytest.raises(ValueError, match="needs garments with scores"):
        labels().to_coco_results(1)


@given(any_predictions())
def test_coco_results_give_predictions_back(tmp_path_factory, garments):
    path = tmp_path_factory.getbasetemp() / "results.json"
    path.write_text(json.dumps(garments.to_coco_results("a photo"), allow_nan=False))
    found, num_boxes_from_keypoints = read_coco_results(path, {"a photo": CocoPhoto("1.jpg", None, "")})
    assert found == ({"a photo": garments} if len(garments) else {}) and num_boxes_from_keypoints == 0


def test_a_dict_has_these_values():
    first, second = labels().to_dicts()
    assert first == {
        "type": "lower-body",
        "class_id": 2,
        "box_xyxy": [1, 2, 41, 62],
        "variation": "large_pose",
        "keypoints": {
            "left_waistline": {"x": 10.5, "y": 20, "visibility": "visible"},
            "right_waistline": {"x": 30, "y": 20.25, "visibility": "occluded"},
            "left_hem": {"x": 0, "y": 0, "visibility": "cut_off"},
        },
    }
    assert second["keypoints"] == {}
    found = predictions().to_dicts()[1]
    assert list(found["keypoints"]) == ["left_waistline", "right_waistline", "left_hem", "right_hem"]
    assert found["score"] == 0.5 and found["keypoints"]["right_hem"] == {"x": 7.5, "y": 7.75, "score": 1.0}


@pytest.mark.parametrize("make", [labels, predictions])
def test_dicts_give_them_back_where_they_hold_no_more_digits(make):
    garments = make()
    assert Garments.from_dicts(garments.to_dicts()) == garments.replace(
        keypoint_scores=None if garments.keypoint_scores is None else garments.keypoint_scores.round(4)
    )


def test_dicts_give_labels_back_where_nobody_labelled_a_keypoint():
    assert Garments.from_dicts(labels()[1:].to_dicts()) == labels()[1:]
    assert Garments.from_dicts([]) == Garments([], [], [])


@given(st.one_of(any_labels(), any_predictions()))
def test_dicts_are_stable_and_near(garments):
    dicts = json.loads(json.dumps(garments.to_dicts(), allow_nan=False))
    back = Garments.from_dicts(dicts)
    assert back.to_dicts() == dicts
    np.testing.assert_array_equal(back.types, garments.types)
    np.testing.assert_allclose(back.boxes_xyxy, garments.boxes_xyxy, atol=0.006)
    np.testing.assert_allclose(back.keypoints_xy, garments.keypoints_xy, atol=0.006)
    for name in ("visibility", "variations"):
        assert (getattr(back, name) is None) == (getattr(garments, name) is None)
        if getattr(garments, name) is not None:
            np.testing.assert_array_equal(getattr(back, name), getattr(garments, name))
    for name in ("scores", "keypoint_scores"):
        if len(garments) and getattr(garments, name) is not None:
            np.testing.assert_allclose(getattr(back, name), getattr(garments, name), atol=6e-5)
