"""Parse one annotation file of COCO keypoints: images, annotations, and the meaning of its categories.

`cspn_tf.data.coco` describes the accepted files, and combines them to datasets.
"""

import collections
import contextlib
import dataclasses
import re
from pathlib import PurePosixPath
from typing import NamedTuple

from cspn_tf.data import fields
from cspn_tf.data.fields import RowFault, refusing, shown
from cspn_tf.data.samples import labelled_garment
from cspn_tf.garment_set import Garments
from cspn_tf.garments import (
    GARMENT_TYPE_NAMES,
    KEYPOINT_NAMES,
    KEYPOINT_SLOTS,
    NUM_KEYPOINTS,
    GarmentType,
    Variation,
    Visibility,
)

# Notes of a `ReadResult`.
UNUSED_CATEGORY = "category that is not recognised and that no annotation uses, left out"
OTHER_NUM_KEYPOINTS = "annotation whose num_keypoints differs from the number of its labelled keypoints, used unchanged"
NO_KEYPOINTS = "annotation without keypoints, used for its box"
FOREIGN_VARIATION = "annotation whose variation is not recognised, treated as unknown"
FOREIGN_GROUP = "image whose split_group is not text, ignored"
FOREIGN_PATH = "image whose file_name is a path outside of the dataset, of which the last part is used"

_VISIBILITY_OF_CODE = {2: Visibility.VISIBLE, 1: Visibility.OCCLUDED, 0: Visibility.ABSENT}
_NOTHING = (0, None, "")  # what tools write (or NaN) for each number of an absent keypoint
_VARIATIONS = tuple(map(int, Variation))
_TYPE_OF_NAME = {
    spelling: garment_type
    for garment_type, name in GARMENT_TYPE_NAMES.items()
    for spelling in (name.replace("-", "_"), name.replace("-", ""), name.partition("-")[0])
}
_TYPE_OF_SLOTS = {frozenset(slots): garment_type for garment_type, slots in KEYPOINT_SLOTS.items()}


class Annotation(NamedTuple):
    """One annotation, as `samples.labelled_garment` takes it; type and box are None if it holds only keypoints."""

    garment_type: GarmentType | None
    box_xyxy: tuple[float, float, float, float] | None
    keypoints: dict[int, tuple]
    variation: Variation


@dataclasses.dataclass
class CocoPhoto:
    """Content of the files of one split about one photo; with a fault, the photo cannot be used.

    Attributes:
        name: its `file_name`; empty if it has no usable one.
        split: the split of its files, or None.
        where: `file: image` of its first occurrence.
        subset: the subset of its files, or None; see `CocoFile.read_into`.
        group: see `Sample`.
        labelled_size: see `Sample`.
        annotations: the `Annotation`s of its garments.
        fault: its first fault, with location; or None.
    """

    name: str
    split: str | None
    where: str
    subset: str | None = None
    group: str | None = None
    labelled_size: tuple[int, int] | None = None
    annotations: list[Annotation] = dataclasses.field(default_factory=list)
    fault: RowFault | None = None

    @contextlib.contextmanager
    def keeping_fault(self, where):
        """Record a `RowFault` raised in the block, with its location, unless the photo already has a fault."""
        try:
            yield
        except RowFault as fault:
            self.fault = self.fault or RowFault(fault.reason, where)

    @property
    def garments(self) -> Garments:
        """The photo's garments, without exact duplicates."""
        return Garments.concatenate([labelled_garment(*annotation) for annotation in self.annotations]).distinct()


