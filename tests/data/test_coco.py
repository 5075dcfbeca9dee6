import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from cspn_tf.console import UserError
from cspn_tf.data.coco import (
    REPEATED_ANNOTATION,
    read_coco,
    read_labelled_images,
    split_of_file,
    split_path,
    write_coco,
)
from cspn_tf.data.coco_file import OTHER_NUM_KEYPOINTS, UNUSED_CATEGORY
from cspn_tf.data.samples import PHOTO_WITHOUT_GARMENT, Sample
from cspn_tf.garment_set import Garments
from cspn_tf.garments import KEYPOINT_SLOTS, GarmentType, Variation, Visibility
from tests.data.coco_labels import (
    FULL,
    FULL_NAMES,
    LOWER,
    LOWER_NAMES,
    UPPER,
    UPPER_NAMES,
    make_annotation,
    make_images,
    make_labels,
    write_labels,
)


def _read(root, labels, name="labels.json"):
    write_labels(root / name, labels)
    return read_coco(root)


def _touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"a photo")


# Reading a dataset ---------------------------------------------------------------------------------------------------


def test_a_photo_is_a_sample(tmp_path):
    result = _read(tmp_path, make_labels())
    (sample,) = result.samples
    assert (sample.photo, sample.split, sample.group) == ("1.jpg", None, None)
    assert sample.where == f"{tmp_path / 'labels.json'}: image 1"
    assert sample.path == str(tmp_path / "1.jpg")
    assert sample.labelled_size == (300, 200)
    assert sample.garments.boxes_xyxy.tolist() == [[5, 6, 105, 206]]
    assert result.notes == {} and "COCO" in result.variant


def test_mmpose_files_come_together(tmp_path):
    annotations = tmp_path / "annotations"
    images = {"images": make_images("a.jpg", "b.jpg")}
    write_labels(annotations / "fld_upper_train.json", make_labels(UPPER_NAMES, UPPER, **images))
    write_labels(annotations / "fld_lower_train.json", make_labels(LOWER_NAMES, LOWER, 2, **images))
    write_labels(annotations / "fld_full_val.json", make_labels(images=make_images("c.jpg")))
    _touch(tmp_path, "img/a.jpg", "img/b.jpg", "img/c.jpg")
    result = read_coco(tmp_path)
    assert {(sample.photo, sample.split): sample.garments.types.tolist() for sample in result.samples} == {
        ("a.jpg", "train"): [GarmentType.LOWER_BODY, GarmentType.UPPER_BODY],  # files in the order of their names
        ("b.jpg", "train"): [GarmentType.LOWER_BODY],
        ("c.jpg", "val"): [GarmentType.FULL_BODY],
    }
    assert [sample.path for sample in result.samples if sample.photo == "a.jpg"] == [str(tmp_path / "img/a.jpg")]
    assert result.rejected == [] and result.notes == {}


def test_a_fault_in_one_file_costs_the_photo_of_all(tmp_path):
    write_labels(tmp_path / "lower_train.json", make_labels(LOWER_NAMES, [*LOWER[:-1], 3], 2))
    write_labels(tmp_path / "upper_train.json", make_labels(UPPER_NAMES, UPPER, 3))
    result = read_coco(tmp_path)
    assert [sample.photo for sample in result.samples] == ["3.jpg"]
    assert [rejected.photo for rejected in result.rejected] == ["1.jpg", "2.jpg"]
    assert result.rejected[0].where == f"{tmp_path / 'lower_train.json'}: annotation 1"


@pytest.mark.parametrize("groups, num_samples", [(("a", "a"), 1), (("a", "b"), 0), (("a", None), 0), ((None, "a"), 0)])
def test_files_must_agree_on_the_group_of_a_photo(tmp_path, groups, num_samples):
    for names, keypoints, group in zip((UPPER_NAMES, LOWER_NAMES), (UPPER, LOWER), groups, strict=True):
        labels = make_labels(names, keypoints)
        if group:
            labels["images"][0]["split_group"] = group
        write_labels(tmp_path / f"{len(names)}.json", labels)
    result = read_coco(tmp_path)
    assert [sample.group for sample in result.samples] == ["a"] * num_samples
    assert len(result.rejected) == 1 - num_samples
    assert all("split_group" in rejected.reason for rejected in result.rejected)


