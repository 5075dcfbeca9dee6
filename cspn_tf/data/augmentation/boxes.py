"""What part of the photo is cut out: the errors of a detector's boxes, and random scale and shift."""

import math

import tensorflow as tf

from cspn_tf import geometry
from cspn_tf.data.augmentation.ranges import around_zero, between

# How far a detector's boxes are off. `cspn-tf evaluate` with the trained detector writes what to put here under
# "box_errors" of metrics.json: the core is (p95 - p5) / 3.29, of the centre's shifts over the long side of the
# labelled box, and of the logarithms of the ratios of widths and of heights. These are of the demo's detector on its
# synthetic test photos: 0.019 and 0.029, 0.082 and 0.072.
BOX_SHIFT_SD = 0.024
BOX_LOG_SIZE_SD = 0.077
# Some boxes are off by more: this share has errors so many times as large, which brings the standard deviation of all
# to the measured 1.15 times the core's.
BOX_TAIL_CHANCE = 0.05
BOX_TAIL_FACTOR = 3.0
# No error is larger than so many standard deviations of its kind, core or tail.
BOX_MAX_SDS = 2.5

# Beyond what the detector does, for crops of more kinds: reach of the factor's logarithm and of the shift, of the
# window's side.
LOG_SCALE = math.log(1.15)
SHIFT = 0.04

# The detector's window.
WINDOW_SCALE = (0.4, 1.3)  # its side, of the canvas: from the waist up to a person in the distance
WINDOW_SHIFT = 0.05  # how far it may reach beyond where it must end, of the canvas
KEPT_AREA = 0.3  # boxes of which it keeps less are no longer labelled


# Keypoints -----------------------------------------------------------------------------------------------------------


def jitter_box(example):
    """Move and resize a garment's box as a detector's boxes are off, so that crops look like those in use.

    Needs and changes:
        box_xyxy_canvas: float32 `(4,)`.

    Needs:
        draws: of the garment.
    """
    box, draws = example["box_xyxy_canvas"], example["draws"]
    centre, size = (box[:2] + box[2:]) / 2.0, box[2:] - box[:2]
    factor = tf.where(draws["box_tail"] < BOX_TAIL_CHANCE, BOX_TAIL_FACTOR, 1.0)
    centre += factor * BOX_SHIFT_SD * truncated_normal(draws["box_shift"]) * tf.reduce_max(size)
    size *= tf.exp(factor * BOX_LOG_SIZE_SD * truncated_normal(draws["box_log_size"]))
    return {**example, "box_xyxy_canvas": tf.concat([centre - size / 2.0, centre + size / 2.0], axis=-1)}


def truncated_normal(uniform):
    """Map [0, 1) to a standard normal distribution cut off at `BOX_MAX_SDS`; 0.5 to 0."""
    reach = math.erf(BOX_MAX_SDS / math.sqrt(2.0))
    return math.sqrt(2.0) * tf.math.erfinv(around_zero(uniform, reach))


def move_window(example):
    """Scale and shift the window that is cut out for a garment.

    Needs and changes:
        window: float32 `(3,)`, centre_x, centre_y, side.

    Needs:
        draws: of the garment.
    """
    window, draws = example["window"], example["draws"]
    centre = window[:2] + around_zero(draws["shift"], SHIFT) * window[2]
    side = window[2:] * tf.exp(around_zero(draws["scale"], LOG_SCALE))
    return {**example, "window": tf.concat([centre, side], axis=0)}


# Detector ------------------------------------------------------------------------------------------------------------


def random_window(example, canvas_size):
    """Choose the part of a photo's canvas that the detector sees, and drop the garments it would hardly see.

    If none of the garments would be left, the window becomes the whole canvas and all are kept.

    Needs:
        boxes_xyxy_canvas: float32 `(G, 4)`.
        draws: of the photo.

    Adds:
        window: float32 `(3,)`, centre_x, centre_y, side, canvas pixels.
        kept: bool `(G,)`, the garments that stay labelled.
    """
    draws, boxes = example["draws"], example["boxes_xyxy_canvas"]
    whole = geometry.whole_window(canvas_size)
    scale = between(draws["scale"], WINDOW_SCALE)
    # A small window moves about inside the canvas, a large one moves about it, and both a little further.
    reach = (tf.abs(1.0 - scale) / 2.0 + WINDOW_SHIFT) * canvas_size
    shift_xy = around_zero(draws["shift"], reach)
    window = tf.concat([whole[:2] + shift_xy, [scale * canvas_size]], axis=0)

    low, high = window[:2] - window[2] / 2.0, window[:2] + window[2] / 2.0
    limits = (tf.concat([low, low], axis=0), tf.concat([high, high], axis=0))
    kept = _areas(tf.clip_by_value(boxes, *limits)) >= KEPT_AREA * tf.maximum(_areas(boxes), 1.0)
    lost = (tf.size(kept) > 0) & tf.logical_not(tf.reduce_any(kept))
    return {**example, "window": tf.where(lost, whole, window), "kept": kept | lost}


def _areas(boxes_xyxy):
    return tf.reduce_prod(tf.maximum(boxes_xyxy[..., 2:] - boxes_xyxy[..., :2], 0.0), axis=-1)
