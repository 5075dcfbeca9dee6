"""The lossy maps from the denser landmarks of DeepFashion2 and FashionAI to our eight keypoints.

Both datasets label more landmarks than DeepFashion, by other rules. A landmark is mapped if it marks the same place;
the others are dropped, and a slot without a landmark is ABSENT:

- collars: the two ends of the neckline, where it meets the shoulder seams. For a garment on straps (DeepFashion2's
  sling and sling dress), where the straps begin.
- sleeves: the outer ends of the cuffs. For sleeveless garments, DeepFashion2's vests have the outer ends of the
  shoulders and its slings the far ends of the straps. FashionAI's have no sleeve keypoints: a row does not say whether
  a cuff is missing because there is no sleeve or because it is outside the photo.
- waistline: for lower-body garments the ends of the waistband. For dresses, FashionAI has the waistline;
  DeepFashion2's landmarks along the sides are evenly spaced and mark no waist.
- hems: the outer corners of the lower hem; for trousers and shorts the outer end of each leg's hem.

In both datasets "left" is the left of the photo for a garment seen from the front, as in DeepFashion.
"""

import dataclasses

from cspn_tf.garments import KEYPOINT_NAMES, GarmentType


@dataclasses.dataclass(frozen=True)
class DeepFashion2Category:
    """One of DeepFashion2's 13 categories.

    Attributes:
        name: as in `category_name`.
        num_landmarks: number of landmarks of the category.
        garment_type: the corresponding `GarmentType`.
        landmark_of_slot: slot → landmark, counted from 1 as in the dataset's figure.
    """

    name: str
    num_landmarks: int
    garment_type: GarmentType
    landmark_of_slot: dict[int, int]


@dataclasses.dataclass(frozen=True)
class FashionAICategory:
    """One of FashionAI's five categories.

    Attributes:
        garment_type: the corresponding `GarmentType`.
        columns: the keypoint columns of the category; the others are absent in its rows.
        column_of_slot: slot → column.
    """

    garment_type: GarmentType
    columns: tuple[str, ...]
    column_of_slot: dict[int, str]


def _by_slot(**pairs):
    """Return slot → value from (left, right) by part: `collar`, `sleeve`, `waistline`, `hem`."""
    return {
        KEYPOINT_NAMES.index(f"{side}_{part}"): value
        for part, pair in pairs.items()
        for side, value in zip(("left", "right"), pair, strict=True)
    }


_UPPER, _LOWER, _FULL = GarmentType.UPPER_BODY, GarmentType.LOWER_BODY, GarmentType.FULL_BODY

# By `category_id`. Source: the numbered outlines of figure 2, https://github.com/switchablenorms/DeepFashion2
# Only short sleeve outwear numbers its collar 4 and 6: there 2 and 26 are the upper ends of the opening.
DEEPFASHION2 = {
    1: DeepFashion2Category("short sleeve top", 25, _UPPER, _by_slot(collar=(2, 6), sleeve=(9, 23), hem=(15, 17))),
    2: DeepFashion2Category("long sleeve top", 33, _UPPER, _by_slot(collar=(2, 6), sleeve=(11, 29), hem=(19, 21))),
    3: DeepFashion2Category("short sleeve outwear", 31, _UPPER, _by_slot(collar=(4, 6), sleeve=(9, 23), hem=(15, 17))),
    4: DeepFashion2Category("long sleeve outwear", 39, _UPPER, _by_slot(collar=(2, 6), sleeve=(11, 29), hem=(19, 21))),
    5: DeepFashion2Category("vest", 15, _UPPER, _by_slot(collar=(2, 6), sleeve=(7, 15), hem=(10, 12))),
    6: DeepFashion2Category("sling", 15, _UPPER, _by_slot(collar=(2, 6), sleeve=(7, 15), hem=(10, 12))),
    7: DeepFashion2Category("shorts", 10, _LOWER, _by_slot(waistline=(1, 3), hem=(5, 9))),
    8: DeepFashion2Category("trousers", 14, _LOWER, _by_slot(waistline=(1, 3), hem=(6, 12))),
    9: DeepFashion2Category("skirt", 8, _LOWER, _by_slot(waistline=(1, 3), hem=(5, 7))),
    10: DeepFashion2Category("short sleeve dress", 29, _FULL, _by_slot(collar=(2, 6), sleeve=(9, 27), hem=(17, 19))),
    11: DeepFashion2Category("long sleeve dress", 37, _FULL, _by_slot(collar=(2, 6), sleeve=(11, 33), hem=(21, 23))),
    12: DeepFashion2Category("vest dress", 19, _FULL, _by_slot(collar=(2, 6), sleeve=(7, 19), hem=(12, 14))),
    13: DeepFashion2Category("sling dress", 19, _FULL, _by_slot(collar=(2, 6), sleeve=(7, 19), hem=(12, 14))),
}

# Columns by the part they mark, left before right.
_NECKLINE = ("neckline_left", "neckline_right")
_SHOULDER = ("shoulder_left", "shoulder_right")
_ARMPIT = ("armpit_left", "armpit_right")
_WAISTLINE = ("waistline_left", "waistline_right")
_CUFF_OUT = ("cuff_left_out", "cuff_right_out")
_TOP_HEM = ("top_hem_left", "top_hem_right")
_WAISTBAND = ("waistband_left", "waistband_right")
_HEMLINE = ("hemline_left", "hemline_right")
_BOTTOM_OUT = ("bottom_left_out", "bottom_right_out")
_CUFFS = ("cuff_left_in", "cuff_left_out", "cuff_right_in", "cuff_right_out")
_BOTTOMS = ("bottom_left_in", "bottom_left_out", "bottom_right_in", "bottom_right_out")
_TOP = (*_NECKLINE, *_SHOULDER, *_ARMPIT, *_CUFFS)

# Every keypoint column, in the order of the dataset's own files.
FASHIONAI_COLUMNS = (
    *(*_NECKLINE, "center_front", *_SHOULDER, *_ARMPIT, *_WAISTLINE, *_CUFFS),
    *(*_TOP_HEM, *_WAISTBAND, *_HEMLINE, "crotch", *_BOTTOMS),
)

# By `image_category`. Source: the terminology of the FashionAI Global Challenge 2018, "Key Points Detection of
# Apparel", https://tianchi.aliyun.com/competition/entrance/231648/information
FASHIONAI = {
    "blouse": FashionAICategory(
        _UPPER, (*_TOP, "center_front", *_TOP_HEM), _by_slot(collar=_NECKLINE, sleeve=_CUFF_OUT, hem=_TOP_HEM)
    ),
    "outwear": FashionAICategory(
        _UPPER, (*_TOP, *_WAISTLINE, *_TOP_HEM), _by_slot(collar=_NECKLINE, sleeve=_CUFF_OUT, hem=_TOP_HEM)
    ),
    "dress": FashionAICategory(
        _FULL,
        (*_TOP, "center_front", *_WAISTLINE, *_HEMLINE),
        _by_slot(collar=_NECKLINE, sleeve=_CUFF_OUT, waistline=_WAISTLINE, hem=_HEMLINE),
    ),
    "skirt": FashionAICategory(_LOWER, (*_WAISTBAND, *_HEMLINE), _by_slot(waistline=_WAISTBAND, hem=_HEMLINE)),
    "trousers": FashionAICategory(
        _LOWER,
        (*_WAISTBAND, "crotch", *_BOTTOMS),
        _by_slot(waistline=_WAISTBAND, hem=_BOTTOM_OUT),
    ),
}
