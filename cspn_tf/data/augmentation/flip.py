"""Horizontal flips and quarter turns of images and labels."""

import functools

import tensorflow as tf

from cspn_tf import geometry
from cspn_tf.garments import FLIP_SLOTS

FLIP_CHANCE = 0.5
# Photos of garments that lie on a table or the floor are often sideways, and some upside down.
QUARTER_TURN_CHANCE = 0.15


def flip_crop(example):
    """Flip a crop with probability 0.5, and swap its left and right keypoint slots.

    Needs and changes:
        image: float32 `(C, C, 3)`.
        keypoints_xy_crop: float32 `(8, 2)`.
        visibility: int32 `(8,)`.

    Needs:
        draws: of the garment.
    """
    width = example["image"].shape[1]
    return _flipped(
        example,
        keypoints_xy_crop=lambda points: tf.gather(geometry.mirror_points(points, width), FLIP_SLOTS),
        visibility=lambda visibility: tf.gather(visibility, FLIP_SLOTS),
    )


def flip_image(example):
    """Flip the detector's input and its boxes with probability 0.5.

    Needs and changes:
        image: float32 `(C, C, 3)`.
        boxes_xyxy: float32 `(G, 4)`, pixels of `image`.

    Needs:
        draws: of the photo.
    """
    width = example["image"].shape[1]
    return _flipped(example, boxes_xyxy=lambda boxes: geometry.mirror_boxes(boxes, width))


def _flipped(example, **mirrors):
    """Mirror the image with probability 0.5, and each label, by the function given under its key."""
    mirrors = {"image": lambda image: tf.reverse(image, [1]), **mirrors}
    return tf.cond(
        example["draws"]["flipped"] < FLIP_CHANCE,
        lambda: {**example, **{key: mirror(example[key]) for key, mirror in mirrors.items()}},
        lambda: example,
    )


def turn_crop(example):
    """Turn some crops by 90, 180 or 270 degrees.

    Needs and changes:
        image: float32 `(C, C, 3)`.
        keypoints_xy_crop: float32 `(8, 2)`.

    Needs:
        draws: of the garment.
    """
    return _turned(example, "keypoints_xy_crop", geometry.quarter_turn_points)


def turn_image(example):
    """Turn some of the detector's inputs, with their boxes, by 90, 180 or 270 degrees.

    Needs and changes:
        image: float32 `(C, C, 3)`.
        boxes_xyxy: float32 `(G, 4)`, pixels of `image`.

    Needs:
        draws: of the photo.
    """
    return _turned(example, "boxes_xyxy", geometry.quarter_turn_boxes)


def _turned(example, labels_key, turn_labels):
    draws, image, labels = example["draws"], example["image"], example[labels_key]

    def turned(num_turns):
        return tf.image.rot90(image, num_turns), turn_labels(labels, image.shape[1], num_turns)

    num_turns = tf.cast(draws["num_turns"] * 3.0, tf.int32) + 1
    num_turns = tf.where(draws["quarter_turned"] < QUARTER_TURN_CHANCE, num_turns, 0)
    image, labels = tf.switch_case(num_turns, [functools.partial(turned, k) for k in range(4)])
    return {**example, "image": image, labels_key: labels}
