"""Costs of small networks, by hand."""

import keras
import pytest

from cspn_tf.reproduction import costs


def convolution(**options):
    return keras.Sequential([keras.layers.Conv2D(5, 3, padding="same", input_shape=(8, 8, 2), **options)])


def test_operations_are_two_for_each_multiplication_with_its_addition():
    # 64 places, 9 x 2 weights for each of 5 channels.
    assert costs.num_flops_of(convolution(use_bias=False), (1, 8, 8, 2)) == 2 * 64 * 18 * 5
    assert costs.num_flops_of(convolution(), (1, 8, 8, 2)) == 2 * 64 * 18 * 5 + 64 * 5


def test_a_depthwise_convolution_is_counted_as_what_it_is():
    model = keras.Sequential([keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False, input_shape=(8, 8, 2))])
    assert costs.num_flops_of(model, (1, 8, 8, 2)) == 2 * 64 * 9 * 2


def test_parameters_are_weights_without_statistics():
    model = keras.Sequential([*convolution().layers, keras.layers.BatchNormalization()])
    model.build((None, 8, 8, 2))
    assert costs.num_parameters(model) == 9 * 2 * 5 + 5 + 2 * 5


@pytest.mark.slow
def test_a_garment_of_training_takes_some_time(tiny_data):
    from cspn_tf.config import PRESETS, TrainingConfig, override

    config = override(PRESETS["tiny"], ["keypoints.method=fashionnet", "keypoints.crop_size=32", "keypoints.width=4"])
    seconds = costs.training_seconds(config, TrainingConfig(epochs=1, batch_size=4, learning_rate=1e-3), tiny_data)
    assert 0 < seconds < 10
