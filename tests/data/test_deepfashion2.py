import json

import pytest

from cspn_tf.console import UserError
from cspn_tf.data.deepfashion2 import GARMENT_WITHOUT_LANDMARK, read_deepfashion2
from cspn_tf.data.samples import PHOTO_WITHOUT_GARMENT
from cspn_tf.garments import GarmentType
from tests.data.test_landmark_maps import DEEPFASHION2_WANTED


def _item(category_id=9, seen=2, **changes):
    """A garment whose landmark n lies at x = 10 n, y = 10 n + 1."""
    name, num_landmarks, *_ = DEEPFASHION2_WANTED[category_id]
    landmarks = [value for n in range(1, num_landmarks + 1) for value in (10 * n, 10 * n + 1, seen)]
    return {
        "segmentation": [[1, 2, 3, 4, 5, 6]],
        "scale": 2,
        "viewpoint": 2,
        "zoom_in": 1,
        "landmarks": landmarks,
        "style": 1,
        "bounding_box": [4, 5, 403, 410],
        "category_id": category_id,
        "category_name": name,
        "occlusion": 1,
        **changes,
    }


def _write(root, photos, folder="train"):
    """Write one file a photo: number → what it holds, an object or text."""
    (root / folder / "annos").mkdir(parents=True, exist_ok=True)
    (root / folder / "image").mkdir(exist_ok=True)
    for number, labels in photos.items():
        text = labels if isinstance(labels, str) else json.dumps(labels)
        (root / folder / "annos" / f"{number:06d}.json").write_text(text)


def _photo(*items, **changes):
    numbered = {f"item{number}": item for number, item in enumerate(items, start=1)}
    return {**numbered, "source": "shop", "pair_id": 7, **changes}


def _read_one(root, *items, **changes):
    _write(root, {1: _photo(*items, **changes)})
    result = read_deepfashion2(root)
    assert result.rejected == []
    return result.samples[0]


def _reject(root, labels):
    """Read a photo that has a fault beside one that has none."""
    _write(root, {1: _photo(_item()), 2: labels})
    result = read_deepfashion2(root)
    assert [sample.photo for sample in result.samples] == ["train/image/000001.jpg"]
    (rejected,) = result.rejected
    assert rejected.photo == "train/image/000002.jpg"
    assert rejected.reason.isprintable()
    return rejected


def test_a_photo_is_a_sample(tmp_path):
    sample = _read_one(tmp_path, _item(9))
    assert (sample.photo, sample.split, sample.group) == ("train/image/000001.jpg", "train", "7")
    assert sample.path == str(tmp_path / "train/image/000001.jpg")
    assert sample.where == str(tmp_path / "train/annos/000001.json")


def test_garments_come_in_the_order_of_their_numbers(tmp_path):
    items = [_item(9, bounding_box=[n, n, 100 + n, 100 + n]) for n in range(1, 12)]
    labels = dict(reversed(_photo(*items).items()))
    _write(tmp_path, {1: labels})
    (sample,) = read_deepfashion2(tmp_path).samples
    assert sample.garments.boxes_xyxy[:, 0].tolist() == list(range(1, 12))


def test_a_garment_without_a_labelled_landmark_is_kept_and_counted(tmp_path):
    _write(tmp_path, {1: _photo(_item(9), _item(1, seen=0, bounding_box=[0, 0, 495, 179]))})
    result = read_deepfashion2(tmp_path)
    assert result.notes == {GARMENT_WITHOUT_LANDMARK: 1}
    _, garment = result.samples[0].garments
    assert garment.types == GarmentType.UPPER_BODY
    assert garment.boxes_xyxy.tolist() == [[0.0, 0.0, 495.0, 179.0]]
    assert not garment.visibility.any() and not garment.keypoints_xy.any()


def test_a_garment_with_landmarks_but_none_of_ours_is_not_counted(tmp_path):
    item = _item(9, seen=0)
    item["landmarks"][3:6] = [20, 21, 2]  # the middle of the waistband
    _write(tmp_path, {1: _photo(item)})
    result = read_deepfashion2(tmp_path)
    assert result.notes == {}
    assert not result.samples[0].garments.visibility.any()


def test_a_photo_without_garments_is_background_and_counted(tmp_path):
    _write(tmp_path, {1: _photo(_item()), 2: _photo()})
    result = read_deepfashion2(tmp_path)
    assert [len(sample.garments) for sample in result.samples] == [1, 0] and result.rejected == []
    assert result.notes == {PHOTO_WITHOUT_GARMENT: 1}


def test_splits_are_the_folders(tmp_path):
    _write(tmp_path, {2: _photo(_item(), pair_id=3), 1: _photo(_item())}, "train")
    _write(tmp_path, {1: _photo(_item())}, "validation")
    (tmp_path / "test" / "image").mkdir(parents=True)
    result = read_deepfashion2(tmp_path)
    assert [(sample.photo, sample.split, sample.group) for sample in result.samples] == [
        ("train/image/000001.jpg", "train", "7"),
        ("train/image/000002.jpg", "train", "3"),
        ("validation/image/000001.jpg", "val", "7"),
    ]


