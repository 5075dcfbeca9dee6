"""Letterbox photos, and map results back to them, without TensorFlow: what a TFLite file needs before and after it.

The counterpart of `cspn_tf.resampling`, `cspn_tf.geometry` and `cspn_tf.inference.photo_outputs` where TensorFlow is
not installed; tests compare the two.

Letters in shapes: B photos, N garment rows per photo, H, W size of a photo, S side of a square canvas.
"""

import numpy as np

from cspn_tf.contract import PAD_VALUE, STATUS_OK
from cspn_tf.garments import KEYPOINTS_OF_TYPE
from cspn_tf.pillow_photos import decode_photo


def read_photo(photo_bytes, canvas_size, max_pixels):
    """Decode and letterbox a photo file: `cspn_tf.resampling.read_photo`, with arrays for tensors."""
    photo, image_size, status = decode_photo(photo_bytes, max_pixels, canvas_size)
    canvas, (scale, *offset_xy) = letterbox(photo, canvas_size)
    ratio = np.round(max(*image_size, 1) / max(photo.shape[:2]))
    # As `geometry.transform_of_whole`.
    transform = np.float32([scale / ratio, *(np.array(offset_xy) + scale * (0.5 / ratio - 0.5))])
    return canvas, transform, image_size, np.int32(status)


def take_photo(photo, canvas_size):
    """Letterbox a decoded photo, uint8 `(H, W, 3)`; returns the same as `read_photo`."""
    return *letterbox(photo, canvas_size), np.int32(photo.shape[:2]), np.int32(STATUS_OK)


def letterbox(photo, canvas_size):
    """Pad a photo to a square and resize it to the canvas, as `cspn_tf.resampling.letterbox` does.

    Args:
        photo: uint8 `(H, W, 3)`.
        canvas_size: S, pixels.

    Returns:
        canvas: uint8 `(S, S, 3)`.
        transform: float32 `(3,)`, scale, offset_x, offset_y; canvas = scale * photo + offset.
    """
    sides = np.array(photo.shape[:2])
    longest = sides.max()
    before = (longest - sides) // 2
    scale = np.float32(canvas_size / longest)
    offset_yx = (before + np.float32(0.5)) * scale - np.float32(0.5)
    transform = np.float32([scale, *offset_yx[::-1]])
    if longest >= 2 * canvas_size:
        # The canvas pixels whose centres are inside the photo; a thin strip may have none.
        first = np.ceil(offset_yx - 0.5 * scale).astype(int)
        last = np.floor(offset_yx + (sides - 0.5) * scale).astype(int)
        canvas = np.full((canvas_size, canvas_size, 3), PAD_VALUE, np.uint8)
        if (first <= last).all():
            (top, left), (bottom, right) = first, last + 1
            rows, columns = (np.arange(*span) for span in ((top, bottom), (left, right)))
            canvas[top:bottom, left:right] = _sample(photo, rows, columns, scale, offset_yx, reach=1 / scale)
        return canvas, transform
    padding = [(start, longest - side - start) for start, side in zip(before, sides, strict=True)]
    square = np.pad(photo, [*padding, (0, 0)], constant_values=np.uint8(PAD_VALUE))
    if longest == canvas_size:
        return square, transform
    every = np.arange(canvas_size)
    return _sample(square, every, every, scale, np.full(2, 0.5 * scale - 0.5), reach=1.0), transform


def _sample(picture, rows, columns, scale, offset_yx, reach):
    """Resample an image at rows and columns of another frame with a triangle filter, uint8 `(h, w, 3)`.

    Args:
        picture: uint8 `(H, W, 3)`.
        rows, columns: int `(h,)` and `(w,)`, positions in the other frame, which is scale * image + offset.
        scale, offset_yx: a number and `(2,)`.
        reach: half the width of the triangle, image pixels: 1 for bilinear interpolation.
    """
    lines = _weighted(picture, (rows - offset_yx[0]) / scale, reach)
    sampled = _weighted(lines.transpose(1, 0, 2), (columns - offset_yx[1]) / scale, reach)
    return np.uint8(sampled.transpose(1, 0, 2) + np.float32(0.5))


def _weighted(lines, positions, reach):
    """Return weighted means of the lines of an image around positions, float32 `(n, W, 3)`."""
    first = np.floor(positions - reach).astype(int) + 1
    taps = [first + tap for tap in range(int(np.ceil(2 * reach)))]
    # Lines outside the image have no weight.
    weights = [np.maximum(1 - np.abs(tap - positions) / reach, 0) * ((tap >= 0) & (tap < len(lines))) for tap in taps]
    total = sum(weights)
    mean = np.zeros((len(positions), *lines.shape[1:]), np.float32)
    for tap, weight in zip(taps, weights, strict=True):
        near = lines[np.clip(tap, 0, len(lines) - 1)]
        mean += near * np.float32(weight / total)[:, np.newaxis, np.newaxis]
    return mean


def outputs_on_photos(found, transforms, image_sizes, statuses):
    """Return the served contract's outputs: `cspn_tf.inference.photo_outputs`, with arrays for tensors.

    Args:
        found: dict of `contract.CANVAS_OUTPUTS`.
        transforms: float32 `(B, 3)`.
        image_sizes: int32 `(B, 2)`, height and width.
        statuses: int32 `(B,)`.
    """
    readable = statuses == STATUS_OK
    classes = np.where(readable[:, np.newaxis], found["classes"], 0)
    real = classes > 0
    has = np.float32(KEYPOINTS_OF_TYPE)[classes]

    def on_photo(points_xy):
        """Map points `(B, N, P, 2)` from the canvas, and clip them to the outermost pixel centres."""
        scales, offsets = transforms[:, np.newaxis, np.newaxis, :1], transforms[:, np.newaxis, np.newaxis, 1:]
        last_xy = np.float32(np.maximum(image_sizes[:, ::-1] - 1, 0))[:, np.newaxis, np.newaxis]
        return np.clip((points_xy - offsets) / scales, 0, last_xy)

    boxes = on_photo(found["boxes"].reshape(*classes.shape, 2, 2)).reshape(*classes.shape, 4)
    return {
        "status": statuses,
        "image_size": np.where(readable[:, np.newaxis], image_sizes, 0),
        "num_garments": np.where(readable, found["num_garments"], 0),
        "boxes": boxes * real[..., np.newaxis],
        "classes": classes,
        "scores": found["scores"] * real,
        "keypoints": on_photo(found["keypoints"]) * has[..., np.newaxis],
        "keypoint_scores": found["keypoint_scores"] * has,
    }
