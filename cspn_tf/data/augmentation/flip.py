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
    image, keypoints, visibility = example["image"], example["keypoints_xy_crop"], example["visibility"]

    def mirrored():
        points = geometry.mirror_points(keypoints, image.shape[1])
        return tf.reverse(image, [1]), tf.gather(points, FLIP_SLOTS), tf.gather(visibility, FLIP_SLOTS)

    image, keypoints, visibility = tf.cond(
        example["draws"]["flipped"] < FLIP_CHANCE, mirrored, lambda: (image, keypoints, visibility)
    )
    return {**example, "image": image, "keypoints_xy_crop": keypoints, "visibility": visibility}


def flip_image(example):
    """Flip the detector's input and its boxes with probability 0.5.

    Needs and changes:
        image: float32 `(C, C, 3)`.
        boxes_xyxy: float32 `(G, 4)`, pixels of `image`.

    Needs:
        draws: of the photo.
    """
    image, boxes = example["image"], example["boxes_xyxy"]
    image, boxes = tf.cond(
        example["draws"]["flipped"] < FLIP_CHANCE,
        lambda: (tf.reverse(image, [1]), geometry.mirror_boxes(boxes, image.shape[1])),
        lambda: (image, boxes),
    )
    return {**example, "image": image, "boxes_xyxy": boxes}


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
