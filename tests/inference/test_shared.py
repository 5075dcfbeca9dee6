"""Networks behind one detector answer as their own pipelines do."""

import numpy as np
import pytest

from cspn_tf.contract import OUTPUTS
from cspn_tf.inference.shared import SharedDetector


@pytest.fixture(scope="module")
def shared(tiny_detector, tiny_keypoints):
    return SharedDetector(tiny_detector, [tiny_keypoints, tiny_keypoints])


def test_outputs_are_those_of_the_pipeline(shared, tiny_pipeline, photo_files):
    photos = [*photo_files, b"no photo"]
    seen = shared.detect(photos)
    expected = tiny_pipeline.serve(photos)
    assert expected["num_garments"].numpy().sum() > 0
    for index in (0, 1):
        outputs = shared.keypoints(index, seen)
        for name in OUTPUTS:
            # Peaks of a hardly trained network are so flat that rounding moves them by thousandths of a pixel.
            np.testing.assert_allclose(outputs[name], expected[name], atol=0.02, err_msg=name)


def test_keypoints_in_boxes_are_those_of_the_pipeline(shared, tiny_pipeline, photo_files):
    photos = [photo_files[0], b"no photo", photo_files[1], photo_files[2]]
    boxes = [
        np.array([[10, 20, 90, 110], [0, 0, 100, 100]], np.float32),
        np.array([[1, 2, 3, 4]], np.float32),
        np.zeros((0, 4), np.float32),
        np.array([[5, 5, 70, 100]], np.float32),
    ]
    types = [np.array([1, 2]), np.array([3]), np.zeros(0, int), np.array([3])]
    found = shared.keypoints_in_boxes(1, shared.detect(photos), boxes, types)
    assert found[1] is None
    assert found[2].shape == (0, 8, 2)
    for photo in (0, 3):
        alone, _ = tiny_pipeline.keypoints_in_boxes(photos[photo], boxes[photo], types[photo].astype(np.int32))
        np.testing.assert_allclose(found[photo], alone, atol=0.02)


def test_photos_without_any_box_have_no_keypoints(shared, photo_files):
    nothing = [np.zeros((0, 4), np.float32)], [np.zeros(0, int)]
    (found,) = shared.keypoints_in_boxes(0, shared.detect(photo_files[:1]), *nothing)
    assert found.shape == (0, 8, 2)
