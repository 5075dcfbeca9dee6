"""How pictures are resampled from one frame of `cspn_tf.geometry` to another: photo to canvas, canvas to crop.

::

    photo --letterbox--> canvas --halve--> half canvas
                            |                  |
                            +---- crops -------+        each from the one whose pixels are about the crop's

Letters in shapes: B photos, M crops, H, W size of a photo, S side of a square canvas, C of a square crop.
"""

import numpy as np
import tensorflow as tf

from cspn_tf import geometry
from cspn_tf.geometry import PAD_VALUE, swap_axes, whole_window

_PADDING = np.uint8(PAD_VALUE)
# From how many canvas pixels a crop pixel on the half canvas shows as much: half way between its own step and twice it.
_HALF_FROM_STEP = 1.5


# Photo to canvas -----------------------------------------------------------------------------------------------------


def letterbox(photo, canvas_size, image_size=None):
    """Pad a photo to a square with `PAD_VALUE`, and resize that to the canvas.

    Bilinear, and antialiased where the picture given is twice too large or more.

    Args:
        photo: uint8 `(H, W, 3)`, or that shrunk by a whole number while it was decoded, see `decoding.decode_photo`.
        canvas_size: side of the canvas, pixels, a Python int.
        image_size: int32 `(2,)`, H and W; None where the photo is not shrunk.

    Returns:
        canvas: uint8 `(S, S, 3)`.
        transform: float32 `(3,)`, photo to canvas, of `geometry.letterbox_transform`; what is shrunk has the frame of
            its own pixels, of which the last row and column may reach beyond the photo.
    """
    shape = tf.shape(photo)[:2]
    longest = tf.reduce_max(shape)
    transform = geometry.letterbox_transform(shape[0], shape[1], canvas_size)

    def padded():
        padding = tf.concat([geometry.letterbox_padding(shape[0], shape[1]), [[0, 0]]], axis=0)
        return tf.pad(photo, padding, constant_values=_PADDING)

    def interpolated():
        # Not `tf.image.resize`: the op reads uint8 as it is.
        resized = tf.raw_ops.ResizeBilinear(
            images=padded()[tf.newaxis], size=[canvas_size, canvas_size], half_pixel_centers=True
        )[0]
        return tf.cast(resized + 0.5, tf.uint8)

    def averaged():
        # Resized before it is padded: the square of a long strip is much larger than the strip.
        scale, offset_xy = transform[0], transform[1:]
        covered = _covered(shape, scale, offset_xy, canvas_size)
        content = tf.cast(_resample(photo, scale, offset_xy, covered) + 0.5, tf.uint8)
        return tf.pad(content, _around(covered, canvas_size), constant_values=_PADDING)

    how = tf.cast(longest != canvas_size, tf.int32) + tf.cast(longest >= 2 * canvas_size, tf.int32)
    canvas = tf.switch_case(how, [padded, interpolated, averaged])
    canvas = tf.ensure_shape(canvas, [canvas_size, canvas_size, 3])
    if image_size is None:
        return canvas, transform
    ratio = tf.round(tf.cast(tf.reduce_max(image_size), tf.float32) / tf.cast(longest, tf.float32))
    return canvas, geometry.transform_of_whole(transform, ratio)


def _covered(shape, scale, offset_xy, size):
    """Return which pixels of a square have their centres inside a picture that is laid on it.

    Args:
        shape: int32, height and width of the picture, and whatever follows.
        scale, offset_xy: float32 `()` and `(2,)`, with square = scale * picture + offset.
        size: side of the square, pixels, a Python int.

    Returns:
        first_xy, last_xy: int32 `(2,)`, both inside the square.
        is_seen: bool scalar, whether there are such pixels: a picture beside the square, or thinner than the step
            between its pixels, has none.
    """
    size_xy = tf.cast(swap_axes(shape[:2]), tf.float32)
    first_xy = tf.cast(tf.math.ceil(offset_xy - 0.5 * scale), tf.int32)
    last_xy = tf.cast(tf.floor(offset_xy + (size_xy - 0.5) * scale), tf.int32)
    is_seen = tf.reduce_all((first_xy <= last_xy) & (first_xy < size) & (last_xy >= 0))
    first_xy = tf.clip_by_value(first_xy, 0, size - 1)
    return first_xy, tf.clip_by_value(last_xy, first_xy, size - 1), is_seen