class CocoFile:
    """One annotation file.

    Attributes:
        category_names: set of the names of all its categories.
        garment_types: set of pairs of category id and `GarmentType`, of the categories that imply one.
        notes: see `ReadResult`; `read_into` adds the notes about images and annotations.
    """

    def __init__(self, path, given_types):
        """Load the file and interpret its categories.

        Args:
            path: path of the file.
            given_types: dict of category name → `GarmentType`, which overrides the type that the category implies.

        Raises:
            UserError: the file is missing or is not COCO keypoints, or the keypoints or garment type of a used category
                are not recognised.
        """
        self.path = path
        self.notes = collections.Counter()
        with refusing(path):
            labels = fields.read_json(path)
        with refusing(f"{path}: not a readable file of COCO keypoints"):
            fields.json_object(labels, "it")
            self._images, self._annotations, categories = (
                fields.member(labels, key, "it", fields.json_list) for key in ("images", "annotations", "categories")
            )
            used_ids = {reference(annotation, "category_id") for annotation in self._annotations} - {None}
            keypoint_ids = {
                reference(annotation, "category_id")
                for annotation in self._annotations
                if isinstance(annotation, dict) and annotation.get("keypoints")
            }
            read = [_read_category(category, f"categories[{n}]") for n, category in enumerate(categories)]
            self._categories = _usable_categories(read, used_ids, keypoint_ids, given_types)
        self.category_names = {category.name for category in read} - {None}
        self.garment_types = {(n, c.garment_type) for n, c in self._categories.items() if c.garment_type}
        self.notes[UNUSED_CATEGORY] = len(read) - len(self._categories)

    def read_into(self, photos, split=None, subset=None) -> dict[int | str, CocoPhoto]:
        """Add the content of the file to the photos.

        Args:
            photos: dict of (name, split, subset) → `CocoPhoto`, to which photos are added. An image without a usable
                name, and an annotation without an image, becomes a `CocoPhoto` with a fault and no name, under another
                key.
            split: the file's split, or None.
            subset: name of the part of the dataset that has its own folder of photos, and may have photos of the same
                name as other parts; or None.

        Returns:
            image id → `CocoPhoto`, the same objects as in `photos`.
        """
        photo_of_id = self._read_images(photos, split, subset)
        num_of_id = collections.Counter(reference(annotation, "id") for annotation in self._annotations)
        for index, annotation in enumerate(self._annotations):
            label_id = reference(annotation, "id")
            where = self._where("annotation", index, label_id)
            photo = photo_of_id.get(reference(annotation, "image_id"))
            has_photo = photo is not None
            if not has_photo:
                photo = photos[where, index] = CocoPhoto("", split, where, subset)
            with photo.keeping_fault(where):
                fields.json_object(annotation, "the annotation")
                if not has_photo:
                    image_id = fields.member(annotation, "image_id", "the annotation", fields.identifier)
                    raise RowFault(f"image_id {shown(image_id)} is not the id of any image")
                garment = _read_annotation(annotation, self._categories, self.notes)
                if _is_usable(label_id) and num_of_id[label_id] > 1:
                    raise RowFault(f"annotation id {shown(label_id)} appears more than once")
                photo.annotations.append(garment)
        for photo in photo_of_id.values():
            with photo.keeping_fault(photo.where):
                joined = _joined(photo.annotations)
                self.notes[NO_KEYPOINTS] -= len(photo.annotations) - len(joined)
                photo.annotations = joined
        return photo_of_id

    def _read_images(self, photos, split, subset):
        photo_of_id = {}
        names = [_name(image) for image in self._images]
        num_of_id = collections.Counter(reference(image, "id") for image in self._images)
        num_of_name = collections.Counter(names)
        for index, (image, name) in enumerate(zip(self._images, names, strict=True)):
            image_id = reference(image, "id")
            where = self._where("image", index, image_id)
            new = CocoPhoto(name or "", split, where, subset)
            photo = photos.setdefault((where, index) if name is None else (name, split, subset), new)
            with photo.keeping_fault(where):
                group, size = _read_image(image, self.notes)
                if num_of_id[image_id] > 1:
                    raise RowFault(f"image id {shown(image_id)} appears more than once")
                if num_of_name[name] > 1:
                    raise RowFault(f"file_name {shown(name)} appears more than once")
                photo.labelled_size = photo.labelled_size or size
                if photo is new:
                    photo.group = group
                elif photo.group != group:
                    raise RowFault(f"split_group is {shown(group)}, but {shown(photo.group)} in {photo.where}")
            if image_id is not None:
                photo_of_id.setdefault(image_id, photo)
        return photo_of_id

    def _where(self, what, index, entry_id):
        return f"{self.path}: {what}" + (f" {shown(entry_id)}" if _is_usable(entry_id) else f"s[{index}]")


def reference(entry, key):
    """Return the id under a key in normalised form for comparison, or None if there is none.

    Invalid ids are comparable too, so that an entry that refers to one is not blamed for it.
    """
    value = entry.get(key) if isinstance(entry, dict) else None
    if value is None:
        return None
    try:
        return fields.identifier(value, key)
    except RowFault:
        return (shown(value),)


def _is_usable(reference):
    return isinstance(reference, int | str)


# Images --------------------------------------------------------------------------------------------------------------


def photo_name(value, what) -> str:
    """As `fields.photo_name`, but of a path outside of the dataset, as in a labelling tool's folders, the last part."""
    path = PurePosixPath(fields.text(value, what))
    return fields.photo_name(path.name if _is_elsewhere(path) else value, what)


def _is_elsewhere(path):
    return path.is_absolute() or ".." in path.parts


def category_types(categories) -> dict:
    """Return category id → `GarmentType` of the categories of a document whose names say it."""
    read = {c.category_id: _normalised(c.name or "") for c in (_read_category(c, "category") for c in categories)}
    return {category_id: _TYPE_OF_NAME[name] for category_id, name in read.items() if name in _TYPE_OF_NAME}


