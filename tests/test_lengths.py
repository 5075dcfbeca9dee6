"""Lengths against distances worked out by hand, and what is said where there is none."""

import math

import numpy as np
import pytest

from cspn_tf.garment_set import Garments
from cspn_tf.garments import GarmentType, Visibility
from cspn_tf.lengths import LENGTHS_OF_TYPE, lengths_of

#             LC        RC        LS         RS         LW         RW         LH         RH
POINTS = [(40, 10), (60, 10), (10, 50), (90, 50), (35, 70), (65, 70), (30, 110), (70, 110)]
SDS = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08])


def garment(garment_type, hidden=(), box=(0, 10, 100, 110), points=POINTS):
    scores = np.where(np.isin(np.arange(8), hidden), 0.4, 0.9)
    return Garments([garment_type], [box], [points], scores=[0.9], keypoint_scores=[scores])


def test_an_upper_body_garment_by_hand():
    found = garment(GarmentType.UPPER_BODY).lengths()
    assert list(found) == list(LENGTHS_OF_TYPE[GarmentType.UPPER_BODY])
    assert found["collar_width"].pixels == 20
    assert found["hem_width"].pixels == 40
    assert found["left_shoulder_to_cuff"].pixels == pytest.approx(50)  # 30 across, 40 down
    assert found["right_shoulder_to_cuff"].pixels == pytest.approx(50)
    assert found["body_length"].pixels == pytest.approx(100)
    assert all(length.cm is None and length.measurable for length in found.values())


def test_a_lower_body_garment_by_hand():
    found = garment(GarmentType.LOWER_BODY).lengths()
    assert {name: round(length.pixels, 3) for name, length in found.items()} == {
        "waist_width": 30,
        "hem_width": 40,
        "left_outseam": round(math.hypot(5, 40), 3),
        "right_outseam": round(math.hypot(5, 40), 3),
    }


def test_the_deviation_is_that_of_the_ends_times_the_long_side():
    found = lengths_of(garment(GarmentType.FULL_BODY, box=(0, 0, 50, 200)), keypoint_sds=SDS)
    assert found["collar_width"].pixels_sd == pytest.approx(200 * math.hypot(0.01, 0.02))
    middle = math.sqrt(0.01**2 + 0.02**2 + 0.07**2 + 0.08**2) / 2  # both ends are means of two
    assert found["body_length"].pixels_sd == pytest.approx(200 * middle)


def test_the_deviation_is_that_of_many_disturbed_garments():
    rng = np.random.default_rng(3)
    stated = lengths_of(garment(GarmentType.UPPER_BODY), keypoint_sds=SDS)
    points = np.array(POINTS) + rng.normal(size=(2000, 8, 2)) * 100 * SDS[:, np.newaxis] * 0.1
    measured = [lengths_of(garment(GarmentType.UPPER_BODY, points=p), keypoint_sds=SDS) for p in points]
    for name in ("left_shoulder_to_cuff", "body_length", "hem_width"):
        spread = np.std([lengths[name].pixels for lengths in measured])
        assert spread == pytest.approx(0.1 * stated[name].pixels_sd, rel=0.1)


def test_a_hidden_keypoint_makes_only_its_lengths_unmeasurable():
    found = garment(GarmentType.UPPER_BODY, hidden=[2]).lengths(cm_per_pixel=0.5)
    assert not found["left_shoulder_to_cuff"].measurable
    assert found["left_shoulder_to_cuff"].missing == ("left_sleeve",)
    assert found["left_shoulder_to_cuff"].cm is None
    assert str(found["left_shoulder_to_cuff"]) == "not measurable: left_sleeve not visible"
    assert all(length.measurable for name, length in found.items() if name != "left_shoulder_to_cuff")


def test_a_scale_gives_centimetres():
    found = garment(GarmentType.UPPER_BODY).lengths(cm_per_pixel=0.5)
    assert found["hem_width"].cm == 20
    assert found["hem_width"].cm_sd == pytest.approx(0.5 * found["hem_width"].pixels_sd)
    assert str(found["hem_width"]).startswith("40 ± ") and " px, 20.0 ± " in str(found["hem_width"])


def test_a_known_length_is_the_scale_and_adds_its_own_deviation():
    found = lengths_of(garment(GarmentType.UPPER_BODY), known_cm={"hem_width": 50.0}, keypoint_sds=SDS)
    assert (found["hem_width"].cm, found["hem_width"].cm_sd) == (50.0, 0.0)
    assert found["body_length"].cm == pytest.approx(125)
    own, of_scale = found["body_length"].pixels_sd / 100, found["hem_width"].pixels_sd / 40
    assert found["body_length"].cm_sd == pytest.approx(125 * math.hypot(own, of_scale))


def test_a_known_length_that_is_hidden_gives_pixels_alone():
    found = garment(GarmentType.UPPER_BODY, hidden=[6]).lengths(known_cm={"hem_width": 50.0})
    assert found["body_length"].missing == ("left_hem",)
    assert found["collar_width"].pixels == 20 and found["collar_width"].cm is None


def test_labels_are_measured_by_what_is_labelled_as_visible():
    visibility = np.full(8, Visibility.VISIBLE)
    visibility[6] = Visibility.OCCLUDED
    label = Garments.label(GarmentType.UPPER_BODY, (0, 10, 100, 110), POINTS, visibility)
    found = label.lengths()
    assert found["collar_width"].pixels == 20 and not found["hem_width"].measurable


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cm_per_pixel": 0.0}, "a scale must be a number above 0, received 0.0"),
        ({"cm_per_pixel": "1"}, "a scale must be a number above 0, received '1'"),
        ({"known_cm": {"hem_width": float("nan")}}, "a scale must be a number above 0, received nan"),
        ({"known_cm": {}}, "give one scale: cm_per_pixel, or known_cm with one length"),
        ({"cm_per_pixel": 1.0, "known_cm": {"hem_width": 1.0}}, "give one scale: cm_per_pixel, or known_cm with one"),
        ({"known_cm": {"left_outseam": 9.0}}, "upper-body garments have no left_outseam; their lengths are collar"),
    ],
)
def test_refuses_scales_that_are_none(arguments, message):
    with pytest.raises(ValueError, match=message):
        garment(GarmentType.UPPER_BODY).lengths(**arguments)


def test_a_known_length_needs_its_name():
    with pytest.raises(TypeError, match=r"known_cm must be a dict, such as .*; received 41\.0"):
        garment(GarmentType.UPPER_BODY).lengths(known_cm=41.0)


def test_refuses_several_garments():
    with pytest.raises(ValueError, match="garment must be one garment, such as garments\\[0\\]; received 0"):
        Garments([], [], []).lengths()
