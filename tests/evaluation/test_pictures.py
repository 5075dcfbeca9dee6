"""Which photos are shown, and how scores are drawn."""

import io

import numpy as np

from cspn_tf.evaluation.calibration import measure_calibration
from cspn_tf.evaluation.measures import PhotoPrediction, PhotoTruth
from cspn_tf.evaluation.pictures import draw_reliability, worst_photos

BOX = [0.0, 0.0, 100.0, 100.0]


def photo(offset_x, visibility=2, found=True):
    """Return the labels of a photo with one garment, and a prediction that is off by `offset_x`."""
    keypoints = np.full((1, 8, 2), 50.0)
    truth = PhotoTruth("", np.array([3]), np.array([1]), np.array([BOX]), keypoints, np.full((1, 8), visibility))
    num = int(found)
    prediction = PhotoPrediction(
        np.array([3] * num, int),
        np.array([0.9] * num),
        np.array([BOX] * num).reshape(num, 4),
        (keypoints + [offset_x, 0])[:num],
        np.ones((num, 8)),
    )
    return truth, prediction


def test_the_worst_photos_come_first():
    photos = [photo(9), photo(1), photo(16), photo(0, found=False), photo(30, visibility=0), photo(0)]
    truths, predictions = zip(*photos, strict=True)
    assert worst_photos(truths, predictions, 3) == [3, 2, 0]
    # A photo without labelled keypoints is none of them.
    assert worst_photos(truths, predictions, 10) == [3, 2, 0, 1, 5]


def test_reliability_is_a_picture_also_of_nothing():
    from PIL import Image

    measured = {"scores": measure_calibration([0.1, 0.9], [False, True]), "nothing": measure_calibration([], [])}
    content = io.BytesIO()
    draw_reliability(measured, content)
    with Image.open(content) as picture:
        assert picture.format == "PNG"
