"""Read DeepFashion2: one JSON file a photo, with every garment in the photo.

Layout: `train/annos/000001.json` labels `train/image/000001.jpg`, and so under `validation/`; photos of the test split
have no labels. A folder that has `annos/` and `image/` itself is read too, without a split.

A file holds `source`, `pair_id` and one `item<number>` a garment, of which is read: `category_id` 1 to 13,
`category_name`, `bounding_box` [x1, y1, x2, y2] and `landmarks` x, y, v flat, v 2 visible, 1 occluded, 0 not
labelled. The dataset does not tell landmarks that are cut off from those nobody labelled, and so neither do we. Its
landmarks come to our keypoints by `cspn_tf.data.landmark_maps`, which loses most of them.

A fault of a file or of one of its garments costs that photo alone, and all of it: a detector must not learn that a
garment with a faulty label is background.

Source: README of https://github.com/switchablenorms/DeepFashion2
"""

import collections
import os
import re
from pathlib import Path

import numpy as np

from cspn_tf.console import UserError
from cspn_tf.data import fields
from cspn_tf.data.fields import FieldFault
from cspn_tf.data.landmark_maps import DEEPFASHION2
from cspn_tf.data.samples import ReadResult, Rejected, Sample
from cspn_tf.garment_set import Garments
from cspn_tf.garments import NUM_KEYPOINTS, Visibility

# Folder of a split, relative to the root → our name for it.
SPLIT_FOLDERS = {"train": "train", "validation": "val", ".": None}

PHOTO_WITHOUT_GARMENT = "photo without a garment, kept as background"
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
        The photos by split and name, each with the `pair_id` as its group, and one `Rejected` for every photo that
        cannot be used. Photos have not been looked at.

    Raises:
        UserError: there is no annotation, or no folder of photos beside the annotations.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    files = [(folder, split, name) for folder, split in _split_folders(root) for name in _annotation_names(folder)]
    if not files:
        raise UserError(f"{root}: no DeepFashion2 annotation: no JSON file in train/annos, validation/annos or annos")

    samples, rejected, notes = [], [], collections.Counter()
    for folder, split, name in files:
        path = folder / "annos" / name
        photo_path = folder / "image" / f"{path.stem}.jpg"
        photo = photo_path.relative_to(root).as_posix()
        try:
            group, garments = _read_photo(path, notes)
        except _Fault as fault:
            rejected.append(Rejected(_printable(photo), _printable(fault.where), fault.reason))
        else:
            samples.append(Sample(photo, split, garments, str(path), str(photo_path), group))
    return ReadResult(samples, rejected, "DeepFashion2, one JSON file a photo", dict(notes))


def _split_folders(root):
    found = [(root / name, split) for name, split in SPLIT_FOLDERS.items() if (root / name / "annos").is_dir()]
    for folder, _ in found:
        if not (folder / "image").is_dir():
            raise UserError(f"{folder}: has annos, but no folder image beside it")
    return found


def _annotation_names(folder):
    with os.scandir(folder / "annos") as entries:
        return sorted(entry.name for entry in entries if re.fullmatch(r"[^.].*\.json", entry.name, re.DOTALL))


def _printable(text):
    return text if text.isprintable() else ascii(text)


class _Fault(Exception):
    """A photo's annotation cannot be used."""

    def __init__(self, where, reason):
        super().__init__(f"{where}: {reason}")
        self.where, self.reason = where, reason


def _read_photo(path, notes):
    """Read one annotation file.

    Args:
        path: of the file.
        notes: counter, to which what is worth a note is added if the file has no fault.

    Returns:
        group: the `pair_id` as text.
        garments: `Garments`, none if the file has no item.
    """
    where = str(path)
    try:
        fields.photo_name(path.name, "file name")
        labels = fields.json_object(fields.read_json(path), "the file")
        group = str(fields.whole_number(fields.member(labels, "pair_id", "the file"), "pair_id"))
        keys = _item_keys(labels)
        garments = []
        num_without = 0
        for key in keys:
            where = f"{path}: {key}"
            garment, num_labelled = _read_item(labels[key])
            num_without += not num_labelled
            garments.append(garment)
    except FieldFault as fault:
        raise _Fault(where, str(fault))
    if not garments:
        notes[PHOTO_WITHOUT_GARMENT] += 1
    if num_without:
        notes[GARMENT_WITHOUT_LANDMARK] += num_without
    return group, Garments.concatenate(garments)


def _item_keys(labels):
    """Return the keys of a photo's garments in the order of their numbers."""
    keys = [key for key in labels if key not in ("source", "pair_id")]
    for key in keys:
        if not _ITEM.fullmatch(key):
            raise FieldFault(f"unknown key {fields.shown(key)}, required source, pair_id, item1, item2 and so on")
    return sorted(keys, key=lambda key: int(_ITEM.fullmatch(key)[1]))


def _read_item(item):
    """Read one garment.

    Returns:
        garment: `Garments` of one row.
        num_labelled: how many of the dataset's landmarks it has, mapped or not.
    """
    fields.json_object(item, "the item")
    category = _read_category(item)
    corners = fields.json_list(fields.member(item, "bounding_box", "the item"), "bounding_box", 4)
    box_xyxy = fields.box(*(fields.number(value, "bounding_box") for value in corners))

    landmarks = fields.json_list(
        fields.member(item, "landmarks", "the item"), f"landmarks of {category.name}", 3 * category.num_landmarks
    )
    xyv = [_read_landmark(landmarks, number) for number in range(1, category.num_landmarks + 1)]
    keypoints_xy = np.zeros((NUM_KEYPOINTS, 2), np.float32)
    visibility = np.full(NUM_KEYPOINTS, int(Visibility.ABSENT), np.int32)
    for slot, number in category.landmark_of_slot.items():
        x, y, v = xyv[number - 1]
        visibility[slot] = _VISIBILITY_OF_CODE[v]
        if v:
            keypoints_xy[slot] = x, y
    num_labelled = sum(v > 0 for _, _, v in xyv)
    return Garments.label(category.garment_type, box_xyxy, keypoints_xy, visibility), num_labelled


def _read_category(item):
    category_id = fields.code(fields.member(item, "category_id", "the item"), "category_id", DEEPFASHION2)
    name = item.get("category_name")
    # Vest and sling, and their dresses, have equally many landmarks: a slip from one to another shows here alone.
    if isinstance(name, str) and _CATEGORY_OF_NAME.get(name, category_id) != category_id:
        raise FieldFault(f"category_id {category_id} is {DEEPFASHION2[category_id].name}, category_name says {name}")
    return DEEPFASHION2[category_id]


def _read_landmark(landmarks, number):
    x, y, v = landmarks[3 * number - 3 : 3 * number]
    what = f"landmark {number}"
    v = fields.code(v, f"visibility of {what}", _VISIBILITY_OF_CODE)
    return fields.number(x, f"x of {what}"), fields.number(y, f"y of {what}"), v
