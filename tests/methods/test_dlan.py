"""DLAN: outputs, the selected dilation, views that begin as everything, and what it exports to."""

import numpy as np
import pytest

from cspn_tf.methods import dlan
from cspn_tf.methods.dlan import Method, SelectiveDilatedConv
from tests.methods import checks

CONFIG = checks.tiny_config("dlan")


@pytest.fixture(scope="module")
def trained():
    return checks.train(CONFIG)


@pytest.fixture(scope="module")
def full():
    """An untrained network without separable convolutions."""
    return Method(checks.tiny_config("dlan", separable=False)).build()


# Selective dilated convolution ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("separable", [True, False])
def test_the_strongest_dilation_is_selected_by_hand(separable):
    layer = SelectiveDilatedConv(1, separable=separable)
    layer.build((None, 7, 7, 1))
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, 2] = 1.0  # the pixel to the right
    layer.kernel.assign(kernel)
    row = np.array([0, 3, 1, -2, -5, 4, 2], np.float32)
    x = np.tile(row.reshape(1, 1, 7, 1), (1, 7, 1, 1))
    # The largest of the pixels one, two and four to the right, with zeros outside.
    expected = [3, 4, 2, 4, 4, 2, 0]
    np.testing.assert_allclose(layer(x)[0, :, :, 0], np.tile(expected, (7, 1)), atol=1e-6)


@pytest.mark.parametrize("separable, kernel, channels", [(True, (3, 3, 6, 1), 6), (False, (3, 3, 6, 4), 4)])
def test_dilations_share_one_kernel(separable, kernel, channels):
    layer = SelectiveDilatedConv(4, separable=separable)
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 6)).astype(np.float32)
    assert layer(x).shape == (2, 8, 8, channels)
    assert [tuple(weight.shape) for weight in layer.weights] == [kernel]


# The network ---------------------------------------------------------------------------------------------------------


def test_gives_the_garments_heatmaps_and_the_prediction(trained):
    shapes = {name: tuple(value.shape) for name, value in trained.model.output.items()}
    assert shapes == {"garment_heatmaps": (None, 16, 16, 8), "heatmaps": (None, 16, 16, 8)}
    assert Method(CONFIG).prediction_outputs == ("heatmaps",)
    assert max(np.abs(value).max() for value in trained.untrained_outputs.values()) < 0.5


def test_convolutions_are_separable_only_where_the_config_says_so(trained, full):
    (selective,) = [layer for layer in trained.model.layers if isinstance(layer, SelectiveDilatedConv)]
    assert selective.separable and "selective_mix_conv" in {layer.name for layer in trained.model.layers}
    assert not full.get_layer("selective").separable
    assert not [layer.name for layer in full.layers if "depthwise" in layer.name]
    assert full.output["heatmaps"].shape == (None, 16, 16, 8)


def windows_seen(model, crops):
    """Return the windows on the fused features that each look through a window has, name to `(..., 4)`."""
    names = [layer.name for layer in model.layers if isinstance(layer, dlan.WindowSampling)]
    tensors = {name: model.get_layer(name).input[1] for name in names}
    return {name: value.numpy() for name, value in dlan.keras.Model(model.input, tensors)(crops).items()}


def test_every_window_shows_everything_before_training(full):
    crops, _ = checks.crops_and_targets()
    seen = windows_seen(full, crops)
    views = {"garment_view_0", "garment_view_1", "garment_view", "keypoint_view"}
    assert set(seen) == views | {"garment_back", "keypoint_back"}
    for name, windows in seen.items():
        assert windows.shape == (32 if name.startswith("keypoint") else 4, 4)
        np.testing.assert_array_equal(windows, np.tile(dlan.WHOLE, (len(windows), 1)))


def test_training_moves_the_windows_and_maps_back_through_their_inverse(trained):
    crops, _ = checks.crops_and_targets()
    seen = windows_seen(trained.model, crops)
    for name in ("garment_view", "keypoint_view"):
        assert np.abs(seen[name] - dlan.WHOLE).max() > 1e-3
    np.testing.assert_allclose(seen["garment_back"], dlan.invert(seen["garment_view"]), atol=1e-5)
    # Eight keypoints for each garment, on the garment's view.
    on_crop = dlan.compose(np.repeat(seen["garment_view"], 8, axis=0), seen["keypoint_view"])
    np.testing.assert_allclose(seen["keypoint_back"], dlan.invert(on_crop), atol=1e-5)


def test_a_look_halves_or_doubles_and_moves_by_half_a_side_at_most():
    look = dlan._Look(8, 8, 1, "look")
    view = dlan.keras.Input((8, 8, 8))
    model = dlan.keras.Model(view, look(view))
    values = np.ones((1, 8, 8, 8), np.float32)
    look._moves.bias.assign([100.0, -100.0, 100.0, -100.0])
    np.testing.assert_allclose(model(values)[0, 0], [1.0, 0.0, 2.0, 0.5], atol=1e-6)


class TestDlan(checks.HeatmapChecks):
    falls_to = 0.6