def _around(covered, size):
    """Return the rows and columns of a square around its covered part, int32 `(3, 2)`, as `tf.pad` takes them."""
    first_xy, last_xy, _ = covered
    around_xy = tf.stack([first_xy, size - 1 - last_xy], axis=1)
    return tf.stack([around_xy[1], around_xy[0], [0, 0]])


def _resample(picture, scale, offset_xy, covered, antialias=True):
    """Resize the covered part of a square from the picture on it, bilinear, float32 `(h, w, 3)`."""
    first_xy, last_xy, is_seen = covered
    # The op counts from pixel edges: edge frame = index frame + 0.5.
    translation_xy = offset_xy - tf.cast(first_xy, tf.float32) + 0.5 - 0.5 * scale
    resampled = tf.raw_ops.ScaleAndTranslate(
        images=picture[tf.newaxis],
        size=swap_axes(last_xy - first_xy + 1),
        scale=tf.stack([scale, scale]),
        translation=swap_axes(translation_xy),
        kernel_type="triangle",
        antialias=antialias,
    )[0]
    return tf.where(is_seen, resampled, PAD_VALUE)


# Canvas to half canvas, to crops and to the detector's input ----------------------------------------------------------


def halve(canvases):
    """Shrink canvases to half their side, each pixel the mean of four.

    Args:
        canvases: uint8 `(B, S, S, 3)`, S even.

    Returns:
        float32 `(B, S / 2, S / 2, 3)`, 0 to 255.
    """
    return tf.nn.avg_pool2d(tf.cast(canvases, tf.float32), 2, 2, "VALID")


def resize_canvases(canvases, halves, size):
    """Resize canvases to the side that the detector reads.

    Args:
        canvases, halves: uint8 `(B, S, S, 3)`, and what `halve` gives for them.
        size: side of the result, pixels, a Python int; at S and S / 2 there is nothing left to do.

    Returns:
        float32 `(B, size, size, 3)`, 0 to 255.
    """
    if size == canvases.shape[1]:
        return tf.cast(canvases, tf.float32)
    if size == halves.shape[1]:
        return halves
    return crop(canvases, whole_window(canvases.shape[1])[tf.newaxis, tf.newaxis], size)[:, 0]


def crop_canvases(canvases, halves, photo_of_crop, windows, crop_size):
    """Cut square windows out of canvases, bilinear, each out of the half canvas where that has the detail it shows.

    Args:
        canvases, halves: uint8 `(B, S, S, 3)`, and what `halve` gives for them.
        photo_of_crop: int32 `(M,)`, the canvas of each crop.
        windows: float32 `(M, 3)` of `geometry.crop_windows`, canvas pixels.
        crop_size: side of the crops, pixels, a Python int.

    Returns:
        float32 `(M, C, C, 3)`, 0 to 255, `PAD_VALUE` outside the canvas.
    """

    def cut(picture, window):
        reach = window[2] * ((crop_size - 1) / (2 * crop_size))
        centre_yx = swap_axes(window[:2])
        corners = tf.concat([centre_yx - reach, centre_yx + reach], axis=0) / (picture.shape[0] - 1)
        return tf.raw_ops.CropAndResize(
            image=picture[tf.newaxis],
            boxes=corners[tf.newaxis],
            box_ind=[0],
            crop_size=[crop_size, crop_size],
            extrapolation_value=PAD_VALUE,
        )[0]

    def cut_next(row):
        photo, window = row
        is_for_half, in_half = _place(window, crop_size)
        return tf.cond(is_for_half, lambda: cut(halves[photo], in_half), lambda: cut(canvases[photo], window))

    crop_spec = tf.TensorSpec([crop_size, crop_size, 3], tf.float32)
    return tf.map_fn(cut_next, (photo_of_crop, windows), fn_output_signature=crop_spec)


def crop_canvas(canvas, half, window, crop_size):
    """Do what `crop_canvases` does for one window, in operations that TensorFlow Lite has.

    Args:
        canvas, half: uint8 or float32 `(S, S, 3)`, and float32 `(S / 2, S / 2, 3)`, 0 to 255.
        window: float32 `(3,)`.
        crop_size: side of the crop, pixels, a Python int.

    Returns:
        float32 `(C, C, 3)`.
    """
    canvas = tf.cast(canvas, tf.float32)
    is_for_half, in_half = _place(window, crop_size)
    return tf.cond(
        is_for_half,
        lambda: _cut_by_gathering(half, in_half, crop_size),
        lambda: _cut_by_gathering(canvas, window, crop_size),
    )


