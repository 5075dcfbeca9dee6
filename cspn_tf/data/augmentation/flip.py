"""Horizontal flip of images and labels."""

import tensorflow as tf

from cspn_tf import geometry
from cspn_tf.garments import FLIP_SLOTS

FLIP_CHANCE = 0.5


def flip_crop(example):
    """Flip a crop with probability 0.5, and swap its left and right keypoint slots.

    Needs and changes:
        crop: float32 `(C, C, 3)`.
        keypoints_xy_crop: float32 `(8, 2)`.
        visibility: int32 `(8,)`.

    Needs:
        draws: of the garment.
    """
    crop, keypoints, visibility = example["crop"], example["keypoints_xy_crop"], example["visibility"]

    def mirrored():
        points = geometry.mirror_points(keypoints, crop.shape[1])
        return tf.reverse(crop, [1]), tf.gather(points, FLIP_SLOTS), tf.gather(visibility, FLIP_SLOTS)

    crop, keypoints, visibility = tf.cond(
        example["draws"]["flipped"] < FLIP_CHANCE, mirrored, lambda: (crop, keypoints, visibility)
    )
    return {**example, "crop": crop, "keypoints_xy_crop": keypoints, "visibility": visibility}


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
