"""Read what a system found in COCO's format of keypoint results: one JSON list, an object for each garment found.

::

    {"image_id": 7, "category_id": 1, "score": 0.93, "bbox": [x, y, w, h], "keypoints": [x, y, score, ... 8 times]}

- `image_id` is an image's id in the annotation file.
- `category_id` is the garment type as it is served, whatever the categories of the annotation file are: 1 upper-body,
  2 lower-body, 3 full-body.
- `keypoints` are in the order of the slots, see `cspn_tf.garments`; those the type does not have may be anything
  finite. Of the three numbers of a keypoint, x and y are measured.
- `bbox` may be missing: it is then the extent of the keypoints that the type has, much as pycocotools does it.

Coordinates are pixels of the photo, with integers at pixel centres. Other keys are passed over.

Source: https://cocodataset.org/#format-results
"""

import dataclasses
import sys

import numpy as np

from cspn_tf.console import UserError
from cspn_tf.data import fields
from cspn_tf.data.fields import FieldFault
from cspn_tf.garments import KEYPOINT_NAMES, KEYPOINT_SLOTS, NUM_KEYPOINTS, GarmentType


@dataclasses.dataclass(frozen=True)
class CocoResult:
    """One garment that was found.

    Attributes:
        image_id: of the image it was found in.
        garment_type: its `GarmentType`.
        score: confidence, any finite number.
        box_xyxy: four floats, x_min, y_min, x_max, y_max; of no area where the system says so.
        keypoints_xy: float `(8, 2)`, by slot.
        keypoint_scores: float `(8,)`, the third number of each keypoint.
        has_own_box: False if the box is the extent of its keypoints.
    """

    image_id: int
    garment_type: GarmentType
    score: float
    box_xyxy: tuple[float, float, float, float]
    keypoints_xy: np.ndarray
    keypoint_scores: np.ndarray
    has_own_box: bool


def read_coco_results(path, image_ids) -> list[CocoResult]:
    """Read a file of results.

    Args:
        path: of the JSON file.
        image_ids: container of the ids an entry may name.

    Returns:
        The garments, in the order of the file.

    Raises:
        UserError: the file cannot be read or is not a list, or an entry is not as it must be; the message names the
            first such entry.
    """
    try:
        entries = fields.json_list(fields.read_json(path), "it")
    except FieldFault as fault:
        raise UserError(f"{path}: {fault}")
    results = []
    for index, entry in enumerate(entries):
        try:
            results.append(_read_entry(entry, image_ids))
        except FieldFault as fault:
            raise UserError(f"{path}: entry {index}: {fault}")
    return results


def _read_entry(entry, image_ids):
    what = "the entry"
    fields.json_object(entry, what)
    image_id = fields.whole_number(fields.member(entry, "image_id", what), "image_id")
    if image_id not in image_ids:
        raise FieldFault(f"image_id {image_id} is no image's id")
    garment_type = GarmentType(
        fields.code(fields.member(entry, "category_id", what), "category_id", tuple(GarmentType))
    )
    score = _confidence(fields.member(entry, "score", what), "score")
    values = fields.json_list(fields.member(entry, "keypoints", what), "keypoints", 3 * NUM_KEYPOINTS)
    keypoints = np.array([_read_keypoint(values[3 * k : 3 * k + 3], name) for k, name in enumerate(KEYPOINT_NAMES)])
    keypoints_xy, keypoint_scores = keypoints[:, :2], keypoints[:, 2]
    has_own_box = "bbox" in entry
    box_xyxy = _read_box(entry["bbox"]) if has_own_box else _extent(keypoints_xy, garment_type)
    return CocoResult(image_id, garment_type, score, box_xyxy, keypoints_xy, keypoint_scores, has_own_box)


def _read_keypoint(values, name):
    x, y, score = values
    return fields.number(x, f"x of {name}"), fields.number(y, f"y of {name}"), _confidence(score, f"score of {name}")


def _confidence(value, what):
    """Return a finite number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and abs(value) <= sys.float_info.max):  # so that NaN fails too
        raise FieldFault(f"{what} is {fields.shown(value)}, required a finite number")
    return float(value)


def _read_box(bbox):
    x, y, width, height = (fields.number(value, "bbox") for value in fields.json_list(bbox, "bbox", 4))
    if width < 0 or height < 0:
        raise FieldFault(f"bbox has the width {width:g} and the height {height:g}, required none below 0")
    return x, y, x + width, y + height


def _extent(keypoints_xy, garment_type):
    of_type = keypoints_xy[list(KEYPOINT_SLOTS[garment_type])]
    return tuple(np.concatenate([of_type.min(axis=0), of_type.max(axis=0)]).tolist())
