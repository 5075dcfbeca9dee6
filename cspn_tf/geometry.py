"""Coordinate transforms between photo, canvas, crop and heatmap, each next to its inverse.

The pixel-centre rule
    Integer coordinates are pixel centres, in every frame, for keypoints and for box corners alike::

        x:   -0.5    0    0.5    1    1.5    2    2.5
               |     o     |     o     |     o     |        o = centre of a pixel, | = edge between two
               +-----------+-----------+-----------+
                 column 0    column 1    column 2

    So an image of width W spans -0.5 to W - 0.5, a resize by s maps x to (x + 0.5) * s - 0.5, and a mirror maps x to
    W - 1 - x.

Frames
    photo    the photo as displayed, rotated by its EXIF orientation
    canvas   the photo letterboxed once to a square of `canvas_size`
    crop     a square window of the canvas, resized to `crop_size`: the keypoint network's input
    heatmap  the crop downsampled by `stride`: the keypoint network's output

`cspn_tf.resampling` resamples images from one frame to another.

Letters in shapes: B photos, N garments per photo, P points, S the side of a square canvas, C of a square crop.
"""

import tensorflow as tf

# Photo and canvas ----------------------------------------------------------------------------------------------------


def letterbox_padding(height, width):
    """Return the padding in whole pixels that centres a photo in a square.

    Args:
        height, width: size of the photo, pixels, integer scalars, at least 1.

    Returns:
        int32 `(2, 2)`: above and below, left and right; if their sum is odd, the larger is below or right.
    """
    sides = tf.cast(tf.stack([height, width]), tf.int32)
    missing = tf.reduce_max(sides) - sides
    return tf.stack([missing // 2, missing - missing // 2], axis=1)


def letterbox_transform(height, width, canvas_size):
    """Return the map from a photo to its canvas: padded to a square by `letterbox_padding`, then resized.

    Args:
        height, width: size of the photo as displayed, pixels, integer scalars, at least 1.
        canvas_size: side of the canvas, pixels.

    Returns:
        float32 `(3,)`: scale, offset_x, offset_y, with canvas = scale * photo + offset.
    """
    scale = tf.cast(canvas_size, tf.float32) / tf.cast(tf.maximum(height, width), tf.float32)
    before_yx = tf.cast(letterbox_padding(height, width)[:, 0], tf.float32)
    offset_y, offset_x = tf.unstack((before_yx + 0.5) * scale - 0.5)
    return tf.stack([scale, offset_x, offset_y])


def transform_of_whole(transform, ratio):
    """Convert the transform of a photo downscaled by the integer `ratio` to that of the photo; both float32 `(3,)`."""
    scale, offset_xy = transform[:1], transform[1:]
    return tf.concat([scale / ratio, offset_xy + scale * (0.5 / ratio - 0.5)], axis=0)


def photo_to_canvas(points_xy_photo, transform):
    """Map photo points to the canvas; the inverse of `canvas_to_photo`.

    Args:
        points_xy_photo: float32 `(..., P, 2)`.
        transform: float32 `(..., 3)`, from `letterbox_transform`, with the same leading dimensions.

    Returns:
        float32 `(..., P, 2)`.
    """
    return points_xy_photo * transform[..., tf.newaxis, :1] + transform[..., tf.newaxis, 1:]


def canvas_to_photo(points_xy_canvas, transform):
    """Map canvas points to the photo; the inverse of `photo_to_canvas`, with the same shapes."""
    return (points_xy_canvas - transform[..., tf.newaxis, 1:]) / transform[..., tf.newaxis, :1]


# Boxes ---------------------------------------------------------------------------------------------------------------


def boxes_to_corners(boxes_xyxy):
    """Return a box's two corners as points, float32 `(..., N, 4)` to `(..., 2 * N, 2)`; see `corners_to_boxes`."""
    return _in_rows_of(2, boxes_xyxy)


def corners_to_boxes(corners_xy):
    """Return boxes from corner points; the inverse of `boxes_to_corners`."""
    return _in_rows_of(4, corners_xy)


def _in_rows_of(size, rows):
    """Divide the last two axes into rows of another size; their number stays static if it was."""
    num_rows = -1 if rows.shape[-2] is None else rows.shape[-2] * rows.shape[-1] // size
    return tf.reshape(rows, tf.concat([tf.shape(rows)[:-2], [num_rows, size]], axis=0))


def swap_axes(pairs):
    """Swap pairs between x, y and y, x order, `(..., 2)`; its own inverse.

    Uses `gather`, because TensorFlow's graph optimizers give up on graphs that slice a shape with a negative step.
    """
    return tf.gather(pairs, [1, 0], axis=-1)


def swap_box_axes(boxes):
    """Swap boxes between x, y and y, x order, `(..., 4)`; its own inverse."""
    return tf.gather(boxes, [1, 0, 3, 2], axis=-1)


def clip_boxes(boxes_xyxy, height, width):
    """Clip boxes to the outermost pixel centres of an image: x to [0, width - 1], y to [0, height - 1].

    Args:
        boxes_xyxy: float32 `(..., 4)`.
        height, width: numbers or tensors that broadcast against `(...)`.
    """
    limits = tf.cast(tf.stack([width, height, width, height], axis=-1), tf.float32) - 1.0
    return tf.clip_by_value(boxes_xyxy, 0.0, tf.maximum(limits, 0.0))


# Canvas and crop -----------------------------------------------------------------------------------------------------


def crop_windows(boxes_xyxy, margin):
    """Return square windows centred on boxes, with sides of `margin` times the box's long side.

    Args:
        boxes_xyxy: float32 `(..., 4)`; an empty box gives a window of one pixel.
        margin: a number, or a tensor that broadcasts against `(...)`.

    Returns:
        float32 `(..., 3)`: centre_x, centre_y, side, in the boxes' frame.
    """
    x_min, y_min, x_max, y_max = tf.unstack(boxes_xyxy, axis=-1)
    side = tf.maximum(margin * tf.maximum(x_max - x_min, y_max - y_min), 1.0)
    return tf.stack([(x_min + x_max) / 2.0, (y_min + y_max) / 2.0, side], axis=-1)


def whole_window(size):
    """Return the window that covers a square image of that side exactly, float32 `(3,)`."""
    return tf.constant([(size - 1) / 2, (size - 1) / 2, size], tf.float32)


def keypoint_windows(boxes_xyxy_canvas, config):
    """Return the windows that the keypoint network's crops are cut from.

    Args:
        boxes_xyxy_canvas: float32 `(..., 4)`, garments.
        config: a `cspn_tf.config.Config`.

    Returns:
        float32 `(..., 3)`, as in `crop_windows`: around each box, or the whole canvas if the network works without a
        detection stage.
    """
    windows = crop_windows(boxes_xyxy_canvas, config.keypoints.crop_margin)
    if config.keypoints.region == "garment":
        return windows
    return tf.zeros_like(windows) + whole_window(config.canvas_size)


def canvas_to_crop(points_xy_canvas, windows, crop_size):
    """Map canvas points into crops; the inverse of `crop_to_canvas`.

    Args:
        points_xy_canvas: float32 `(..., P, 2)`.
        windows: float32 `(..., 3)`, the crop window of each group of P points.
        crop_size: side of the crops, pixels.

    Returns:
        float32 `(..., P, 2)`.
    """
    centres, sides = windows[..., tf.newaxis, :2], windows[..., tf.newaxis, 2:]
    return (points_xy_canvas - centres) * (crop_size / sides) + (crop_size - 1) / 2


def crop_to_canvas(points_xy_crop, windows, crop_size):
    """Map crop points back to the canvas; the inverse of `canvas_to_crop`, with the same shapes."""
    centres, sides = windows[..., tf.newaxis, :2], windows[..., tf.newaxis, 2:]
    return (points_xy_crop - (crop_size - 1) / 2) * (sides / crop_size) + centres


# Crop and heatmap ----------------------------------------------------------------------------------------------------


def crop_to_heatmap(points_xy_crop, stride):
    """Map crop points to the heatmap, float32 `(..., 2)`; the inverse of `heatmap_to_crop`."""
    return (points_xy_crop + 0.5) / stride - 0.5


def heatmap_to_crop(points_xy_heatmap, stride):
    """Map heatmap points to the crop, float32 `(..., 2)`; the inverse of `crop_to_heatmap`."""
    return (points_xy_heatmap + 0.5) * stride - 0.5


# Crop and unit square ------------------------------------------------------------------------------------------------


def crop_to_unit(points_xy_crop, crop_size):
    """Map crop points to fractions of the crop's side, 0 and 1 at its outer edges, `(..., 2)`; see `unit_to_crop`."""
    return (points_xy_crop + 0.5) / crop_size


def unit_to_crop(points_xy_unit, crop_size):
    """Map fractions of a crop's side to crop points, float32 `(..., 2)`; the inverse of `crop_to_unit`."""
    return points_xy_unit * crop_size - 0.5


# Mirror --------------------------------------------------------------------------------------------------------------


def mirror_points(points_xy, width):
    """Mirror points of an image left to right, float32 `(..., 2)`; its own inverse.

    The caller must also swap the keypoint slots, see `cspn_tf.garments.FLIP_SLOTS`.
    """
    return tf.stack([width - 1.0 - points_xy[..., 0], points_xy[..., 1]], axis=-1)


def mirror_boxes(boxes_xyxy, width):
    """Mirror boxes of an image left to right, float32 `(..., 4)`; its own inverse."""
    x_min, y_min, x_max, y_max = tf.unstack(boxes_xyxy, axis=-1)
    return tf.stack([width - 1.0 - x_max, y_min, width - 1.0 - x_min, y_max], axis=-1)


def quarter_turn_points(points_xy, side, num_turns):
    """Turn points of a square image with it, as `tf.image.rot90` does; the inverse is `4 - num_turns` turns.

    Args:
        points_xy: float32 `(..., 2)`.
        side: of the image, pixels; for a single turn the image may be of any shape, and this is its width.
        num_turns: an int, quarter turns counter-clockwise.

    Returns:
        float32 `(..., 2)`.
    """
    for _ in range(num_turns):
        points_xy = swap_axes(mirror_points(points_xy, side))
    return points_xy


def quarter_turn_boxes(boxes_xyxy, side, num_turns):
    """Turn boxes of a square image with it, float32 `(..., 4)`; see `quarter_turn_points`."""
    for _ in range(num_turns):
        boxes_xyxy = swap_box_axes(mirror_boxes(boxes_xyxy, side))
    return boxes_xyxy
