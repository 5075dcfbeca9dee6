"""Lengths of a garment from its keypoints, in pixels and in centimetres, with their uncertainty.

::

    for name, length in result.garments[0].lengths(cm_per_pixel=0.21).items():
        print(name, length)  # waist_width 212 ± 9 px, 44.5 ± 1.9 cm

All are straight-line distances in the photo, see `LENGTHS`. They equal those of the garment only if it lies flat,
parallel to the camera's sensor, at the distance for which the scale holds: a bent arm shortens a sleeve, and the width
of a worn waistline is at most half its girth.
"""

import dataclasses
import math
import numbers

import numpy as np

from cspn_tf.garments import GARMENT_TYPE_NAMES, KEYPOINT_ABBREVIATIONS, KEYPOINT_NAMES, GarmentType

# Name → its two ends, each the mean of the listed keypoints.
LENGTHS = {
    "collar_width": (("LC",), ("RC",)),
    "left_shoulder_to_cuff": (("LC",), ("LS",)),
    "right_shoulder_to_cuff": (("RC",), ("RS",)),
    "body_length": (("LC", "RC"), ("LH", "RH")),
    "waist_width": (("LW",), ("RW",)),
    "hem_width": (("LH",), ("RH",)),
    "left_outseam": (("LW",), ("LH",)),
    "right_outseam": (("RW",), ("RH",)),
}
LENGTHS_OF_TYPE = {
    GarmentType.UPPER_BODY: (
        *("collar_width", "left_shoulder_to_cuff", "right_shoulder_to_cuff", "body_length", "hem_width"),
    ),
    GarmentType.LOWER_BODY: ("waist_width", "hem_width", "left_outseam", "right_outseam"),
    GarmentType.FULL_BODY: (
        *("collar_width", "left_shoulder_to_cuff", "right_shoulder_to_cuff", "body_length", "waist_width"),
        "hem_width",
    ),
}

# Keypoints with a lower visibility score are not used.
MIN_VISIBLE = 0.5

# Standard deviation of a visible keypoint's error along one axis, as a fraction of the long side of the garment's box,
# by type and keypoint. Measured by `cspn-tf evaluate` ("keypoint_sds" in metrics.json) with the shipped networks on the
# street and the flat-lay test photos of `training/labels`; mean of both.
KEYPOINT_SDS = {
    GarmentType.UPPER_BODY: (0.014, 0.016, 0.017, 0.014, 0.0, 0.0, 0.010, 0.015),
    GarmentType.LOWER_BODY: (0.0, 0.0, 0.0, 0.0, 0.013, 0.008, 0.009, 0.008),
    GarmentType.FULL_BODY: (0.014, 0.014, 0.013, 0.013, 0.020, 0.021, 0.012, 0.011),
}


@dataclasses.dataclass(frozen=True)
class Length:
    """One length of a garment.

    Attributes:
        pixels: length in photo pixels; None if not measurable.
        pixels_sd: its standard deviation, from that of the keypoints; None likewise.
        cm: length in centimetres; None if not measurable or the scale is unknown.
        cm_sd: its standard deviation; includes that of the scale if the scale comes from a known length. None likewise.
        missing: names of the keypoints that are not visible or not found; empty if measurable.
    """

    pixels: float | None = None
    pixels_sd: float | None = None
    cm: float | None = None
    cm_sd: float | None = None
    missing: tuple[str, ...] = ()

    @property
    def measurable(self) -> bool:
        """Whether the length could be measured."""
        return self.pixels is not None

    def __str__(self):
        if not self.measurable:
            return f"not measurable: {', '.join(self.missing)} not visible"
        in_cm = "" if self.cm is None else f", {self.cm:.1f} ± {self.cm_sd:.1f} cm"
        return f"{self.pixels:.0f} ± {self.pixels_sd:.0f} px{in_cm}"