def test_the_first_file_that_says_a_photos_size_counts(tmp_path):
    for number, changes in enumerate([{"height": None}, {"height": 30}, {"height": 40}]):
        images = [{**image, **changes} for image in make_images("1.jpg")]
        write_labels(tmp_path / f"{number}.json", make_labels(images=images))
    assert [sample.labelled_size for sample in read_coco(tmp_path).samples] == [(30, 200)]


def test_notes_are_counted_over_all_files(tmp_path):
    for number in range(2):
        labels = make_labels(num_photos=2)
        labels["categories"].append({"id": 2, "name": "shoe"})
        labels["annotations"][1].update(num_keypoints=1, bbox=[number, 2, 3, 4])
        write_labels(tmp_path / f"{number}.json", labels)
    assert read_coco(tmp_path).notes == {UNUSED_CATEGORY: 2, OTHER_NUM_KEYPOINTS: 2, REPEATED_ANNOTATION: 1}


def test_the_same_name_in_two_splits_is_two_photos_if_it_is(tmp_path):
    for split in ("train", "val"):
        write_labels(tmp_path / f"labels.{split}.json", make_labels())
        _touch(tmp_path, f"{split}/1.jpg")
    assert [(sample.split, sample.path) for sample in read_coco(tmp_path).samples] == [
        ("train", str(tmp_path / "train/1.jpg")),
        ("val", str(tmp_path / "val/1.jpg")),
    ]


def test_one_photo_in_two_splits_is_rejected(tmp_path):
    for name in ("labels.json", "labels.train.json"):
        write_labels(tmp_path / name, make_labels())
    _touch(tmp_path, "img/1.jpg")
    result = read_coco(tmp_path)
    assert result.samples == []
    assert [rejected.reason for rejected in result.rejected] == [
        f"the same photo is also labelled in {tmp_path / 'labels.train.json'}: image 1",
        f"the same photo is also labelled in {tmp_path / 'labels.json'}: image 1",
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
        ("instances_train2017.json", "train"),
        ("a/train/labels.json", None),
    ],
)
def test_a_files_split_is_the_last_part_of_its_name(name, split):
    assert split_of_file(name) == split


def test_an_annotation_that_repeats_another_is_left_out_and_counted(tmp_path):
    labels = make_labels(num_photos=2)
    labels["annotations"] += [make_annotation(3, 1, FULL), make_annotation(4, 1, FULL, bbox=[5, 6, 100, 201])]
    result = _read(tmp_path, labels)
    assert [len(sample.garments) for sample in result.samples] == [2, 1]
    assert result.notes == {REPEATED_ANNOTATION: 1} and result.rejected == []


def test_photos_without_annotations_are_background_and_counted(tmp_path):
    result = _read(tmp_path, make_labels(images=make_images("1.jpg", "2.jpg", "3.jpg")))
    assert [len(sample.garments) for sample in result.samples] == [1, 0, 0] and result.rejected == []
    assert [sample.photo for sample in result.samples] == ["1.jpg", "2.jpg", "3.jpg"]
    assert result.notes == {PHOTO_WITHOUT_GARMENT: 2}


def test_only_the_given_files_are_read(tmp_path):
    write_labels(tmp_path / "a.json", "no JSON")
    write_labels(tmp_path / "elsewhere" / "b.json", make_labels())
    result = read_coco(str(tmp_path), annotation_files=[str(tmp_path / "elsewhere" / "b.json")] * 2)
    assert len(result.samples) == 1 and result.notes == {}


def test_roboflow_s_folders_are_splits(tmp_path):
    for folder in ("train", "valid", "test"):
        _touch(tmp_path, f"{folder}/1.jpg")
        write_labels(tmp_path / folder / "_annotations.coco.json", make_labels())
    result = read_coco(tmp_path)
    assert {sample.split: sample.path for sample in result.samples} == {
        split: str(tmp_path / folder / "1.jpg")
        for split, folder in (("train", "train"), ("val", "valid"), ("test", "test"))
    }
    assert result.rejected == []


@pytest.mark.parametrize(
    ("subset", "split"),
    [("train", "train"), ("default", None), ("Validation", "val"), ("batch 1", None), ("val2017", "val")],
)
@pytest.mark.parametrize("name", ["person_keypoints_{}.json", "instances_{}.json"])
@pytest.mark.parametrize("folder", ["images/", ""])
def test_photos_of_cvat_and_coco_are_in_a_folder_of_the_subset(tmp_path, subset, split, name, folder):
    _touch(tmp_path, f"{folder}{subset}/1.jpg")
    write_labels(tmp_path / "annotations" / name.format(subset), make_labels())
    (sample,) = read_coco(tmp_path).samples
    assert (sample.split, sample.path) == (split, str(tmp_path / folder / subset / "1.jpg"))


