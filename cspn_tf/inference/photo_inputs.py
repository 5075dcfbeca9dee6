"""From photo files to the canvases that the networks look at."""

import tensorflow as tf

from cspn_tf import decoding, resampling


def read_photo(photo_bytes, canvas_size, max_pixels):
    """Read one photo file, at no more than the size it is used at.

    Args:
        photo_bytes: string scalar, the file as it is.
        canvas_size: side S of the canvas, pixels, a Python int.
        max_pixels: the largest height times width to decode, an integer.

    Returns:
        canvas: uint8 `(S, S, 3)`; grey where the status is not ok.
        transform: float32 `(3,)`, photo to canvas, see `geometry.letterbox_transform`.
        image_size: int32 `(2,)`, height and width of the photo as displayed; zeros where the status is not ok.
        status: int32 scalar, of `cspn_tf.decoding`.
    """
    photo, image_size, status = decoding.decode_photo(photo_bytes, max_pixels, canvas_size)
    canvas, transform = resampling.letterbox(photo, canvas_size, tf.maximum(image_size, 1))
    return canvas, transform, image_size, tf.cast(status, tf.int32)