def _name(image):
    try:
        return photo_name(image.get("file_name"), "file_name") if isinstance(image, dict) else None
    except RowFault:
        return None


def _read_image(image, notes):
    """Check an image, and return its group and its labelled size, each None if not stated.

    Harmless deviations are counted in `notes`, a counter.
    """
    fields.json_object(image, "the image")
    fields.member(image, "id", "the image", fields.identifier)
    fields.member(image, "file_name", "the image", photo_name)
    notes[FOREIGN_PATH] += _is_elsewhere(PurePosixPath(image["file_name"]))
    group = image.get("split_group")
    is_text = isinstance(group, str)
    notes[FOREIGN_GROUP] += not (is_text or group is None)
    return group if is_text else None, _size(image)


def _size(image):
    try:
        size = tuple(fields.whole_number(image.get(key), key) for key in ("height", "width"))
    except RowFault:
        return None
    return size if all(size) else None


# Categories ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class _Category:
    """A category; invalid values are None, and the first one is recorded as its fault."""

    category_id: int | str | None = None
    name: str | None = None
    slots: tuple[int, ...] | None = None  # slots of its keypoints, in their order
    garment_type: GarmentType | None = (
        None  # also None if it holds only keypoints, of a garment whose box is another annotation
    )
    fault: RowFault | None = None


def _read_category(category, what) -> _Category:
    """Read a category, except for its garment type."""
    read = _Category()
    try:
        fields.json_object(category, what)
        read.category_id = fields.identifier(fields.member(category, "id", what), f"id of {what}")
        read.name = fields.text(fields.member(category, "name", what), f"name of {what}")
        read.slots = _read_slots(category, f"category {shown(read.name)}")
    except RowFault as fault:
        read.fault = fault
    return read


def _read_slots(category, what):
    if category.get("keypoints") is None:
        return ()  # a category with boxes only
    slots = []
    for name in fields.json_list(fields.member(category, "keypoints", what), f"keypoints of {what}"):
        normalised = _normalised(name) if isinstance(name, str) else ""
        if normalised not in KEYPOINT_NAMES:
            raise RowFault(f"{what} has the unknown keypoint {shown(name)}; known are {', '.join(KEYPOINT_NAMES)}")
        slots.append(KEYPOINT_NAMES.index(normalised))
    if len(set(slots)) < len(slots):
        raise RowFault(f"{what} has a keypoint more than once")
    return tuple(slots)


def _usable_categories(categories, used_ids, keypoint_ids, given_types) -> dict:
    """Determine the garment types of the categories, and drop faulty ones that no annotation uses.

    Args:
        categories: list of `_Category`, from `_read_category`.
        used_ids: set of the annotations' category ids.
        keypoint_ids: set of the category ids of annotations with keypoints.
        given_types: dict of name → `GarmentType`, which overrides the types that the categories imply.

    Returns:
        dict of category id → `_Category`.

    Raises:
        RowFault: a used category is faulty; or a category has an invalid id while an annotation has an unknown one.
    """
    has_strangers = bool(used_ids - {category.category_id for category in categories})
    num_of_id = collections.Counter(category.category_id for category in categories)
    num_of_name = collections.Counter(category.name for category in categories if category.category_id in used_ids)
    is_only_one = sum(bool(category.slots) for category in categories) == 1
    has_boxes_apart = is_only_one and any(
        category.slots == () and category.category_id in used_ids for category in categories
    )
    usable = {}
    for category in categories:
        category_id, name = category.category_id, category.name
        if category.slots == () and category_id not in used_ids:
            continue  # a grouping category, or a category of other objects
        try:
            if category.fault:
                raise category.fault
            if not category.slots and category_id in keypoint_ids:
                raise RowFault(f"category {shown(name)} has no 'keypoints', but one of its annotations has")
            if num_of_id[category_id] > 1 or num_of_name[name] > 1:
                raise RowFault(f"category {shown(name)} or its id {shown(category_id)} appears more than once")
            category.garment_type = given_types.get(name)
            is_box_apart = has_boxes_apart and category.slots and _normalised(name) not in _TYPE_OF_NAME
            if not category.garment_type and not is_box_apart:
                category.garment_type = _type_of_category(name, category.slots, is_only_one)
            usable[category_id] = category
        except RowFault:
            if category_id in used_ids or (category_id is None and has_strangers):
                raise
    return usable


def _type_of_category(name, slots, is_only_one):
    garment_type = _TYPE_OF_NAME.get(_normalised(name))
    if garment_type:
        strange = set(slots) - set(KEYPOINT_SLOTS[garment_type])
        if strange and len(slots) < NUM_KEYPOINTS:
            raise RowFault(
                f"category {shown(name)} has the keypoint {KEYPOINT_NAMES[min(strange)]}, which "
                f"{GARMENT_TYPE_NAMES[garment_type]} does not have: prepare takes --category NAME=TYPE"
            )
        return garment_type
    garment_type = _TYPE_OF_SLOTS.get(frozenset(slots))
    if garment_type is None or (garment_type == GarmentType.FULL_BODY and not is_only_one):
        raise RowFault(
            f"category {shown(name)} has no recognisable garment type, neither by its name nor by its "
            f"{len(slots)} keypoints: prepare takes --category NAME=TYPE"
        )
    return garment_type