def test_photos_of_several_folders_may_have_the_same_name(tmp_path):
    names = [f"images/{subset}/1.jpg" for subset in ("Train", "one", "two")]
    _touch(tmp_path, "1.jpg", *names)
    for number, subset in enumerate(("Train", "one", "two")):
        labels = make_labels(keypoints=[number + 1, *FULL[1:]])
        write_labels(tmp_path / "annotations" / f"person_keypoints_{subset}.json", labels)
    result = read_coco(tmp_path)
    assert result.rejected == []
    read = {sample.photo: (sample.split, sample.path, sample.garments) for sample in result.samples}
    assert {photo: (split, path) for photo, (split, path, _) in read.items()} == {
        name: (split, str(tmp_path / name)) for name, split in zip(names, ("train", None, None), strict=True)
    }
    assert [garments.keypoints_xy[0, 0, 0] for _, _, garments in read.values()] == [1, 2, 3]


@pytest.mark.parametrize("folder", ["", "img", "image", "images", "photos", "val", "validation"])
def test_photos_are_looked_for_in_the_usual_folders(tmp_path, folder):
    _touch(tmp_path, os.path.join(folder, "1.jpg"))
    (sample,) = _read(tmp_path, make_labels(), "annotations/labels.val.json").samples
    assert sample.path == str(tmp_path / folder / "1.jpg")


def test_the_first_folder_that_has_the_photo_counts(tmp_path):
    _touch(tmp_path, "images/1.jpg", "img/1.jpg", "val/1.jpg")
    assert _read(tmp_path, make_labels()).samples[0].path == str(tmp_path / "img/1.jpg")


def test_all_places_of_a_missing_photo_are_told(tmp_path):
    (tmp_path / "images").mkdir()
    (sample,) = _read(tmp_path, make_labels()).samples
    assert (sample.path, sample.other_paths) == (str(tmp_path / "1.jpg"), (str(tmp_path / "images/1.jpg"),))
    _touch(tmp_path, "images/1.jpg")
    assert _read(tmp_path, make_labels()).samples[0].other_paths == ()


def test_missing_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"x.json: cannot be read: No such file"):
        read_coco(tmp_path, annotation_files=[tmp_path / "x.json"])


# Reading all images, strictly ----------------------------------------------------------------------------------------


def _read_images(tmp_path, *documents):
    files = [tmp_path / f"{number}.json" for number in range(len(documents))]
    for file, labels in zip(files, documents, strict=True):
        write_labels(file, labels)
    return read_labelled_images(files)[0]


def _refuse_images(tmp_path, *documents):
    with pytest.raises(UserError) as error:
        _read_images(tmp_path, *documents)
    assert str(error.value).isprintable()
    return str(error.value)


def test_images_without_annotations_are_there_too(tmp_path):
    photos = _read_images(tmp_path, make_labels(images=make_images("1.jpg", "2.jpg", "3.jpg")))
    assert [(image_id, photo.name, len(photo.garments)) for image_id, photo in photos.items()] == [
        (1, "1.jpg", 1),
        (2, "2.jpg", 0),
        (3, "3.jpg", 0),
    ]
    assert photos[1].garments.types.tolist() == [GarmentType.FULL_BODY]
    assert photos[2].garments.visibility.shape == (0, 8)


def test_repeated_annotations_are_told_apart_by_everything(tmp_path):
    labels = make_labels()
    labels["annotations"] += [make_annotation(3, 1, FULL), make_annotation(4, 1, FULL, bbox=[5, 6, 100, 201])]
    photo = _read_images(tmp_path, labels)[1]
    assert (len(photo.annotations), len(photo.garments)) == (3, 2)


def test_several_files_share_their_images(tmp_path):
    upper, lower = make_labels(UPPER_NAMES, UPPER), make_labels(LOWER_NAMES, LOWER)
    lower["images"][0]["id"] = "1"
    lower["images"].append({"id": 5, "file_name": "5.jpg"})
    photos = _read_images(tmp_path, upper, lower)
    assert list(photos) == [1, 5]
    assert photos[1].garments.types.tolist() == [GarmentType.UPPER_BODY, GarmentType.LOWER_BODY]


