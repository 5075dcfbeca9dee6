"""Augmentation of the part of the photo that is cut out: box jitter like a detector's errors, scale and shift."""

import math

import tensorflow as tf

from cspn_tf import geometry
from cspn_tf.data.augmentation.ranges import around_zero, between

# Standard deviations of the detector's box errors: shift of the centre over the long side of the ground-truth box, and
# log ratio of widths and of heights. Estimated as (p95 - p5) / 3.29, from "box_errors" of the metrics.json that
# `cspn-tf evaluate` writes for the trained detector. Measured with the demo's detector on its synthetic test photos:
# 0.019 and 0.029 for x and y shift, 0.082 and 0.072 for width and height.
BOX_SHIFT_SD = 0.024
BOX_LOG_SIZE_SD = 0.077
# Heavy tail: this fraction of boxes has errors larger by this factor, which raises the overall standard deviation to
# 1.13 times the values above; measured: 1.15 times.
BOX_TAIL_CHANCE = 0.05
BOX_TAIL_FACTOR = 3.0
# Errors are truncated at this many standard deviations, of the core or of the tail.
BOX_MAX_SDS = 2.5

# Scale and shift of the crop window on top of the detector's errors, for more variety: largest log factor, and largest
# shift as a fraction of the window's side.
LOG_SCALE = math.log(1.15)
SHIFT = 0.04

# The detector's window.
WINDOW_SCALE = (0.4, 1.3)  # side over the canvas's: from a close-up (waist up) to a person in the distance
WINDOW_SHIFT = 0.05  # fraction of the canvas by which a small window may reach beyond it, or a large one cut it off
KEPT_AREA = 0.3  # a box with less than this fraction of its area in the window loses its label


# Keypoints -----------------------------------------------------------------------------------------------------------


def garment_window(example, *, config):
    """Choose the window of a garment's crop: that of its box with errors like the detector's, scaled and shifted.

    Needs:
        box_xyxy_canvas: float32 `(4,)`.
        draws: of the garment.

    Adds:
        window: float32 `(3,)`, centre_x, centre_y, side, canvas pixels, see `geometry.crop_windows`.
    """
    box_xyxy = jitter_box(example["box_xyxy_canvas"], example["draws"])
    return {**example, "window": move_window(geometry.keypoint_windows(box_xyxy, config), example["draws"])}


def jitter_box(box_xyxy, draws):
    """Shift and resize a box, float32 `(4,)`, so that crops resemble those around detected boxes in inference."""
    centre, size = (box_xyxy[:2] + box_xyxy[2:]) / 2.0, box_xyxy[2:] - box_xyxy[:2]
    factor = tf.where(draws["box_tail"] < BOX_TAIL_CHANCE, BOX_TAIL_FACTOR, 1.0)
    centre += factor * BOX_SHIFT_SD * truncated_normal(draws["box_shift"]) * tf.reduce_max(size)
    size *= tf.exp(factor * BOX_LOG_SIZE_SD * truncated_normal(draws["box_log_size"]))
    return tf.concat([centre - size / 2.0, centre + size / 2.0], axis=-1)


def truncated_normal(uniform):
    """Map [0, 1) to a standard normal distribution cut off at `BOX_MAX_SDS`; 0.5 to 0."""
    reach = math.erf(BOX_MAX_SDS / math.sqrt(2.0))
    return math.sqrt(2.0) * tf.math.erfinv(around_zero(uniform, reach))


def move_window(window, draws):
    """Shift and scale a window, float32 `(3,)`."""
    centre = window[:2] + around_zero(draws["shift"], SHIFT) * window[2]
    side = window[2:] * tf.exp(around_zero(draws["scale"], LOG_SCALE))
    return tf.concat([centre, side], axis=0)


# Detector ------------------------------------------------------------------------------------------------------------


def random_window(example, canvas_size):
    """Choose a random window of the canvas for the detector's input, and drop garments mostly outside of it.

    If no garment would be kept, the window becomes the whole canvas and all are kept.

    Needs and changes:
        boxes_xyxy_canvas: float32 `(G, 4)`, becomes those of the garments that stay labelled.
        garment_types: int32 `(G,)`, likewise.

    Needs:
        draws: of the photo.

    Adds:
        window: float32 `(3,)`, centre_x, centre_y, side, canvas pixels.
    """
    draws, boxes = example["draws"], example["boxes_xyxy_canvas"]
    whole = geometry.whole_window(canvas_size)
    scale = between(draws["scale"], WINDOW_SCALE)
    # A small window stays inside the canvas, a large one contains it, both up to WINDOW_SHIFT.
    reach = (tf.abs(1.0 - scale) / 2.0 + WINDOW_SHIFT) * canvas_size
    shift_xy = around_zero(draws["shift"], reach)
    window = tf.concat([whole[:2] + shift_xy, [scale * canvas_size]], axis=0)

    low, high = window[:2] - window[2] / 2.0, window[:2] + window[2] / 2.0
    limits = (tf.concat([low, low], axis=0), tf.concat([high, high], axis=0))
    kept = _areas(tf.clip_by_value(boxes, *limits)) >= KEPT_AREA * tf.maximum(_areas(boxes), 1.0)
    lost = (tf.size(kept) > 0) & tf.logical_not(tf.reduce_any(kept))
    labels = {key: tf.boolean_mask(example[key], kept | lost) for key in ("boxes_xyxy_canvas", "garment_types")}
    return {**example, **labels, "window": tf.where(lost, whole, window)}


def _areas(boxes_xyxy):
    return tf.reduce_prod(tf.maximum(boxes_xyxy[..., 2:] - boxes_xyxy[..., :2], 0.0), axis=-1)
