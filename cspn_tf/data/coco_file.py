"""Parse one annotation file of COCO keypoints: images, annotations, and the meaning of its categories.

`cspn_tf.data.coco` describes the accepted files, and combines them to datasets.
"""

import collections
import contextlib
import dataclasses
import re

from cspn_tf.data import fields
from cspn_tf.data.fields import RowFault, refusing, shown
from cspn_tf.garment_set import Garments
from cspn_tf.garments import GARMENT_TYPE_NAMES, KEYPOINT_NAMES, KEYPOINT_SLOTS, NUM_KEYPOINTS, GarmentType, Variation

# Notes of a `ReadResult`.
UNUSED_CATEGORY = "category that is not recognised and that no annotation uses, left out"
OTHER_NUM_KEYPOINTS = "annotation whose num_keypoints differs from the number of its labelled keypoints, used unchanged"
NO_KEYPOINTS = "annotation without keypoints, used for its box"

_VISIBILITY_CODES = (2, 1, 0)  # visible, occluded, not labelled
_NOTHING = (0, None, "")  # what tools write (or NaN) for each number of an absent keypoint
_VARIATIONS = tuple(map(int, Variation))
# Names of the three numbers of each keypoint, for messages.
_NUMBERS = [(f"x of {name}", f"y of {name}", f"visibility of {name}") for name in KEYPOINT_NAMES]
_TYPE_OF_NAME = {
    spelling: garment_type
    for garment_type, name in GARMENT_TYPE_NAMES.items()
    for spelling in (name.replace("-", "_"), name.replace("-", ""), name.partition("-")[0])
}
_TYPE_OF_SLOTS = {frozenset(slots): garment_type for garment_type, slots in KEYPOINT_SLOTS.items()}


@dataclasses.dataclass
class CocoPhoto:
    """Content of the files of one split about one photo; with a fault, the photo cannot be used.

    Attributes:
        name: its `file_name`; empty if it has no usable one.
        split: the split of its files, or None.
        where: `file: image` of its first occurrence.
        group: see `Sample`.
        labelled_size: see `Sample`.
        annotations: annotations of its garments, in the form that `Garments.from_coco_annotations` takes.
        fault: its first fault, with location; or None.
    """

    name: str
    split: str | None
    where: str
    group: str | None = None
    labelled_size: tuple[int, int] | None = None
    annotations: list[dict] = dataclasses.field(default_factory=list)
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
        return Garments.from_coco_annotations(self.annotations).distinct()


def read_file(path, split, photos, given_types, notes) -> tuple[dict[int | str, CocoPhoto], set[str]]:
    """Add the content of one annotation file to the photos.

    Args:
        path: path of the file.
        split: the file's split, or None.
        photos: dict of (name, split) → `CocoPhoto`, to which photos are added. An image without a usable name, and an
            annotation without an image, becomes a `CocoPhoto` with a fault and no name, under another key.
        given_types: dict of category name → `GarmentType`, which overrides the type that the category implies.
        notes: counter of harmless deviations, to which those of the file are added; see `ReadResult`.

    Returns:
        photo_of_id: image id → `CocoPhoto`, the same objects as in `photos`.
        category_names: the names of all categories.

    Raises:
        UserError: the file is missing or is not COCO keypoints, or the keypoints or garment type of a used category are
            not recognised.
    """
    with refusing(path):
        labels = fields.read_json(path)
    with refusing(f"{path}: not a readable file of COCO keypoints"):
        fields.json_object(labels, "it")
        images, annotations, categories = (
            fields.member(labels, key, "it", fields.json_list) for key in ("images", "annotations", "categories")
        )
        category_of_id = _read_categories(categories, annotations, given_types, notes)
    photo_of_id = _read_images(images, path, split, photos)

    num_of_id = collections.Counter(_reference(annotation, "id") for annotation in annotations)
    for index, annotation in enumerate(annotations):
        label_id = _reference(annotation, "id")
        where = _where(path, "annotation", index, label_id)
        photo = photo_of_id.get(_reference(annotation, "image_id"))
        has_photo = photo is not None
        if not has_photo:
            photo = photos[where, index] = CocoPhoto("", split, where)
        with photo.keeping_fault(where):
            fields.json_object(annotation, "the annotation")
            if not has_photo:
                image_id = fields.member(annotation, "image_id", "the annotation", fields.identifier)
                raise RowFault(f"image_id {shown(image_id)} is not the id of any image")
            garment = _read_annotation(annotation, category_of_id, notes)
            if label_id is not None and num_of_id[label_id] > 1:
                raise RowFault(f"annotation id {shown(label_id)} appears more than once")
            photo.annotations.append(garment)
    for photo in photo_of_id.values():
        with photo.keeping_fault(photo.where):
            joined = _joined(photo.annotations)
            notes[NO_KEYPOINTS] -= len(photo.annotations) - len(joined)
            photo.annotations = joined
    names = (category.get("name") for category in categories if isinstance(category, dict))
    return photo_of_id, {name for name in names if isinstance(name, str)}


