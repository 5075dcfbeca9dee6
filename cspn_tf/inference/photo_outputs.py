"""Map detections and keypoints from crops and canvases back to photo pixels: the outputs of the served contract."""

import tensorflow as tf

from cspn_tf import geometry
from cspn_tf.contract import STATUS_OK
from cspn_tf.garments import KEYPOINTS_OF_TYPE


def outputs_on_photos(found, transforms, image_sizes, statuses):
    """Return the served contract's outputs.

    Args:
        found: output of `GarmentPipeline.garments_on_canvas`, or the same from a TensorFlow Lite model.
        transforms: float32 `(B, 3)`, from `geometry.letterbox_transform`.
        image_sizes: int32 `(B, 2)`, height and width of the photos as displayed.
        statuses: int32 `(B,)`, of `cspn_tf.contract`; detections on photos whose status is not 0 are dropped.

    Returns:
        A dict of tensors, names and shapes as in `contract.OUTPUTS`; zeros in padding and where the status is not 0.
    """
    readable = tf.equal(statuses, STATUS_OK)
    classes = tf.where(readable[:, tf.newaxis], found["classes"], 0)
    real = classes > 0
    height, width = image_sizes[:, 0, tf.newaxis], image_sizes[:, 1, tf.newaxis]
    corners = geometry.canvas_to_photo(geometry.boxes_to_corners(found["boxes"]), transforms)
    boxes = geometry.clip_boxes(geometry.corners_to_boxes(corners), height, width)
    keypoints, keypoint_scores = keypoints_on_photos(
        found["keypoints"], found["keypoint_scores"], transforms[:, tf.newaxis], image_sizes[:, tf.newaxis], classes
    )
    return {
        "status": statuses,
        "image_size": tf.where(readable[:, tf.newaxis], image_sizes, 0),
        "num_garments": tf.where(readable, found["num_garments"], 0),
        "boxes": tf.where(real[..., tf.newaxis], boxes, 0.0),
        "classes": classes,
        "scores": tf.where(real, found["scores"], 0.0),
        "keypoints": keypoints,
        "keypoint_scores": keypoint_scores,
    }


def keypoints_on_canvases(keypoints_xy_crop, windows, config):
    """Map keypoints from crops to canvases, and clip them to the canvas.

    Args:
        keypoints_xy_crop: float32 `(M, 8, 2)`.
        windows: float32 `(M, 3)`, the windows the crops were cut from.
        config: a `cspn_tf.config.Config`.

    Returns:
        float32 `(M, 8, 2)`, canvas pixels.
    """
    keypoints_xy = geometry.crop_to_canvas(keypoints_xy_crop, windows, config.keypoints.crop_size)
    return tf.clip_by_value(keypoints_xy, 0.0, config.canvas_size - 1.0)


def keypoints_on_photos(keypoints_xy_canvas, keypoint_scores, transforms, image_sizes, garment_types):
    """Map keypoints from canvases to photos, clip them to the photo, and zero those the garment type does not have.

    Args:
        keypoints_xy_canvas: float32 `(..., 8, 2)`, from `keypoints_on_canvases`.
        keypoint_scores: float32 `(..., 8)`.
        transforms: float32 `(..., 3)`, from `geometry.letterbox_transform`.
        image_sizes: int32 `(..., 2)`, height and width of the photos as displayed.
        garment_types: int32 `(...)`.

    Returns:
        keypoints_xy_photo and keypoint_scores, see `mask_absent`.
    """
    keypoints_xy = geometry.canvas_to_photo(keypoints_xy_canvas, transforms)
    # An unreadable photo has size 0.
    last_xy = tf.cast(tf.maximum(geometry.swap_axes(image_sizes) - 1, 0), tf.float32)[..., tf.newaxis, :]
    return mask_absent(tf.clip_by_value(keypoints_xy, 0.0, last_xy), keypoint_scores, garment_types)


def mask_absent(keypoints_xy, keypoint_scores, garment_types):
    """Set the keypoints of padding rows, and those the garment type does not have, to zero.

    Args:
        keypoints_xy: float32 `(..., 8, 2)`.
        keypoint_scores: float32 `(..., 8)`.
        garment_types: int32 `(...)`, `GarmentType` ids, 0 for padding.

    Returns:
        keypoints_xy and keypoint_scores, masked.
    """
    has = tf.gather(tf.constant(KEYPOINTS_OF_TYPE), garment_types)
    return keypoints_xy * has[..., tf.newaxis], keypoint_scores * has
