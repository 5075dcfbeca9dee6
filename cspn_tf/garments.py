"""Garment types, the eight keypoints, and which garment type has which keypoints.

All other modules read these tables; the keypoint order is defined only here.

The eight keypoint slots, in the paper's order::

    0 LC  left collar      1 RC  right collar
    2 LS  left sleeve      3 RS  right sleeve
    4 LW  left waistline   5 RW  right waistline
    6 LH  left hem         7 RH  right hem

"Left" is as labelled, which is the left of the picture for a garment seen from the front. Mirroring a photo must
therefore swap the slots of each pair; sorting by x would be wrong for garments seen from behind.
"""

import enum


class GarmentType(enum.IntEnum):
    """Garment types, with the ids of DeepFashion's ``clothes_type`` and of the served contract (0 is padding)."""

    UPPER_BODY = 1
    LOWER_BODY = 2
    FULL_BODY = 3


class Visibility(enum.IntEnum):
    """A keypoint's visibility label. Labelled keypoints, which have coordinates, are those above zero."""

    CUT_OFF = -1  # outside the photo: no coordinates
    ABSENT = 0  # the garment type does not have it, or it is not labelled: no coordinates
    OCCLUDED = 1  # hidden behind something, with coordinates
    VISIBLE = 2  # visible, with coordinates


class Variation(enum.IntEnum):
    """DeepFashion FLD's ``variation_type``; 0 if a source does not have it."""

    UNKNOWN = 0
    NORMAL_POSE = 1
    MEDIUM_POSE = 2
    LARGE_POSE = 3
    MEDIUM_ZOOM_IN = 4
    LARGE_ZOOM_IN = 5


KEYPOINT_NAMES = (
    "left_collar",
    "right_collar",
    "left_sleeve",
    "right_sleeve",
    "left_waistline",
    "right_waistline",
    "left_hem",
    "right_hem",
)
KEYPOINT_ABBREVIATIONS = ("LC", "RC", "LS", "RS", "LW", "RW", "LH", "RH")
NUM_KEYPOINTS = len(KEYPOINT_NAMES)

GARMENT_TYPE_NAMES = {
    GarmentType.UPPER_BODY: "upper-body",
    GarmentType.LOWER_BODY: "lower-body",
    GarmentType.FULL_BODY: "full-body",
}
TYPE_OF_NAME = {name: garment_type for garment_type, name in GARMENT_TYPE_NAMES.items()}
NUM_GARMENT_TYPES = len(GARMENT_TYPE_NAMES)

# The keypoint slots of each garment type, in the order of DeepFashion's text files.
KEYPOINT_SLOTS = {
    GarmentType.UPPER_BODY: (0, 1, 2, 3, 6, 7),
    GarmentType.LOWER_BODY: (4, 5, 6, 7),
    GarmentType.FULL_BODY: (0, 1, 2, 3, 4, 5, 6, 7),
}

# Lines drawn between keypoints: collar, the two sleeves, waistline, hem.
SKELETON = ((0, 1), (0, 2), (1, 3), (4, 5), (6, 7))

# FLIP_SLOTS[k] is the slot that slot k becomes when the photo is mirrored.
FLIP_SLOTS = (1, 0, 3, 2, 5, 4, 7, 6)

# The keypoint pair whose distance normalises the paper's error (equation 3).
NORMALISER_SLOTS = {
    GarmentType.UPPER_BODY: (2, 3),
    GarmentType.LOWER_BODY: (4, 5),
    GarmentType.FULL_BODY: (2, 3),
}

# Minimum distance of the normalising pair, pixels of the photo. Below it the error is undefined: dividing by the
# distance would only amplify noise.
MIN_NORMALISER_DISTANCE = 10.0

# Row t is 1.0 at the slots of garment type t, else 0.0; row 0, padding, is all zeros.
KEYPOINTS_OF_TYPE = tuple(
    tuple(float(t in KEYPOINT_SLOTS and k in KEYPOINT_SLOTS[t]) for k in range(NUM_KEYPOINTS))
    for t in range(NUM_GARMENT_TYPES + 1)
)
