"""Which photos are shown, and how scores are drawn."""

import io

import numpy as np

from cspn_tf.evaluation.calibration import measure_calibration
from cspn_tf.evaluation.matching import match_photos
from cspn_tf.evaluation.pictures import draw_reliability, worst_photos
from cspn_tf.garment_set import Garments
from cspn_tf.result import Result

BOX = [0.0, 0.0, 100.0, 100.0]


def photo(offset_x, visibility=2, found=True):
    """Return the labels of a photo with one garment, and a prediction that is off by `offset_x`."""
    keypoints = np.full((1, 8, 2), 50.0)
    truth = Garments([3], [BOX], keypoints, visibility=np.full((1, 8), visibility), variations=[1])
    detection = Garments([3], [BOX], keypoints + [offset_x, 0], scores=[0.9], keypoint_scores=np.ones((1, 8)))
    return truth, Result(0, (100, 100), detection[: int(found)])


def test_the_worst_photos_come_first():
    photos = [photo(9), photo(1), photo(16), photo(0, found=False), photo(30, visibility=0), photo(0)]
    matched = match_photos(*zip(*photos, strict=True))
    assert worst_photos(matched, 3) == [3, 2, 0]
    # A photo without labelled keypoints is none of them.
    assert worst_photos(matched, 10) == [3, 2, 0, 1, 5]


def test_reliability_is_a_picture_also_of_nothing():
    from PIL import Image

    measured = {"scores": measure_calibration([0.1, 0.9], [False, True]), "nothing": measure_calibration([], [])}
    content = io.BytesIO()
    draw_reliability(measured, content)
    with Image.open(content) as picture:
        assert picture.format == "PNG"