def lengths_of(garment, cm_per_pixel=None, known_cm=None, keypoint_sds=None) -> dict[str, Length]:
    """Measure the lengths of one garment.

    Args:
        garment: `Garments` of one row, predicted or labelled.
        cm_per_pixel: scale of the photo at the garment's distance; or None.
        known_cm: alternatively, a dict of one length's name to its centimetres, to derive the scale from; or None.
        keypoint_sds: `(8,)`, standard deviations as in `KEYPOINT_SDS`; None for those of the garment's type.

    Returns:
        Dict of name to `Length`, in the order of `LENGTHS_OF_TYPE`.

    Raises:
        ValueError: `garment` does not have exactly one row; both scales are given, or one is not a finite number above
            0; or the garment type does not have the known length.
        TypeError: `known_cm` is not a dict.
    """
    if len(garment) != 1:
        raise ValueError(f"garment must be one garment, such as garments[0]; received {len(garment)}")
    garment_type = GarmentType(int(garment.types[0]))
    if not isinstance(known_cm, dict | None):
        raise TypeError(f"known_cm must be a dict, such as {{'body_length': 70.0}}; received {known_cm!r}")
    given = [cm_per_pixel] if cm_per_pixel is not None else []
    given += list(known_cm.values()) if known_cm is not None else []
    if len(given) > 1 or (known_cm is not None and len(known_cm) != 1):
        raise ValueError("give one scale: cm_per_pixel, or known_cm with one length")
    if any(not isinstance(value, numbers.Real) or not value > 0 or math.isinf(value) for value in given):
        raise ValueError(f"a scale must be a number above 0, received {given[0]!r}")
    sds = KEYPOINT_SDS[garment_type] if keypoint_sds is None else keypoint_sds
    x_min, y_min, x_max, y_max = garment.boxes_xyxy[0].tolist()
    sds = np.asarray(sds) * max(x_max - x_min, y_max - y_min)
    usable = _usable(garment)
    found = {name: _length(name, garment.keypoints_xy[0], usable, sds) for name in LENGTHS_OF_TYPE[garment_type]}
    if cm_per_pixel is not None:
        return {name: _in_cm(length, cm_per_pixel, 0.0) for name, length in found.items()}
    if known_cm is not None:
        ((name, cm),) = known_cm.items()
        if name not in found:
            raise ValueError(
                f"{GARMENT_TYPE_NAMES[garment_type]} garments have no {name}; their lengths are {', '.join(found)}"
            )
        known = found[name]
        if not known.measurable or not known.pixels:
            return found
        scaled = {key: _in_cm(value, cm / known.pixels, known.pixels_sd / known.pixels) for key, value in found.items()}
        return {**scaled, name: dataclasses.replace(known, cm=cm, cm_sd=0.0)}
    return found


def _usable(garment):
    """Return which keypoints can be used for measuring, bool `(8,)`."""
    if garment.keypoint_scores is not None:
        return garment.of_type[0] & (garment.keypoint_scores[0] >= MIN_VISIBLE)
    return garment.visible[0]


def _length(name, keypoints_xy, usable, sds) -> Length:
    ends = [[KEYPOINT_ABBREVIATIONS.index(short) for short in end] for end in LENGTHS[name]]
    missing = tuple(KEYPOINT_NAMES[slot] for end in ends for slot in end if not usable[slot])
    if missing:
        return Length(missing=missing)
    first, second = (keypoints_xy[end].mean(axis=0) for end in ends)
    variance = sum(float((sds[end] ** 2).sum()) / len(end) ** 2 for end in ends)
    return Length(float(np.hypot(*(first - second))), math.sqrt(variance))


def _in_cm(length, cm_per_pixel, scale_sd) -> Length:
    """Return a length with centimetres; `scale_sd` is the relative standard deviation of the scale."""
    if not length.measurable:
        return length
    cm = length.pixels * cm_per_pixel
    return dataclasses.replace(length, cm=cm, cm_sd=math.hypot(length.pixels_sd * cm_per_pixel, cm * scale_sd))