def _where(path, what, index, entry_id):
    return f"{path}: {what}" + (f"s[{index}]" if entry_id is None else f" {shown(entry_id)}")


def _reference(entry, key):
    """Return the id under a key in normalised form for comparison, or None if there is no valid one."""
    try:
        return fields.identifier(entry.get(key), key) if isinstance(entry, dict) else None
    except RowFault:
        return None


# Images --------------------------------------------------------------------------------------------------------------


def _read_images(images, path, split, photos):
    """Add images to the photos, see `read_file`; return image id → `CocoPhoto`."""
    photo_of_id = {}
    names = [_name(image) for image in images]
    num_of_id = collections.Counter(_reference(image, "id") for image in images)
    num_of_name = collections.Counter(names)
    for index, (image, name) in enumerate(zip(images, names, strict=True)):
        image_id = _reference(image, "id")
        where = _where(path, "image", index, image_id)
        key = (where, index) if name is None else (name, split)
        photo = photos.setdefault(key, CocoPhoto(name or "", split, where))
        with photo.keeping_fault(where):
            group, size = _read_image(image)
            if num_of_id[image_id] > 1:
                raise RowFault(f"image id {shown(image_id)} appears more than once")
            if num_of_name[name] > 1:
                raise RowFault(f"file_name {shown(name)} appears more than once")
            photo.labelled_size = photo.labelled_size or size
            photo.group = photo.group or group
        if image_id is not None:
            photo_of_id.setdefault(image_id, photo)
    return photo_of_id


def _name(image):
    try:
        return fields.photo_name(image.get("file_name"), "file_name") if isinstance(image, dict) else None
    except RowFault:
        return None


def _read_image(image):
    """Check an image, and return its group and its labelled size, each None if not stated."""
    fields.json_object(image, "the image")
    fields.member(image, "id", "the image", fields.identifier)
    fields.member(image, "file_name", "the image", fields.photo_name)
    group = image.get("split_group")
    return group if isinstance(group, str) else None, _size(image)


def _size(image):
    try:
        size = tuple(fields.whole_number(image.get(key), key) for key in ("height", "width"))
    except RowFault:
        return None
    return size if all(size) else None


# Categories ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Category:
    """A category that annotations use.

    Attributes:
        name: its name.
        slots: slots of its keypoints, in their order; empty if it has boxes only.
        garment_type: None if it holds only keypoints, of a garment whose box is another annotation.
    """

    name: str
    slots: tuple[int, ...]
    garment_type: GarmentType | None


def _read_categories(categories, annotations, given_types, notes) -> dict:
    """Read the categories that annotations use; the others may have any content.

    Args:
        categories, annotations: lists, as in the file.
        given_types, notes: see `read_file`.

    Returns:
        dict of category id → `_Category`.

    Raises:
        RowFault: a used category is faulty.
    """
    used_ids = {_reference(annotation, "category_id") for annotation in annotations} - {None}
    keypoint_ids = {
        _reference(annotation, "category_id")
        for annotation in annotations
        if isinstance(annotation, dict) and annotation.get("keypoints")
    }
    used, num_with_keypoints = [], 0
    for index, category in enumerate(categories):
        is_used = _reference(category, "id") in used_ids
        try:
            read = _read_category(category, f"categories[{index}]")
        except RowFault:
            if is_used:
                raise
            read = None, None, ()
        *_, slots = read
        num_with_keypoints += bool(slots)
        if is_used:
            used.append(read)
        else:
            notes[UNUSED_CATEGORY] += not slots  # a grouping category, or a category of other objects
    is_only_one = num_with_keypoints == 1
    has_boxes_apart = is_only_one and not all(slots for *_, slots in used)
    usable = {}
    for category_id, name, slots in used:
        if not slots and category_id in keypoint_ids:
            raise RowFault(f"category {shown(name)} has no 'keypoints', but one of its annotations has")
        if category_id in usable or any(name == other.name for other in usable.values()):
            raise RowFault(f"category {shown(name)} or its id {shown(category_id)} appears more than once")
        garment_type = given_types.get(name)
        is_box_apart = has_boxes_apart and slots and _normalised(name) not in _TYPE_OF_NAME
        if not garment_type and not is_box_apart:
            garment_type = _type_of_category(name, slots, is_only_one)
        usable[category_id] = _Category(name, slots, garment_type)
    return usable


