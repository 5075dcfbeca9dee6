"""Read and write COCO keypoints: one JSON document with `images`, `annotations` and `categories`.

Read are files whose categories have our keypoints by name, in any order and spelling of "left_collar":

- one category with all eight, or one for each garment type;
- the form in which MMPose ships DeepFashion's FLD: `annotations/fld_upper_train.json`, `fld_lower_train.json` and
  `fld_full_train.json`, and so for `val` and `test`, each with one category of 6, 4 or 8 keypoints, photos in `img/`;
- what `write_coco` writes.

A keypoint is x, y, v with v 2 visible, 1 occluded, 0 not labelled: the reverse of FLD's text files. A box is
[x, y, w, h] with w = x_max - x_min. `num_keypoints` counts occluded keypoints too. Heights and widths of images are
not looked at: the photos tell.

The garment type is the category's, never guessed from values: 6 keypoints without waistline are upper-body, 4 without
collars and sleeves lower-body. Of a category with all eight, its name tells ("upper", "upper-body" and so on); a
file's only category with all eight is full-body, the type that has them all.

A fault of a file or of its categories ends the reading; a fault of an image or an annotation costs that photo alone,
and all of it: a detector must not learn that a garment with a faulty label is background.

Two extra keys, which other readers pass over, carry what COCO has no place for: `variation` of an annotation and
`split_group` of an image, see `cspn_tf.data.samples`. Lost are cut-off keypoints, which COCO does not tell from those
nobody labelled.

Sources: https://cocodataset.org/#format-data, and for MMPose's files
https://mmpose.readthedocs.io/en/latest/dataset_zoo/2d_fashion_landmark.html
"""

import collections
import dataclasses
import json
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np

from cspn_tf.console import UserError
from cspn_tf.data import fields
from cspn_tf.data.fields import FieldFault
from cspn_tf.data.samples import Garment, ReadResult, Rejected, Sample
from cspn_tf.files import replaced_file
from cspn_tf.garments import (
    GARMENT_TYPE_NAMES,
    KEYPOINT_NAMES,
    KEYPOINT_SLOTS,
    NUM_KEYPOINTS,
    SKELETON,
    GarmentType,
    Variation,
    Visibility,
)

PHOTO_WITHOUT_GARMENT = "photo without an annotation, left out"
REPEATED_ANNOTATION = "annotation that repeats another one of its photo, left out"

# Last part of a file's name → split.
SPLIT_TOKENS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
# Where photos are looked for, besides the root itself; folders named as the split come after them.
PHOTO_FOLDERS = ("img", "image", "images", "photos")

_VISIBILITY_OF_CODE = {2: Visibility.VISIBLE, 1: Visibility.OCCLUDED, 0: Visibility.ABSENT}
_CODE_OF_VISIBILITY = {Visibility.VISIBLE: 2, Visibility.OCCLUDED: 1, Visibility.ABSENT: 0, Visibility.CUT_OFF: 0}
_TYPE_OF_NAME = {
    spelling: garment_type
    for garment_type, name in GARMENT_TYPE_NAMES.items()
    for spelling in (name.replace("-", "_"), name.replace("-", ""), name.partition("-")[0])
}
_TYPE_OF_SLOTS = {frozenset(slots): garment_type for garment_type, slots in KEYPOINT_SLOTS.items()}


