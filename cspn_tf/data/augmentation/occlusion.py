"""Occlusion augmentation: rectangles that hide a part of the garment and the keypoints under them."""

import tensorflow as tf
import tensorflow_addons as tfa

from cspn_tf.data.augmentation.ranges import between
from cspn_tf.garments import Visibility

COVER_CHANCE = 0.3
COVER_SIZE = (0.1, 0.35)  # sides of the rectangle as a fraction of the crop's side


def cover(example):
    """Cover a rectangle of some crops with one colour; visible keypoints under it become OCCLUDED, so stay labelled.

    Needs and changes:
        image: float32 `(C, C, 3)`.
        visibility: int32 `(8,)`.

    Needs:
        keypoints_xy_crop: float32 `(8, 2)`.
        draws: of the garment.
    """
    draws, image, visibility = example["draws"], example["image"], example["visibility"]
    size = image.shape[0]
    centre_xy = tf.cast(draws["cover_centre"] * size, tf.int32)
    # Half sides, at least one pixel, because the op takes even sizes only.
    half_xy = tf.maximum(tf.cast(between(draws["cover_size"], COVER_SIZE) * size / 2.0, tf.int32), 1)

    def covered():
        cut = tfa.image.cutout(
            image[tf.newaxis],
            mask_size=2 * half_xy[::-1],
            offset=centre_xy[tf.newaxis, ::-1],
            # Documented as one number, but anything that broadcasts to the images works.
            constant_values=draws["cover_colour"] * 255.0,
        )[0]
        # The op covers [centre - half, centre + half), the end excluded.
        first_xy, last_xy = (tf.cast(edge, tf.float32) for edge in (centre_xy - half_xy, centre_xy + half_xy - 1))
        points = example["keypoints_xy_crop"]
        under = tf.reduce_all((points >= first_xy - 0.5) & (points <= last_xy + 0.5), axis=-1)
        hidden = under & (visibility == Visibility.VISIBLE)
        return cut, tf.where(hidden, tf.constant(Visibility.OCCLUDED, tf.int32), visibility)

    image, visibility = tf.cond(draws["covered"] < COVER_CHANCE, covered, lambda: (image, visibility))
    return {**example, "image": image, "visibility": visibility}
