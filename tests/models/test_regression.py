"""What the regressing networks share: the vector they read."""

import keras
import numpy as np
import pytest

from cspn_tf.models.regression import flattened


def flattened_values(side, channels=2):
    maps = keras.Input((side, side, channels))
    model = keras.Model(maps, flattened(maps))
    values = np.random.default_rng(0).normal(size=(1, side, side, channels)).astype(np.float32)
    return values, model(values).numpy()


@pytest.mark.parametrize("side", [1, 3, 7])
def test_maps_up_to_7_are_read_place_by_place(side):
    values, vector = flattened_values(side)
    np.testing.assert_array_equal(vector, values.reshape(1, -1))


def test_larger_maps_are_averaged_first():
    values, vector = flattened_values(14)
    means = values.reshape(1, 7, 2, 7, 2, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(vector, means.reshape(1, -1), atol=1e-6)


@pytest.mark.parametrize("side, read", [(8, 4), (12, 6), (15, 5), (32, 7)])
def test_places_read_of_a_larger_map_are_at_most_7_a_side(side, read):
    _, vector = flattened_values(side)
    assert vector.shape == (1, read * read * 2)