def read_coco(root, annotation_files=None, categories=None) -> ReadResult:
    """Read a dataset in COCO's keypoint format.

    Args:
        root: the folder photos are looked for in: itself, `PHOTO_FOLDERS`, and a folder named as the split.
        annotation_files: paths of the JSON files, or none for all in the root and in `annotations/`. Annotations of
            a photo in several files of one split come together. A file is of the split that ends its name, as in
            `labels.train.json` or `fld_upper_val.json`, or of none.
        categories: dict of category name → `GarmentType`, which goes before what the category itself says.

    Returns:
        The photos in the order of the files and their images, and one `Rejected` for every photo that cannot be
        used and every annotation that belongs to no photo. Photos have not been looked at.

    Raises:
        UserError: a file is missing or not COCO keypoints, a category has other keypoints than ours or does not tell
            its garment type, or `categories` names one that no file has.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    given_types = dict(categories or {})
    photos, rejected, names = {}, [], set()
    for path in _distinct(map(Path, annotation_files) if annotation_files else _found_files(root)):
        file = _File(path, given_types)
        names |= file.category_names
        rejected += file.read_into(photos)
    for name in given_types:
        if name not in names:
            raise UserError(f"{root}: no category {fields.shown(name)}, found {', '.join(sorted(map(ascii, names)))}")
    samples, faults, notes = _to_samples(list(photos.values()), root)
    return ReadResult(samples, [*rejected, *faults], "COCO keypoints", notes)


def _found_files(root):
    folders = (root, root / "annotations")
    paths = [path for folder in folders for path in sorted(folder.glob("*.json")) if not path.name.startswith(".")]
    if not paths:
        raise UserError(f"{root}: no COCO annotation: no JSON file in it or in annotations")
    return paths


def _distinct(paths):
    return list({path.resolve(): path for path in paths}.values())


def split_of_file(path) -> str | None:
    """Return the split that the last part of an annotation file's name tells, or None."""
    return SPLIT_TOKENS.get(re.split("[._-]", Path(path).name.lower().removesuffix(".json"))[-1])


def split_path(path, split) -> Path:
    """Return the file of one split of an export: `labels.json` and "train" make `labels.train.json`."""
    path = Path(path)
    return path.with_name(f"{path.name.removesuffix('.json')}.{split}.json")


# Photos, over all files ----------------------------------------------------------------------------------------------


@dataclasses.dataclass
class _Photo:
    """What the files of one split say of one photo; a fault outweighs the rest."""

    name: str
    split: str | None
    where: str
    group: str | None = None
    garments: list[Garment] = dataclasses.field(default_factory=list)
    fault: Rejected | None = None

    def add_fault(self, where, reason):
        self.fault = self.fault or Rejected(self.name, where, reason)


def _to_samples(photos, root):
    """Return the samples, a list of `Rejected`, and the notes of a `ReadResult`."""
    labelled = [photo for photo in photos if photo.garments or photo.fault]
    folders = {split: _photo_folders(root, split) for split in {photo.split for photo in labelled}}
    paths = [fields.first_file(folders[photo.split], photo.name) for photo in labelled]
    first_of_path = {}
    for photo, path in zip(labelled, paths, strict=True):
        # What one labels would be background to the other.
        first = first_of_path.setdefault(path, photo)
        if first is not photo:
            first.add_fault(first.where, f"the same photo is labelled apart from it in {photo.where}")
            photo.add_fault(photo.where, f"the same photo is labelled apart from it in {first.where}")

    samples, num_repeated = [], 0
    for photo, path in zip(labelled, paths, strict=True):
        if not photo.fault:
            garments = tuple({_identity(garment): garment for garment in photo.garments}.values())
            num_repeated += len(photo.garments) - len(garments)
            samples.append(Sample(photo.name, photo.split, garments, photo.where, path, photo.group))
    counts = {PHOTO_WITHOUT_GARMENT: len(photos) - len(labelled), REPEATED_ANNOTATION: num_repeated}
    notes = {words: count for words, count in counts.items() if count}
    return samples, [photo.fault for photo in labelled if photo.fault], notes


def _photo_folders(root, split):
    names = [*PHOTO_FOLDERS, *(token for token, token_split in SPLIT_TOKENS.items() if token_split == split)]
    return [root, *(root / name for name in names if (root / name).is_dir())]


def _identity(garment):
    values = garment.keypoints_xy.tobytes(), garment.visibility.tobytes()
    return garment.garment_type, garment.box_xyxy, garment.variation, *values


# One file ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Category:
    """A category: the garment type, and the slot of each of its keypoints."""

    garment_type: GarmentType
    slots: tuple[int, ...]