def _read_category(category, what):
    """Return a category's id, name, and the slots of its keypoints."""
    fields.json_object(category, what)
    category_id = fields.member(category, "id", what, fields.identifier)
    name = fields.text(fields.member(category, "name", what), f"name of {what}")
    return category_id, name, _read_slots(category, f"category {shown(name)}")


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


def _type_of_category(name, slots, is_only_one):
    garment_type = _TYPE_OF_SLOTS.get(frozenset(slots))
    if garment_type == GarmentType.FULL_BODY or not slots:
        garment_type = _TYPE_OF_NAME.get(_normalised(name), garment_type if is_only_one else None)
    if garment_type is None:
        raise RowFault(
            f"category {shown(name)} has no recognisable garment type, neither by its name nor by its "
            f"{len(slots)} keypoints: prepare takes --category NAME=TYPE"
        )
    return garment_type


def _normalised(name):
    return re.sub(r"[\s._-]+", "_", name.strip().lower())


# Annotations ---------------------------------------------------------------------------------------------------------


def _read_annotation(annotation, categories, notes) -> dict:
    """Convert an annotation to the form that `Garments.from_coco_annotations` takes: our types and keypoint order.

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
    if category.garment_type:  # else the box belongs to another annotation
        fields.box(x, y, x + width, y + height)
    keypoints, num_labelled = _read_keypoints(annotation.get("keypoints"), category)
    try:
        variation = fields.one_of(annotation.get("variation"), "variation", _VARIATIONS)
    except RowFault:
        variation = Variation.UNKNOWN
    notes[NO_KEYPOINTS] += not annotation.get("keypoints")
    notes[OTHER_NUM_KEYPOINTS] += _reference(annotation, "num_keypoints") not in (None, num_labelled)
    return {
        "category_id": category.garment_type,
        "bbox": (x, y, width, height),
        "keypoints": keypoints,
        "variation": variation,
    }


def _is_crowd(value):
    return bool(value if value is None or isinstance(value, bool) else fields.one_of(value, "iscrowd", (0, 1)))


def _read_keypoints(values, category):
    """Read the keypoints of one annotation into the slots they belong to.

    Args:
        values: x, y, v of each of the category's keypoints; empty or None if none is labelled.
        category: its `_Category`.

    Returns:
        list of x, y, v of all our keypoints, zeros for unlabelled ones; and the number of labelled ones.
    """
    read = [0.0] * (3 * NUM_KEYPOINTS)
    if values is None or values == []:
        return read, 0
    fields.json_list(values, "keypoints", 3 * len(category.slots))
    num_labelled = 0
    for index, slot in enumerate(category.slots):
        x, y, v = values[3 * index : 3 * index + 3]
        if all(value in _NOTHING or value != value for value in (x, y, v)):
            continue
        what_x, what_y, what_v = _NUMBERS[slot]
        v = fields.one_of(v, what_v, _VISIBILITY_CODES)
        if not v:
            continue  # coordinates are ignored
        if category.garment_type:
            _check_slot(slot, category.garment_type)
        read[3 * slot : 3 * slot + 3] = fields.number(x, what_x), fields.number(y, what_y), v
        num_labelled += 1
    return read, num_labelled


def _check_slot(slot, garment_type):
    if slot not in KEYPOINT_SLOTS[garment_type]:
        raise RowFault(f"{KEYPOINT_NAMES[slot]} is labelled, but {GARMENT_TYPE_NAMES[garment_type]} does not have it")


def _joined(annotations) -> list[dict]:
    """Join a box and its keypoints if a tool writes them as two annotations.

    Label Studio does: each rectangle of a photo is an annotation with the category of its label, and all keypoints of
    the photo are one more annotation, with the category "default". The file does not say which keypoint belongs to
    which of several boxes.

    Args:
        annotations: annotations of a photo, from `_read_annotation`; those without a garment type hold only keypoints.

    Raises:
        RowFault: the keypoints do not belong to exactly one box, or the garment type does not have one of them.
    """
    apart = [annotation for annotation in annotations if not annotation["category_id"]]
    if not apart:
        return annotations
    boxes = [annotation for annotation in annotations if annotation["category_id"]]
    if len(boxes) != 1 or len(apart) != 1:
        raise RowFault(
            f"keypoints without a box of their own, and {len(boxes)} boxes: Label Studio exports can have only one "
            f"garment per photo"
        )
    keypoints = apart[0]["keypoints"]
    for slot, visibility in enumerate(keypoints[2::3]):
        if visibility:
            _check_slot(slot, boxes[0]["category_id"])
    return [{**boxes[0], "keypoints": keypoints}]
