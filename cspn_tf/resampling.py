"""Image resampling between the frames of `cspn_tf.geometry`: photo to canvas, canvas to crops and detector input.

::

    file --decode--> photo --letterbox--> canvas --halve--> half canvas      `read_photo`, `CanvasPyramid`
                                            |                    |
                                            +-- crops, the ------+    each from the level closer to its resolution
                                                detector's input

Letters in shapes: B photos, M crops, H, W size of a photo, S side of a square canvas, C of a square crop.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cspn_tf import decoding, geometry
from cspn_tf.contract import PAD_VALUE, STATUS_OK
from cspn_tf.geometry import swap_axes

_PADDING = np.uint8(PAD_VALUE)
# Canvas pixels per output pixel from which crops and detector input are read from the half canvas: midway between the
# sampling steps of the canvas, 1, and of the half canvas, 2.
_HALF_FROM_STEP = 1.5


# Photo to canvas -----------------------------------------------------------------------------------------------------


def read_photo(photo_bytes, canvas_size, max_pixels):
    """Decode one photo file, downscaled while decoding if possible, and letterbox it to a canvas.

    Args:
        photo_bytes: string scalar, the file's bytes.
        canvas_size: side S of the canvas, pixels, a Python int.
        max_pixels: the largest height times width to decode, an integer.

    Returns:
        canvas: uint8 `(S, S, 3)`; grey if the status is not ok.
        transform: float32 `(3,)`, photo to canvas, see `geometry.letterbox_transform`.
        image_size: int32 `(2,)`, height and width of the photo as displayed; zeros if the status is not ok.
        status: int32 scalar, a status of `cspn_tf.contract`.
    """
    photo, image_size, status = decoding.decode_photo(photo_bytes, max_pixels, canvas_size)
    canvas, transform = letterbox(photo, canvas_size, tf.maximum(image_size, 1))
    return canvas, transform, image_size, status


def take_photo(photo, canvas_size):
    """Return what `read_photo` returns, for a photo that is decoded and oriented already: uint8 `(H, W, 3)`."""
    canvas, transform = letterbox(photo, canvas_size)
    return canvas, transform, tf.shape(photo)[:2], tf.constant(STATUS_OK)


def letterbox(photo, canvas_size, image_size=None):
    """Pad a photo to a square with `PAD_VALUE`, and resize the square to the canvas.

    Bilinear; anti-aliased if the long side of `photo` is at least twice the canvas.

    Args:
        photo: uint8 `(H, W, 3)`, or the photo downscaled by an integer while decoding, see `decoding.decode_photo`.
        canvas_size: side of the canvas, pixels, a Python int.
        image_size: int32 `(2,)`, H and W of the full photo; None if `photo` is not downscaled.

    Returns:
        canvas: uint8 `(S, S, 3)`.
        transform: float32 `(3,)`, full photo to canvas, see `geometry.letterbox_transform`. The padding of a downscaled
            photo is computed in its own pixels, whose last row and column may extend beyond the full photo.
    """
    shape = tf.shape(photo)[:2]
    longest = tf.reduce_max(shape)
    transform = geometry.letterbox_transform(shape[0], shape[1], canvas_size)

    def padded():
        padding = tf.concat([geometry.letterbox_padding(shape[0], shape[1]), [[0, 0]]], axis=0)
        return tf.pad(photo, padding, constant_values=_PADDING)

    def interpolated():
        # Unlike `tf.image.resize`, the raw op reads uint8 without a cast.
        resized = tf.raw_ops.ResizeBilinear(
            images=padded()[tf.newaxis], size=[canvas_size, canvas_size], half_pixel_centers=True
        )[0]
        return tf.cast(resized + 0.5, tf.uint8)

    how = tf.cast(longest != canvas_size, tf.int32) + tf.cast(longest >= 2 * canvas_size, tf.int32)
    canvas = tf.switch_case(how, [padded, interpolated, lambda: _averaged(photo, transform, canvas_size)])
    canvas = tf.ensure_shape(canvas, [canvas_size, canvas_size, 3])
    if image_size is None:
        return canvas, transform
    ratio = tf.round(tf.cast(tf.reduce_max(image_size), tf.float32) / tf.cast(longest, tf.float32))
    return canvas, geometry.transform_of_whole(transform, ratio)


def _averaged(photo, transform, canvas_size):
    """Shrink a photo to its canvas, anti-aliased, uint8 `(S, S, 3)`; `transform` is that of `photo`, float32 `(3,)`.

    The photo is padded last, because the square around a long strip is much larger than the strip.
    """
    scale, offset_xy = transform[0], transform[1:]
    size_xy = tf.cast(swap_axes(tf.shape(photo)[:2]), tf.float32)
    # The canvas pixels whose centres are inside the photo; a thin strip may lie between pixel centres.
    first_xy = tf.cast(tf.math.ceil(offset_xy - 0.5 * scale), tf.int32)
    last_xy = tf.cast(tf.floor(offset_xy + (size_xy - 0.5) * scale), tf.int32)
    is_seen = tf.reduce_all(first_xy <= last_xy)
    first_xy = tf.clip_by_value(first_xy, 0, canvas_size - 1)
    last_xy = tf.clip_by_value(last_xy, first_xy, canvas_size - 1)
    # The op counts from pixel edges: edge frame = index frame + 0.5.
    translation_xy = offset_xy - tf.cast(first_xy, tf.float32) + 0.5 - 0.5 * scale
    shrunk = tf.raw_ops.ScaleAndTranslate(
        images=photo[tf.newaxis],
        size=swap_axes(last_xy - first_xy + 1),
        scale=tf.stack([scale, scale]),
        translation=swap_axes(translation_xy),
        kernel_type="triangle",
        antialias=True,
    )[0]
    content = tf.cast(tf.where(is_seen, shrunk, PAD_VALUE) + 0.5, tf.uint8)
    around_xy = tf.stack([first_xy, canvas_size - 1 - last_xy], axis=1)
    return tf.pad(content, tf.stack([around_xy[1], around_xy[0], [0, 0]]), constant_values=_PADDING)


# Canvas to the detector's input and to crops --------------------------------------------------------------------------


class CanvasPyramid(NamedTuple):
    """Two-level pyramid of canvases, from which both networks' inputs are cut; half-size pixels are means of 2x2.

    Inputs with `_HALF_FROM_STEP` or more canvas pixels per pixel are cut from the half canvas. Training, evaluation and
    the served graph use `crop`; TensorFlow Lite uses `crop_with_builtins`, which gives the same result.

    Attributes:
        canvases: uint8 `(B, S, S, 3)`, S even.
        halves: float32 `(B, S / 2, S / 2, 3)`, 0 to 255.
    """

    canvases: tf.Tensor
    halves: tf.Tensor

    @classmethod
    def of(cls, canvases) -> "CanvasPyramid":
        """Return the pyramid of canvases, uint8 `(B, S, S, 3)`."""
        return cls(canvases, tf.nn.avg_pool2d(tf.cast(canvases, tf.float32), 2, 2, "VALID"))

    @property
    def size(self) -> int:
        """S, the side of the canvases."""
        return self.canvases.shape[1]

    def detector_input(self, size):
        """Return the canvases at the detector's input size, float32 `(B, size, size, 3)`, 0 to 255.

        Sizes S and S / 2 need no resampling; other sizes are resized, bilinear.
        """
        if size == self.size:
            return tf.cast(self.canvases, tf.float32)
        if size == self.halves.shape[1]:
            return self.halves
        nearest = self.halves if self.size >= _HALF_FROM_STEP * size else self.canvases
        return tf.raw_ops.ResizeBilinear(images=nearest, size=[size, size], half_pixel_centers=True)

    def crop(self, window, crop_size, photo=0):
        """Cut a square window out of one canvas, bilinear.

        Args:
            window: float32 `(3,)`, from `geometry.crop_windows`, canvas pixels.
            crop_size: side of the crop, pixels, a Python int.
            photo: index of the canvas in the batch.

        Returns:
            float32 `(C, C, 3)`, 0 to 255, `PAD_VALUE` outside the canvas.
        """

        def cut(pictures, window):
            reach = window[2] * ((crop_size - 1) / (2 * crop_size))
            centre_yx = swap_axes(window[:2])
            corners = tf.concat([centre_yx - reach, centre_yx + reach], axis=0) / (pictures.shape[1] - 1)
            return tf.raw_ops.CropAndResize(
                image=pictures[photo][tf.newaxis],
                boxes=corners[tf.newaxis],
                box_ind=[0],
                crop_size=[crop_size, crop_size],
                extrapolation_value=PAD_VALUE,
            )[0]

        is_for_half, in_half = _pyramid_level(window, crop_size)
        return tf.cond(is_for_half, lambda: cut(self.halves, in_half), lambda: cut(self.canvases, window))

    def crops(self, windows, crop_size, photo_of_crop):
        """Cut several windows with `crop`.

        Args:
            windows: float32 `(M, 3)`.
            crop_size: as in `crop`.
            photo_of_crop: int32 `(M,)`, each window's canvas.

        Returns:
            float32 `(M, C, C, 3)`.
        """
        return tf.map_fn(
            lambda row: self.crop(row[0], crop_size, row[1]),
            (windows, photo_of_crop),
            fn_output_signature=tf.TensorSpec([crop_size, crop_size, 3], tf.float32),
        )

    def crop_with_builtins(self, window, crop_size):
        """Do what `crop` does for the pyramid of a single canvas, in TensorFlow Lite's builtin operations."""
        # Reshaped, not sliced: TensorFlow Lite would copy a slice pixel by pixel.
        canvas, half = (tf.reshape(picture, picture.shape[1:]) for picture in self)
        is_for_half, in_half = _pyramid_level(window, crop_size)
        return tf.cond(
            is_for_half,
            lambda: _cut_by_gathering(half, in_half, crop_size),
            lambda: _cut_by_gathering(tf.cast(canvas, tf.float32), window, crop_size),
        )