def _cut_by_gathering(picture, window, crop_size):
    """Cut a window out of a square picture of static size as `CropAndResize` does, rows then columns.

    With every dimension spelled out: TensorFlow Lite's fast kernels pass over branches in which one is left open.
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


def _place(window, crop_size):
    """Return whether a window of a canvas is to be cut out of its half, and where it lies there."""
    in_half = tf.concat([(window[:2] + 0.5) / 2.0 - 0.5, window[2:] / 2.0], axis=0)
    return window[2] >= _HALF_FROM_STEP * crop_size, in_half


def crop(canvases, windows, crop_size):
    """Cut square windows out of canvases and resize them, bilinear and antialiased, with `PAD_VALUE` outside.

    Two products with tent-shaped weight matrices, rows then columns: it converts to TensorFlow Lite, and a tent as
    wide as the step between samples is what an antialiased bilinear resize does.

    Args:
        canvases: uint8 or float32 `(B, S, S, 3)`, 0 to 255.
        windows: float32 `(B, N, 3)` of `crop_windows`, canvas pixels; either B may be 1, to
            cut the same windows out of every canvas or different ones out of one.
        crop_size: side of the crops, pixels, a Python int.

    Returns:
        float32 `(B, N, C, C, 3)`, 0 to 255.
    """
    size = canvases.shape[1]
    windows_x, windows_y, sides = tf.unstack(windows, axis=-1)
    rows = _tent_weights(windows_y, sides, size, crop_size)
    columns = _tent_weights(windows_x, sides, size, crop_size)
    num = windows.shape[1]
    centred = tf.reshape(tf.cast(canvases, tf.float32) - PAD_VALUE, [-1, size, size * 3])
    rows = tf.reshape(rows, [-1, num * crop_size, size])
    picked_rows = tf.reshape(tf.matmul(rows, centred), [-1, num * crop_size, size, 3])
    picked_rows = tf.reshape(picked_rows, [-1, num, crop_size, size, 3])
    # (B, N, C, S, 3) to (B, N, C, 3, S), so that the columns' product is over the last axis.
    picked_rows = tf.reshape(tf.transpose(picked_rows, [0, 1, 2, 4, 3]), [-1, num, crop_size * 3, size])
    picked = tf.matmul(picked_rows, columns, transpose_b=True)
    picked = tf.reshape(picked, [-1, num, crop_size, 3, crop_size])
    return tf.transpose(picked, [0, 1, 2, 4, 3]) + PAD_VALUE


def crop_one(picture, window, crop_size, antialias=True):
    """Cut one square window out of one picture: the same operation as `crop`, several times faster.

    It works out only the weights that are not zero, with an op that TensorFlow Lite does not have. What the two give
    differs by rounding alone, less than 0.02 of 255.

    Args:
        picture: uint8 or float32 `(H, W, 3)`, 0 to 255, of any size.
        window: float32 `(3,)` of `crop_windows`, pixels of the picture.
        crop_size: side of the crop, pixels, a Python int.
        antialias: whether to average where it shrinks, as `crop` does, or to interpolate; at half the size that is
            the mean of four, as `halve` gives it.

    Returns:
        float32 `(C, C, 3)`, 0 to 255.
    """
    scale = crop_size / window[2]
    offset_xy = (crop_size - 1) / 2 - scale * window[:2]
    covered = _covered(tf.shape(picture), scale, offset_xy, crop_size)
    content = _resample(picture, scale, offset_xy, covered, antialias)
    cut = tf.pad(content, _around(covered, crop_size), constant_values=PAD_VALUE)
    return tf.ensure_shape(cut, [crop_size, crop_size, 3])


def _tent_weights(centres, sides, size, crop_size):
    """Return `(B, N, C, S)` weights: row j holds what each canvas pixel gives to crop pixel j; zeros outside."""
    step = (sides / crop_size)[..., tf.newaxis]
    index = tf.range(crop_size, dtype=tf.float32) - (crop_size - 1) / 2
    positions = centres[..., tf.newaxis] + index * step
    distance = tf.abs(positions[..., tf.newaxis] - tf.range(size, dtype=tf.float32))
    weights = tf.maximum(1.0 - distance / tf.maximum(step, 1.0)[..., tf.newaxis], 0.0)
    total = tf.reduce_sum(weights, axis=-1, keepdims=True)
    inside = (positions >= -0.5) & (positions <= size - 0.5)
    return tf.where(inside[..., tf.newaxis], weights / tf.maximum(total, 1e-6), 0.0)