def test_one_split_may_be_missing(tmp_path):
    _write(tmp_path, {1: _photo(_item())}, "validation")
    assert [sample.split for sample in read_deepfashion2(tmp_path).samples] == ["val"]


def test_a_folder_of_its_own_has_no_split(tmp_path):
    _write(tmp_path, {1: _photo(_item())}, "train")
    (sample,) = read_deepfashion2(tmp_path / "train").samples
    assert (sample.photo, sample.split) == ("image/000001.jpg", None)
    assert sample.path == str(tmp_path / "train/image/000001.jpg")


def test_the_variant_is_named(tmp_path):
    _write(tmp_path, {1: _photo(_item())})
    assert "DeepFashion2" in read_deepfashion2(str(tmp_path)).variant


def test_files_that_are_no_annotations_are_passed_over(tmp_path):
    _write(tmp_path, {1: _photo(_item())})
    (tmp_path / "train/annos/._000001.json").write_bytes(b"\0\5\x16\7")
    (tmp_path / "train/annos/readme.txt").write_text("hello")
    result = read_deepfashion2(tmp_path)
    assert len(result.samples) == 1 and result.rejected == []


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"category_id": 14}, "category_id is 14, required 1, 2"),
        ({"category_id": "x"}, "category_id is 'x'"),
        ({"category_id": 8, "category_name": None}, "landmarks of trousers has 24 values, required 42"),
        ({"landmarks": [1, 2, 2]}, "landmarks of skirt has 3 values, required 24"),
        ({"landmarks": {}}, "landmarks is an object, required a list"),
        ({"landmarks": [1, 2, 3] * 8}, "visibility of landmark 1 is 3, required 2, 1, 0"),
        ({"landmarks": ["one", 2, 2] * 8}, "x of landmark 1 is 'one', required a number"),
        ({"landmarks": [1, None, 2] * 8}, "y of landmark 1 is null, required a number"),
        ({"landmarks": [1, 1e7, 2] * 8}, "y of landmark 1 10000000.0 is not a number of pixels"),
        ({"landmarks": [1, float("nan"), 2] * 8}, "y of landmark 1 NaN is not a number of pixels"),
        ({"bounding_box": [1, 2, 3]}, "bounding_box has 3 values, required 4"),
        ({"bounding_box": [1, 2, [3], 4]}, "bounding_box is a list of 1, required a number"),
        ({"bounding_box": [5, 2, 5, 4]}, "box 5 2 5 4 has no area"),
        ({"bounding_box": [5, 9, 7, 4]}, "box 5 9 7 4 has no area"),
        ({"category_name": "sling"}, "category_id 9 is skirt, category_name says sling"),
    ],
)
def test_a_fault_of_one_garment_costs_the_photo(tmp_path, changes, words):
    rejected = _reject(tmp_path, _photo(_item(5), {**_item(9), **changes}))
    assert rejected.where == f"{tmp_path / 'train/annos/000002.json'}: item2"
    assert words in rejected.reason


def test_vest_and_sling_are_told_apart_by_their_names(tmp_path):
    assert "category_id 6 is sling" in _reject(tmp_path, _photo(_item(6, category_name="vest"))).reason


def test_an_unknown_spelling_of_the_category_is_none_of_our_business(tmp_path):
    (garment,) = _read_one(tmp_path, _item(9, category_name="Skirts")).garments
    assert garment.types == GarmentType.LOWER_BODY


@pytest.mark.parametrize("key", ["category_id", "landmarks", "bounding_box"])
def test_a_garment_that_lacks_something_costs_the_photo(tmp_path, key):
    item = _item()
    del item[key]
    assert f"the item has no '{key}'" in _reject(tmp_path, _photo(item)).reason


@pytest.mark.parametrize(
    "labels, words",
    [
        (_photo(_item(), pair_id=None), "pair_id is null, required a whole number"),
        (_photo(_item(), pair_id=-1), "pair_id is -1, required a whole number"),
        (_photo(_item(), pair_id=True), "pair_id is true"),
        ({"item1": _item(), "source": "shop"}, "the file has no 'pair_id'"),
        (_photo(None), "the item is null, required an object"),
        (_photo(_item(), itme2=_item()), "unknown key 'itme2'"),
        (_photo(_item(), item01=_item()), "unknown key 'item01'"),
        (_photo(_item(), item1x="\n"), "unknown key 'item1x'"),
    ],
)
def test_a_fault_of_a_file_costs_the_photo(tmp_path, labels, words):
    rejected = _reject(tmp_path, labels)
    assert rejected.where.startswith(str(tmp_path / "train/annos/000002.json"))
    assert words in rejected.reason


def test_annotations_without_a_folder_of_photos_are_refused(tmp_path):
    (tmp_path / "validation" / "annos").mkdir(parents=True)
    with pytest.raises(UserError, match="validation: has annos, but no folder image"):
        read_deepfashion2(tmp_path)