def _normalised(name):
    return re.sub(r"[\s._-]+", "_", name.strip().lower())


# Annotations ---------------------------------------------------------------------------------------------------------


def _read_annotation(annotation, categories, notes) -> Annotation:
    """Read an annotation, with our types and keypoint slots.

    Args:
        annotation: an object as in the file. Optional values may be null.
        categories: dict of id → `_Category`.
        notes: counter of harmless deviations.
    """
    what = "the annotation"
    if _is_crowd(annotation.get("iscrowd")):
        raise RowFault("iscrowd is 1: garments of a crowd are not labelled one by one")
    category_id = fields.member(annotation, "category_id", what, fields.identifier)
    if category_id not in categories:
        raise RowFault(f"category_id {shown(category_id)} is not the id of any category")
    category = categories[category_id]

    bbox = fields.member(annotation, "bbox", what, fields.json_list, 4)
    x, y, width, height = (fields.number(value, "bbox") for value in bbox)
    # Without a garment type, the box belongs to another annotation.
    box_xyxy = fields.box(x, y, x + width, y + height) if category.garment_type else None
    keypoints = _read_keypoints(annotation.get("keypoints"), category)
    variation = annotation.get("variation")
    try:
        variation = Variation.UNKNOWN if variation is None else fields.one_of(variation, "variation", _VARIATIONS)
    except RowFault:
        variation = Variation.UNKNOWN
        notes[FOREIGN_VARIATION] += 1
    notes[NO_KEYPOINTS] += not annotation.get("keypoints")
    notes[OTHER_NUM_KEYPOINTS] += reference(annotation, "num_keypoints") not in (None, len(keypoints))
    return Annotation(category.garment_type, box_xyxy, keypoints, variation)


def _is_crowd(value):
    return bool(value if value is None or isinstance(value, bool) else fields.one_of(value, "iscrowd", (0, 1)))


def _read_keypoints(values, category):
    """Read the keypoints of one annotation into the slots they belong to.

    Args:
        values: x, y, v of each of the category's keypoints; empty or None if none is labelled.
        category: its `_Category`.

    Returns:
        slot → (x, y, `Visibility`) of the labelled ones.
    """
    if values is None or values == []:
        return {}
    fields.json_list(values, "keypoints", 3 * len(category.slots))
    read = {}
    for index, slot in enumerate(category.slots):
        x, y, v = values[3 * index : 3 * index + 3]
        if all(value in _NOTHING or value != value for value in (x, y, v)):
            continue
        name = KEYPOINT_NAMES[slot]
        visibility = _VISIBILITY_OF_CODE[fields.one_of(v, f"visibility of {name}", tuple(_VISIBILITY_OF_CODE))]
        if visibility == Visibility.ABSENT:
            continue  # coordinates are ignored
        if category.garment_type:
            _check_slot(slot, category.garment_type)
        read[slot] = fields.number(x, f"x of {name}"), fields.number(y, f"y of {name}"), visibility
    return read


def _check_slot(slot, garment_type):
    if slot not in KEYPOINT_SLOTS[garment_type]:
        raise RowFault(f"{KEYPOINT_NAMES[slot]} is labelled, but {GARMENT_TYPE_NAMES[garment_type]} does not have it")


def _joined(annotations) -> list[Annotation]:
    """Join a box and its keypoints if a tool writes them as two annotations.

    Label Studio does: each rectangle of a photo is an annotation with the category of its label, and all keypoints of
    the photo are one more annotation, with the category "default". The file does not say which keypoint belongs to
    which of several boxes.

    Args:
        annotations: annotations of a photo, from `_read_annotation`; those without a garment type hold only keypoints.

    Raises:
        RowFault: the keypoints do not belong to exactly one box, or the garment type does not have one of them.
    """
    apart = [annotation for annotation in annotations if not annotation.garment_type]
    if not apart:
        return annotations
    boxes = [annotation for annotation in annotations if annotation.garment_type]
    if len(boxes) != 1 or len(apart) != 1:
        raise RowFault(
            f"keypoints without a box of their own, and {len(boxes)} boxes: Label Studio exports can have only one "
            f"garment per photo"
        )
    for slot in apart[0].keypoints:
        _check_slot(slot, boxes[0].garment_type)
    return [boxes[0]._replace(keypoints=apart[0].keypoints)]