def _pyramid_level(window, crop_size):
    """Return whether to cut a canvas window from the half canvas, and the window's coordinates there."""
    in_half = tf.concat([(window[:2] + 0.5) / 2.0 - 0.5, window[2:] / 2.0], axis=0)
    return window[2] >= _HALF_FROM_STEP * crop_size, in_half


def _cut_by_gathering(picture, window, crop_size):
    """Cut a window out of a square image of static size as `CropAndResize` does, rows then columns.

    All dimensions are static: TensorFlow Lite's fast kernels skip branches with dynamic ones.
    """
    size = picture.shape[0]
    steps = (tf.range(crop_size, dtype=tf.float32) - (crop_size - 1) / 2) * (window[2] / crop_size)

    def neighbours(centre):
        """Return the pixel before each position, the position's distance from it, and whether it is inside."""
        positions = centre + steps
        before = tf.clip_by_value(tf.floor(positions), 0.0, size - 2.0)
        inside = tf.cast((positions >= 0.0) & (positions <= size - 1.0), tf.float32)
        return tf.cast(before, tf.int32), positions - before, inside

    row, below, inside_y = neighbours(window[1])
    column, right, inside_x = neighbours(window[0])
    lines = tf.reshape(picture, [size, size * 3])
    above = tf.gather(lines, row)
    lines = above + (tf.gather(lines, row + 1) - above) * below[:, tf.newaxis]
    lines = tf.reshape(lines, [crop_size, size, 3])
    left = tf.gather(lines, column, axis=1)
    cut = left + (tf.gather(lines, column + 1, axis=1) - left) * right[:, tf.newaxis]
    inside = (inside_y[:, tf.newaxis] * inside_x)[..., tf.newaxis]
    return (cut - PAD_VALUE) * inside + PAD_VALUE