def test_ids_must_tell_the_images_of_several_files_apart(tmp_path):
    other = make_labels(images=[{"id": 1, "file_name": "other.jpg"}])
    message = f"{tmp_path / '1.json'}: image 1 is 'other.jpg', a different photo from {tmp_path / '0.json'}: image 1"
    assert _refuse_images(tmp_path, make_labels(), other) == message
    again = make_labels(images=[{"id": "x\n", "file_name": "1.jpg"}], annotations=[])
    message = f"{tmp_path / '1.json'}: image 'x\\n' has a different id in {tmp_path / '0.json'}: image 1"
    assert _refuse_images(tmp_path, make_labels(), again) == message


def test_the_same_file_twice_is_read_once(tmp_path):
    write_labels(tmp_path / "a.json", make_labels())
    assert len(read_labelled_images([tmp_path / "a.json", tmp_path / "." / "a.json"])[0][1].garments) == 1


@pytest.mark.parametrize(
    ("key", "changes", "words"),
    [
        ("annotations", {"bbox": [1, 2, 0, 4]}, "annotation 2: box 1 2 1 6 has no area"),
        ("annotations", {"keypoints": FULL[:-1]}, "annotation 2: keypoints has 23 values, required 24"),
        ("annotations", {"image_id": 9}, "annotation 2: image_id 9 is not the id of any image"),
        ("annotations", {"id": 1}, "annotation 1: annotation id 1 appears more than once"),
        ("images", {"id": None}, "images[1]: id is null, required a whole number or text"),
        ("images", {"id": 1}, "image 1: image id 1 appears more than once"),
        ("images", {"file_name": ".."}, "image 2: file_name '..' is not a path inside the dataset"),
    ],
)
def test_any_fault_ends_the_strict_reading(tmp_path, key, changes, words):
    labels = make_labels(num_photos=3)
    labels[key][1].update(changes)
    assert _refuse_images(tmp_path, labels) == f"{tmp_path / '0.json'}: {words}"


# Writing -------------------------------------------------------------------------------------------------------------


def _garment(garment_type=GarmentType.FULL_BODY, visibility=(2, 1, 2, 2, 2, 2, 2, 2), variation=Variation.UNKNOWN):
    keypoints_xy = np.arange(16, dtype=np.float32).reshape(8, 2) / 4 + 0.1
    keypoints_xy[np.array(visibility) <= Visibility.ABSENT] = 0
    return Garments.label(garment_type, (1.0, 2.0, 30.5, 40.0), keypoints_xy, visibility, variation)


def _sample(photo, *garments, split=None, group=None):
    return Sample(photo, split, Garments.concatenate(garments), "somewhere", "anywhere", group)


def test_what_is_written_is_coco(tmp_path):
    upper = _garment(GarmentType.UPPER_BODY, (2, 1, -1, 2, 0, 0, 2, 2), Variation.LARGE_POSE)
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
    visibility = np.zeros(8, np.int32)
    keypoints_xy = np.zeros((8, 2), np.float32)
    for slot in KEYPOINT_SLOTS[garment_type]:
        visibility[slot] = draw(st.sampled_from(Visibility))
        if visibility[slot] > 0:
            keypoints_xy[slot] = draw(_COORDINATES), draw(_COORDINATES)
    x_min, y_min = draw(_COORDINATES), draw(_COORDINATES)
    width, height = (draw(st.floats(1, 3000, width=32)) for _ in range(2))
    box_xyxy = x_min, y_min, x_min + width, y_min + height
    return Garments.label(garment_type, box_xyxy, keypoints_xy, visibility, draw(st.sampled_from(Variation)))


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.lists(_garments(), min_size=1, max_size=3), max_size=4), st.sampled_from(["train", "val", None]))
def test_what_is_written_is_read_back(tmp_path_factory, garments, split):
    root = tmp_path_factory.mktemp("coco")
    samples = [
        _sample(f"img/é\u202f{n}.jpg", *of_photo, split=split, group=None if n % 2 else f"pair {n}")
        for n, of_photo in enumerate(garments)
    ]
    path = root / "labels.json" if split is None else split_path(root / "labels.json", split)
    write_coco(path, ((sample, 100, 200) for sample in samples))
    result = read_coco(root)
    assert result.rejected == []
    assert len(result.samples) == len(samples)
    for sample, wanted in zip(result.samples, samples, strict=True):
        assert (sample.photo, sample.split, sample.group) == (wanted.photo, wanted.split, wanted.group)
        assert sample.labelled_size == (100, 200)
        visibility = np.maximum(wanted.garments.visibility, Visibility.ABSENT)  # cut off becomes absent
        assert sample.garments == wanted.garments.replace(visibility=visibility).distinct()
