"""FashionNet's landmark branch: outputs, where it starts, that it learns, and what it exports to."""

import numpy as np
import pytest
import tensorflow as tf

from cspn_tf.losses.fashionnet import fashionnet_losses
from cspn_tf.models import fashionnet
from cspn_tf.models.fashionnet import build_fashionnet, decode_outputs, prediction_names
from tests.models import keypoint_methods as methods

CONFIG = methods.tiny_config("fashionnet")


@pytest.fixture(scope="module")
def trained():
    return methods.train(build_fashionnet, CONFIG, fashionnet_losses(CONFIG))


def test_gives_coordinates_and_visibility(trained):
    assert trained.model.input_shape == (None, 64, 64, 3)
    shapes = {name: tuple(value.shape) for name, value in trained.model.output.items()}
    assert shapes == {"coordinates": (None, 8, 2), "visibility": (None, 8)}
    assert prediction_names(CONFIG) == ("coordinates", "visibility")


def test_hidden_layers_are_16_times_the_width(trained):
    assert [trained.model.get_layer(f"hidden_{index}").units for index in (1, 2)] == [128, 128]


def test_points_at_the_crops_centre_before_training(trained):
    keypoints, scores = decode_outputs(trained.untrained_outputs, CONFIG)
    # The centre of 64 pixels lies between pixels 31 and 32.
    np.testing.assert_allclose(keypoints, np.full((4, 8, 2), 31.5), atol=1.5)
    np.testing.assert_allclose(scores, np.full((4, 8), 0.5), atol=0.05)


def test_decodes_shares_of_the_crop_by_hand():
    coordinates = np.zeros((1, 8, 2), np.float32)
    coordinates[0, :3] = [[0.0, 1.0], [0.5, 0.25], [1 / 128, 127 / 128]]
    logits = np.array([[0, np.log(3), -np.log(3), 0, 0, 0, 0, 100]], np.float32)
    outputs = {"coordinates": tf.constant(coordinates), "visibility": tf.constant(logits)}
    keypoints, scores = decode_outputs(outputs, CONFIG)
    # The outer edges, and the centres of the first and the last pixel.
    np.testing.assert_allclose(keypoints[0, :3], [[-0.5, 63.5], [31.5, 15.5], [0, 63]], atol=1e-5)
    np.testing.assert_allclose(scores[0], [0.5, 0.75, 0.25, 0.5, 0.5, 0.5, 0.5, 1], atol=1e-6)


class TestFashionNet(methods.Checks):
    module = fashionnet
