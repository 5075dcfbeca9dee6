"""Read DeepFashion2: one JSON file per photo, with every garment in the photo.

Layout: `train/annos/000001.json` labels `train/image/000001.jpg`, likewise under `validation/`; photos of the test
split have no labels. A root that has `annos/` and `image/` itself is read too, without a split.

A file has `source`, `pair_id` and one `item<number>` per garment. These fields of an item are read: `category_id` 1 to
13, `category_name`, `bounding_box` [x1, y1, x2, y2] and `landmarks`, a flat list of x, y, v with v 2 visible, 1
occluded, 0 not labelled. The dataset does not distinguish landmarks that are cut off from unlabelled ones, so both are
ABSENT.
`cspn_tf.data.landmark_maps` maps the landmarks to our keypoints, which drops most of them.

A fault in a file or in one of its garments rejects the whole photo, and only it: a detector must not learn that a
garment with a faulty label is background.

Source: README of https://github.com/switchablenorms/DeepFashion2
"""

import re
from pathlib import Path

from cspn_tf.console import UserError
from cspn_tf.data import fields
from cspn_tf.data.fields import RowFault, faults_at
from cspn_tf.data.landmark_maps import DEEPFASHION2
from cspn_tf.data.samples import PHOTO_WITHOUT_GARMENT, ReadResult, Sample, labelled_garment
from cspn_tf.garment_set import Garments
from cspn_tf.garments import Visibility

# Folder of a split, relative to the root → split.
SPLIT_FOLDERS = {"train": "train", "validation": "val", ".": None}

GARMENT_WITHOUT_LANDMARK = "garment without a labelled landmark, kept for its box and type"

_ITEM = re.compile(r"item([1-9][0-9]{0,5})")
_CATEGORY_OF_NAME = {category.name: category_id for category_id, category in DEEPFASHION2.items()}
_VISIBILITY_OF_CODE = {2: Visibility.VISIBLE, 1: Visibility.OCCLUDED, 0: Visibility.ABSENT}


def read_deepfashion2(root) -> ReadResult:
    """Read a DeepFashion2 dataset.

    Args:
        root: the folder with `train` and `validation`, either of which may be missing, or one with `annos` and
            `image`.

    Returns:
        The photos sorted by split and name, each with the `pair_id` as its group, and one `Rejected` for every
        unusable photo. Photos are not opened.

    Raises:
        UserError: no annotation is found, or no photo folder beside the annotations.
    """
    root = Path(root)
    files = [
        (folder, split, path)
        for folder, split in _split_folders(root)
        for path in sorted((folder / "annos").glob("[!.]*.json"))
    ]
    if not files:
        raise UserError(f"{root}: no DeepFashion2 annotation: no JSON file in train/annos, validation/annos or annos")

    result = ReadResult("DeepFashion2, one JSON file per photo")
    for folder, split, path in files:
        photo_path = folder / "image" / f"{path.stem}.jpg"
        photo = photo_path.relative_to(root).as_posix()
        with result.rejecting(photo, str(path)):
            fields.photo_name(path.name, "file name")
            group, garments = _read_photo(path, result)
            result.samples.append(Sample(photo, split, garments, str(path), str(photo_path), group))
    return result


def _split_folders(root):
    found = [(root / name, split) for name, split in SPLIT_FOLDERS.items() if (root / name / "annos").is_dir()]
    for folder, _ in found:
        if not (folder / "image").is_dir():
            raise UserError(f"{folder}: has annos, but no folder image beside it")
    return found


def _read_photo(path, result):
    """Read one annotation file.

    Args:
        path: path of the file.
        result: `ReadResult` to which notes are added if the file has no fault.

    Returns:
        group: the `pair_id` as text.
        garments: `Garments`, empty if the file has no item.
    """
    labels = fields.json_object(fields.read_json(path), "the file")
    group = str(fields.member(labels, "pair_id", "the file", fields.whole_number))
    garments, num_without = [], 0
    for key in _item_keys(labels):
        with faults_at(f"{path}: {key}"):
            garment, num_labelled = _read_item(labels[key])
        num_without += not num_labelled
        garments.append(garment)
    result.note(PHOTO_WITHOUT_GARMENT, not garments)
    result.note(GARMENT_WITHOUT_LANDMARK, num_without)
    return group, Garments.concatenate(garments)


def _item_keys(labels):
    """Return the keys of a photo's garments in the order of their numbers."""
    keys = [key for key in labels if key not in ("source", "pair_id")]
    for key in keys:
        if not _ITEM.fullmatch(key):
            raise RowFault(f"unknown key {fields.shown(key)}, required source, pair_id, item1, item2 and so on")
    return sorted(keys, key=lambda key: int(_ITEM.fullmatch(key)[1]))


def _read_item(item):
    """Read one garment.

    Returns:
        garment: `Garments` of one row.
        num_labelled: number of labelled landmarks, including those without a counterpart here.
    """
    fields.json_object(item, "the item")
    category = _read_category(item)
    corners = fields.member(item, "bounding_box", "the item", fields.json_list, 4)
    box_xyxy = fields.box(*(fields.number(value, "bounding_box") for value in corners))
    values = fields.member(item, "landmarks", "the item", fields.json_list)
    fields.json_list(values, f"landmarks of {category.name}", 3 * category.num_landmarks)
    landmarks = [
        fields.keypoint(x, y, v, f"landmark {number}", _VISIBILITY_OF_CODE)
        for number, (x, y, v) in enumerate(zip(values[::3], values[1::3], values[2::3], strict=True), start=1)
    ]
    keypoints = {slot: landmarks[number - 1] for slot, number in category.landmark_of_slot.items()}
    num_labelled = sum(seen > Visibility.ABSENT for _, _, seen in landmarks)
    return labelled_garment(category.garment_type, box_xyxy, keypoints), num_labelled


def _read_category(item):
    category_id = fields.member(item, "category_id", "the item", fields.one_of, DEEPFASHION2)
    name = item.get("category_name")
    # Vest and sling, and their dresses, have equally many landmarks: only the name reveals a confusion of the two.
    if isinstance(name, str) and _CATEGORY_OF_NAME.get(name, category_id) != category_id:
        raise RowFault(f"category_id {category_id} is {DEEPFASHION2[category_id].name}, category_name says {name}")
    return DEEPFASHION2[category_id]
