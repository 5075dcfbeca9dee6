"""FashionNet's landmark branch: outputs, where it starts, that it learns, and what it exports to."""

import numpy as np
import pytest
import tensorflow as tf

from cspn_tf.losses.regression import CoordinateLoss
from cspn_tf.losses.visibility import VisibilityLoss
from cspn_tf.methods.fashionnet import Method
from tests.methods import checks

CONFIG = checks.tiny_config("fashionnet")


@pytest.fixture(scope="module")
def trained():
    return checks.train(CONFIG)


def test_gives_coordinates_and_visibility(trained):
    assert trained.model.input_shape == (None, 64, 64, 3)
    shapes = {name: tuple(value.shape) for name, value in trained.model.output.items()}
    assert shapes == {"coordinates": (None, 8, 2), "visibility": (None, 8)}
    assert Method(CONFIG).prediction_outputs == ("coordinates", "visibility")


def test_hidden_layers_are_16_times_the_width(trained):
    assert [trained.model.get_layer(f"hidden_{index}").units for index in (1, 2)] == [128, 128]


def test_points_at_the_crops_centre_before_training(trained):
    keypoints, scores = Method(CONFIG).decode(trained.untrained_outputs)
    # The centre of 64 pixels lies between pixels 31 and 32.
    np.testing.assert_allclose(keypoints, np.full((4, 8, 2), 31.5), atol=1.5)
    np.testing.assert_allclose(scores, np.full((4, 8), 0.5), atol=0.05)


def test_decodes_shares_of_the_crop_by_hand():
    coordinates = np.zeros((1, 8, 2), np.float32)
    coordinates[0, :3] = [[0.0, 1.0], [0.5, 0.25], [1 / 128, 127 / 128]]
    logits = np.array([[0, np.log(3), -np.log(3), 0, 0, 0, 0, 100]], np.float32)
    outputs = {"coordinates": tf.constant(coordinates), "visibility": tf.constant(logits)}
    keypoints, scores = Method(CONFIG).decode(outputs)
    # The outer edges, and the centres of the first and the last pixel.
    np.testing.assert_allclose(keypoints[0, :3], [[-0.5, 63.5], [31.5, 15.5], [0, 63]], atol=1e-5)
    np.testing.assert_allclose(scores[0], [0.5, 0.75, 0.25, 0.5, 0.5, 0.5, 0.5, 1], atol=1e-6)


def test_has_a_loss_for_each_output():
    losses = Method(CONFIG).losses()
    assert {name: type(loss) for name, (loss, _) in losses.items()} == {
        "coordinates": CoordinateLoss,
        "visibility": VisibilityLoss,
    }
    assert losses["coordinates"][0].crop_size == 64
    assert losses["coordinates"][1] > losses["visibility"][1] > 0


class TestFashionNet(checks.Checks):
    pass
