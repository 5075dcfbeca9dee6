"""Read predictions in COCO's keypoint results format: one JSON list with an object for each predicted garment.

::

    {"image_id": 7, "category_id": 1, "score": 0.93, "bbox": [x, y, w, h], "keypoints": [x, y, score, ... 8 times]}

- `image_id` is an image's id in the annotation file; 7, 7.0 and "7" are the same id.
- `category_id` is the garment type of the served contract: 1 upper-body, 2 lower-body, 3 full-body. If the annotation
  file numbers them otherwise, a document with `categories` is needed, see below.
- `keypoints` are in the order of the slots, see `cspn_tf.garments`; those the type does not have may be anything. The
  third number of a keypoint is its score, which is not used in distances.
- `bbox` may be missing or null: it is then the extent of the keypoints that the type has, much as in pycocotools.
- `keypoint_scores`, eight numbers, override the scores in `keypoints` if present.

A whole COCO keypoints document, as `cspn-tf predict --format coco` writes it, is also accepted: its annotations are
such objects, with `score` and `keypoint_scores`; its images are matched to the annotation file by file name, and its
categories, if it has any, are garment types by their names.

Coordinates are pixels of the photo, with integers at pixel centres. Other keys are ignored.

Source: https://cocodataset.org/#format-results
"""

import functools
import sys

import numpy as np

from cspn_tf.data import fields
from cspn_tf.data.coco_file import category_types, photo_name
from cspn_tf.data.fields import RowFault, refusing, shown
from cspn_tf.garment_set import Garments
from cspn_tf.garments import GARMENT_TYPE_NAMES, KEYPOINT_NAMES, KEYPOINT_SLOTS, NUM_KEYPOINTS, GarmentType

# What is read of an entry, as columns of `Garments`.
_COLUMNS = ("types", "boxes_xyxy", "keypoints_xy", "scores", "keypoint_scores")


def read_coco_results(path, photos, categories=()) -> tuple[dict[int | str, Garments], int]:
    """Read a file of results.

    Args:
        path: path of the JSON file.
        photos: image id → `CocoPhoto` of the images that may have predictions, see `coco.read_labelled_images`.
        categories: set of pairs of category id and `GarmentType` of the labels, likewise.

    Returns:
        garments: image id → `Garments` with scores and keypoint_scores, in the order of the file; images without a
            prediction are missing. Keypoints that the type does not have become 0 0 with score 0 if they are not
            numbers. Scores may be any finite number, and boxes may have no area.
        num_boxes_from_keypoints: number of boxes that were derived from keypoints.

    Raises:
        UserError: the file cannot be read, is neither a list nor a document, or has an invalid entry, such as one whose
            category_id is another garment type in the labels; the message names the first such entry.
    """
    with refusing(path):
        content = fields.read_json(path)
        if isinstance(content, dict):
            entries, names, types = _read_document(content)
            id_of_name = {photo.name: image_id for image_id, photo in photos.items()}
            image_ids = {image_id: id_of_name[name] for image_id, name in names.items() if name in id_of_name}
        else:
            entries, names, types = fields.json_list(content, "it"), {}, {}
            image_ids = {image_id: image_id for image_id in photos}
    read_garment_type = functools.partial(_garment_type, types=types, categories=categories)
    rows_of_image, num_boxes_from_keypoints = {}, 0
    for index, entry in enumerate(entries):
        with refusing(f"{path}: entry {index}"):
            image_id, row = _read_entry(entry, image_ids, names, read_garment_type)
        num_boxes_from_keypoints += entry.get("bbox") is None
        rows_of_image.setdefault(image_id, []).append(row)
    garments = {
        image_id: Garments(**dict(zip(_COLUMNS, zip(*rows, strict=True), strict=True)))
        for image_id, rows in rows_of_image.items()
    }
    return garments, num_boxes_from_keypoints


def _read_document(document):
    """Return a document's annotations, its image id → file name, and its category id → `GarmentType`."""
    fields.json_object(document, "it")
    images, annotations = (fields.member(document, key, "it", fields.json_list) for key in ("images", "annotations"))
    names = {}
    for index, image in enumerate(images):
        what = f"images[{index}]"
        name = fields.member(fields.json_object(image, what), "file_name", what, photo_name)
        names[fields.member(image, "id", what, fields.identifier)] = name
    return annotations, names, category_types(fields.json_list(document.get("categories", []), "categories"))


def _read_entry(entry, image_ids, names, read_garment_type):
    """Return the id of an entry's image in the annotation file, and the entry's values for `_COLUMNS`."""
    what = "the entry"
    fields.json_object(entry, what)
    image_id = fields.member(entry, "image_id", what, fields.identifier)
    if image_id not in image_ids:
        what = f"photo {shown(names[image_id])}" if image_id in names else f"image_id {shown(image_id)}"
        raise RowFault(f"{what} is not a labelled image")
    garment_type = fields.member(entry, "category_id", what, read_garment_type)
    score = fields.member(entry, "score", what, _confidence)
    values = fields.member(entry, "keypoints", what, fields.json_list, 3 * NUM_KEYPOINTS)
    if entry.get("keypoint_scores") is not None:
        values = list(values)
        values[2::3] = fields.json_list(entry["keypoint_scores"], "keypoint_scores", NUM_KEYPOINTS)
    keypoints = np.array(
        [_read_keypoint(values[3 * slot : 3 * slot + 3], slot, garment_type) for slot in range(NUM_KEYPOINTS)]
    )
    if entry.get("bbox") is None:
        points = keypoints[list(KEYPOINT_SLOTS[garment_type]), :2]
        box_xyxy = (*points.min(axis=0), *points.max(axis=0))
    else:
        box_xyxy = _read_box(entry["bbox"])
    return image_ids[image_id], (garment_type, box_xyxy, keypoints[:, :2], score, keypoints[:, 2])


def _garment_type(value, what, types, categories):
    """Return the type of a category: that of the document, `types`, or of the contract, if the labels do not differ."""
    if garment_type := types.get(fields.identifier(value, what)):
        return garment_type
    garment_type = fields.one_of(value, what, tuple(GarmentType))
    labelled = [labelled for category_id, labelled in categories if category_id == garment_type]
    if labelled and garment_type not in labelled:
        raise RowFault(
            f"{what} {garment_type} is {GARMENT_TYPE_NAMES[garment_type]} in results, but "
            f"{GARMENT_TYPE_NAMES[labelled[0]]} in the labels; a document with 'categories' says which is meant"
        )
    return garment_type


def _read_keypoint(values, slot, garment_type):
    name, (x, y, score) = KEYPOINT_NAMES[slot], values
    try:
        return (
            fields.number(x, f"x of {name}"),
            fields.number(y, f"y of {name}"),
            _confidence(score, f"score of {name}"),
        )
    except RowFault:
        if slot in KEYPOINT_SLOTS[garment_type]:
            raise
        return 0.0, 0.0, 0.0


def _confidence(value, what):
    """Return a finite number."""
    if not (type(value) in fields.NUMBERS and abs(value) <= sys.float_info.max):  # written so that NaN fails too
        raise RowFault(f"{what} is {shown(value)}, required a finite number")
    return float(value)


def _read_box(bbox):
    x, y, width, height = (fields.number(value, "bbox") for value in fields.json_list(bbox, "bbox", 4))
    if width < 0 or height < 0:
        raise RowFault(f"bbox has width {width:g} and height {height:g}, required at least 0")
    return x, y, x + width, y + height
