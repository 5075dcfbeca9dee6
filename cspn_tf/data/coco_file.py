"""One annotation file of COCO keypoints: its images, its annotations, and what its categories mean.

`cspn_tf.data.coco` says what such files look like here, and makes datasets of them.
"""

import collections
import dataclasses
import re

import numpy as np

from cspn_tf.console import UserError
from cspn_tf.data import fields
from cspn_tf.data.fields import FieldFault
from cspn_tf.data.samples import Garment, Rejected
from cspn_tf.garments import (
    GARMENT_TYPE_NAMES,
    KEYPOINT_NAMES,
    KEYPOINT_SLOTS,
    NUM_KEYPOINTS,
    GarmentType,
    Variation,
    Visibility,
)

_VISIBILITY_OF_CODE = {2: Visibility.VISIBLE, 1: Visibility.OCCLUDED, 0: Visibility.ABSENT}
_TYPE_OF_NAME = {
    spelling: garment_type
    for garment_type, name in GARMENT_TYPE_NAMES.items()
    for spelling in (name.replace("-", "_"), name.replace("-", ""), name.partition("-")[0])
}
_TYPE_OF_SLOTS = {frozenset(slots): garment_type for garment_type, slots in KEYPOINT_SLOTS.items()}


@dataclasses.dataclass
class CocoPhoto:
    """What the files of one split say of one photo; a fault outweighs the rest.

    Attributes:
        name: its `file_name`, empty if it has none that can be used.
        split: the split of its files, or None.
        where: `file: image` that named it first.
        group: see `Sample`.
        garments: its garments, as often as they are annotated.
        fault: the first thing wrong with it, or None.
    """

    name: str
    split: str | None
    where: str
    group: str | None = None
    garments: list[Garment] = dataclasses.field(default_factory=list)
    fault: Rejected | None = None

    def add_fault(self, where, reason):
        """Remember what is wrong, unless something is already."""
        self.fault = self.fault or Rejected(self.name, where, reason)

    def distinct_garments(self) -> tuple[Garment, ...]:
        """Return its garments without those that repeat another one in everything."""
        return tuple({_identity(garment): garment for garment in self.garments}.values())


def _identity(garment):
    values = garment.keypoints_xy.tobytes(), garment.visibility.tobytes()
    return garment.garment_type, garment.box_xyxy, garment.variation, *values


@dataclasses.dataclass(frozen=True)
class _Category:
    """A category: the garment type, and the slot of each of its keypoints."""

    garment_type: GarmentType
    slots: tuple[int, ...]


class CocoFile:
    """One annotation file."""

    def __init__(self, path, given_types):
        """Load the file and understand its categories.

        Args:
            path: of the file.
            given_types: dict of category name → `GarmentType`, which goes before what the category itself says.

        Raises:
            UserError: it is missing or not COCO keypoints, or a category has other keypoints than ours or does not
                tell its garment type.
        """
        self.path = path
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

    def read_into(self, photos, split) -> tuple[dict[int, CocoPhoto], list[Rejected]]:
        """Add what the file says to the photos.

        Args:
            photos: dict of (name, split) → `CocoPhoto`, or of another key for an image without a name.
            split: the file's split, or None.

        Returns:
            image id → `CocoPhoto`, which is in `photos` too; and the annotations that belong to no photo.
        """
        rejected = []
        photo_of_id = self._read_images(photos, split)
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
        return photo_of_id, rejected

    def _read_images(self, photos, split):
        photo_of_id = {}
        names = [_name(image) for image in self.images]
        num_of_id = collections.Counter(_id(image) for image in self.images)
        num_of_name = collections.Counter(names)
        for index, (image, name) in enumerate(zip(self.images, names, strict=True)):
            image_id = _id(image)
            where = f"{self.path}: images[{index}]" if image_id is None else f"{self.path}: image {image_id}"
            key = (where,) if name is None else (name, split)
            new = CocoPhoto(name or "", split, where)
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