class _File:
    """One annotation file."""

    def __init__(self, path, given_types):
        """Load the file and understand its categories.

        Raises:
            UserError: see `read_coco`.
        """
        self.path = path
        self.split = split_of_file(path)
        try:
            labels = fields.read_json(path)
        except FieldFault as fault:
            raise UserError(f"{path}: {fault}")
        try:
            self.images, self.annotations, categories = (
                fields.json_list(fields.member(fields.json_object(labels, "it"), key, "it"), key)
                for key in ("images", "annotations", "categories")
            )
            self.categories, self.category_names = _read_categories(categories, given_types)
        except FieldFault as fault:
            raise UserError(f"{path}: not a file of COCO keypoints that can be read: {fault}")

    def read_into(self, photos) -> list[Rejected]:
        """Add what the file says to the photos.

        Args:
            photos: dict of (name, split) → `_Photo`, or of another key for an image without a name.

        Returns:
            The annotations that belong to no photo.
        """
        rejected = []
        photo_of_id = self._read_images(photos)
        num_of_id = collections.Counter(_id(annotation) for annotation in self.annotations)
        for index, annotation in enumerate(self.annotations):
            image_id = annotation.get("image_id") if isinstance(annotation, dict) else None
            photo = photo_of_id.get(image_id) if _is_id(image_id) else None
            label_id = _id(annotation)
            where = f"{self.path}: annotations[{index}]" if label_id is None else f"{self.path}: annotation {label_id}"
            if photo is None:
                rejected.append(Rejected("", where, f"image_id {fields.shown(image_id)} is no image's id"))
                continue
            try:
                garment = _read_annotation(annotation, self.categories)
                if num_of_id[label_id] > 1:
                    raise FieldFault(f"annotation id {label_id} is there more than once")
            except FieldFault as fault:
                photo.add_fault(where, str(fault))
            else:
                photo.garments.append(garment)
        return rejected

    def _read_images(self, photos):
        """Return image id → `_Photo`, which is in `photos` too."""
        photo_of_id = {}
        names = [_name(image) for image in self.images]
        num_of_id = collections.Counter(_id(image) for image in self.images)
        num_of_name = collections.Counter(names)
        for index, (image, name) in enumerate(zip(self.images, names, strict=True)):
            image_id = _id(image)
            where = f"{self.path}: images[{index}]" if image_id is None else f"{self.path}: image {image_id}"
            key = (where,) if name is None else (name, self.split)
            new = _Photo(name or "", self.split, where)
            photo = photos.setdefault(key, new)
            try:
                group = _read_image(image)
                if num_of_id[image_id] > 1:
                    raise FieldFault(f"image id {image_id} is there more than once")
                if num_of_name[name] > 1:
                    raise FieldFault(f"file_name {fields.shown(name)} is there more than once")
                if photo is new:
                    photo.group = group
                elif photo.group != group:
                    raise FieldFault(f"split_group {fields.shown(group)}, in {photo.where} {fields.shown(photo.group)}")
            except FieldFault as fault:
                photo.add_fault(where, str(fault))
            if image_id is not None:
                photo_of_id.setdefault(image_id, photo)
        return photo_of_id


def _is_id(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _id(entry):
    """Return the id of an image or annotation, or None if it has none that can be used."""
    value = entry.get("id") if isinstance(entry, dict) else None
    return value if _is_id(value) else None


def _name(image):
    try:
        return fields.photo_name(image.get("file_name"), "file_name") if isinstance(image, dict) else None
    except FieldFault:
        return None


def _read_image(image):
    """Check an image, and return its group or None."""
    fields.json_object(image, "the image")
    fields.whole_number(fields.member(image, "id", "the image"), "id")
    fields.photo_name(fields.member(image, "file_name", "the image"), "file_name")
    group = image.get("split_group")
    if "split_group" in image and not isinstance(group, str):
        raise FieldFault(f"split_group is {fields.shown(group)}, required text")
    return group


# Categories ----------------------------------------------------------------------------------------------------------


def _read_categories(categories, given_types):
    """Understand a file's categories.

    Args:
        categories: list, as in the file.
        given_types: dict of name → `GarmentType` that goes before what they say.

    Returns:
        dict of category id → `_Category`, and the set of names.
    """
    read, names = {}, set()
    for index, category in enumerate(categories):
        what = f"categories[{index}]"
        fields.json_object(category, what)
        category_id = fields.whole_number(fields.member(category, "id", what), f"id of {what}")
        name = fields.member(category, "name", what)
        if not isinstance(name, str):
            raise FieldFault(f"name of {what} is {fields.shown(name)}, required text")
        what = f"category {fields.shown(name)}"
        if category_id in read or name in names:
            raise FieldFault(f"{what} or its id {category_id} is there more than once")
        names.add(name)
        slots = _read_slots(fields.member(category, "keypoints", what), what)
        garment_type = given_types.get(name) or _type_of_category(name, slots, len(categories) == 1)
        read[category_id] = _Category(GarmentType(garment_type), slots)
    return read, names


def _read_slots(keypoints, what):
    slots = []
    for name in fields.json_list(keypoints, f"keypoints of {what}"):
        normalised = _normalised(name) if isinstance(name, str) else ""
        if normalised not in KEYPOINT_NAMES:
            raise FieldFault(f"{what} has the keypoint {fields.shown(name)}, known are {', '.join(KEYPOINT_NAMES)}")
        slots.append(KEYPOINT_NAMES.index(normalised))
    if len(set(slots)) < len(slots):
        raise FieldFault(f"{what} has a keypoint more than once")
    return tuple(slots)


def _type_of_category(name, slots, is_only_one):
    garment_type = _TYPE_OF_SLOTS.get(frozenset(slots))
    if garment_type == GarmentType.FULL_BODY:
        garment_type = _TYPE_OF_NAME.get(_normalised(name), GarmentType.FULL_BODY if is_only_one else None)
    if garment_type is None:
        raise FieldFault(
            f"category {fields.shown(name)} does not tell its garment type, neither by its name nor by its "
            f"{len(slots)} keypoints: name the type"
        )
    return garment_type


def _normalised(name):
    return re.sub(r"[\s._-]+", "_", name.strip().lower())


# Annotations ---------------------------------------------------------------------------------------------------------


def _read_annotation(annotation, categories) -> Garment:
    """Read one annotation."""
    what = "the annotation"
    fields.json_object(annotation, what)
    fields.whole_number(fields.member(annotation, "id", what), "id")
    if fields.code(annotation.get("iscrowd", 0), "iscrowd", (0, 1)):
        raise FieldFault("iscrowd is 1: garments of a crowd are not labelled one by one")
    category_id = fields.whole_number(fields.member(annotation, "category_id", what), "category_id")
    if category_id not in categories:
        raise FieldFault(f"category_id {category_id} is no category's id")
    category = categories[category_id]

    bbox = fields.json_list(fields.member(annotation, "bbox", what), "bbox", 4)
    x, y, width, height = (fields.number(value, "bbox") for value in bbox)
    box_xyxy = fields.box(x, y, x + width, y + height)
    keypoints = fields.member(annotation, "keypoints", what)
    keypoints_xy, visibility = _read_keypoints(keypoints, category)
    if "num_keypoints" in annotation:
        num_labelled = int((visibility > Visibility.ABSENT).sum())
        fields.code(annotation["num_keypoints"], "num_keypoints", (num_labelled,))
    variation = Variation(fields.code(annotation.get("variation", 0), "variation", tuple(Variation)))
    return Garment(category.garment_type, box_xyxy, keypoints_xy, visibility, variation)


def _read_keypoints(values, category):
    """Read the keypoints of one annotation into the slots they belong to.

    Args:
        values: x, y, v of each of the category's keypoints.
        category: its `_Category`.

    Returns:
        keypoints_xy, visibility: see `Garment`.
    """
    fields.json_list(values, "keypoints", 3 * len(category.slots))
    keypoints_xy = np.zeros((NUM_KEYPOINTS, 2), np.float32)
    visibility = np.full(NUM_KEYPOINTS, int(Visibility.ABSENT), np.int32)
    for index, slot in enumerate(category.slots):
        what = KEYPOINT_NAMES[slot]
        x, y, v = values[3 * index : 3 * index + 3]
        xy = fields.number(x, f"x of {what}"), fields.number(y, f"y of {what}")
        seen = _VISIBILITY_OF_CODE[fields.code(v, f"visibility of {what}", _VISIBILITY_OF_CODE)]
        if seen == Visibility.ABSENT:
            continue
        if slot not in KEYPOINT_SLOTS[category.garment_type]:
            raise FieldFault(f"{what} is labelled, which {GARMENT_TYPE_NAMES[category.garment_type]} does not have")
        keypoints_xy[slot], visibility[slot] = xy, seen
    return keypoints_xy, visibility


# Writing -------------------------------------------------------------------------------------------------------------


def write_coco(path, photos) -> None:
    """Write photos and their labels as one COCO keypoints file.

    `read_coco` gives them back as they are, but for cut-off keypoints, which become unlabelled ones, 0 0 0. Boxes
    come back exactly if their coordinates are float32 values. Photos are referred to by `Sample.photo`.

    Args:
        path: file to write; it is there whole or not at all.
        photos: iterable of (`Sample`, height, width), sizes in pixels of the photo as displayed. Only one of them is
            held at a time.
    """
    path = Path(path)
    # A document has its images before its annotations, and both come in together: the latter wait in a second file.
    with (
        replaced_file(path) as temporary,
        temporary.open("w") as file,
        tempfile.TemporaryFile("w+", dir=path.parent) as annotations,
    ):
        file.write('{"info": {"description": "garment keypoints"},\n"categories": [')
        file.write(",".join("\n" + json.dumps(category) for category in _categories()) + '\n],\n"images": [')
        label_id = 0
        for image_id, (sample, height, width) in enumerate(photos, start=1):
            file.write(("," if image_id > 1 else "") + "\n" + json.dumps(_image(image_id, sample, height, width)))
            for garment in sample.garments:
                label_id += 1
                label = json.dumps(_annotation(label_id, image_id, garment), allow_nan=False)
                annotations.write(("," if label_id > 1 else "") + "\n" + label)
        file.write('\n],\n"annotations": [')
        annotations.seek(0)
        shutil.copyfileobj(annotations, file)
        file.write("\n]}\n")


def _categories():
    skeleton = [[first + 1, second + 1] for first, second in SKELETON]  # COCO counts keypoints from 1
    return [
        {
            "id": int(garment_type),
            "name": name,
            "supercategory": "garment",
            "keypoints": list(KEYPOINT_NAMES),
            "skeleton": skeleton,
        }
        for garment_type, name in GARMENT_TYPE_NAMES.items()
    ]


def _image(image_id, sample, height, width):
    image = {"id": image_id, "file_name": sample.photo, "height": int(height), "width": int(width)}
    return image if sample.group is None else {**image, "split_group": sample.group}


def _annotation(label_id, image_id, garment):
    x_min, y_min, x_max, y_max = (float(value) for value in garment.box_xyxy)
    width, height = x_max - x_min, y_max - y_min
    keypoints = []
    for xy, seen in zip(garment.keypoints_xy, garment.visibility, strict=True):
        # The shortest digits that make the same float32.
        x, y = (float(str(value)) for value in xy) if seen > Visibility.ABSENT else (0.0, 0.0)
        keypoints += [_plain(x), _plain(y), _CODE_OF_VISIBILITY[Visibility(seen)]]
    return {
        "id": label_id,
        "image_id": image_id,
        "category_id": int(garment.garment_type),
        "bbox": [_plain(value) for value in (x_min, y_min, width, height)],
        "area": _plain(width * height),
        "iscrowd": 0,
        "num_keypoints": int((garment.visibility > Visibility.ABSENT).sum()),
        "keypoints": keypoints,
        "variation": int(garment.variation),
    }


def _plain(value):
    return int(value) if value.is_integer() else value
