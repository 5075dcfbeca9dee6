"""The one map at stride 8."""

import keras
import numpy as np
import pytest

from cspn_tf.models.backbones import build_backbone
from cspn_tf.models.fused_features import LEVELS, fused_features
from tests.methods import checks


@pytest.mark.parametrize("separable", [True, False])
def test_has_stride_8_and_the_width(separable):
    config = checks.tiny_config("dlan", separable=separable, crop_size=96)
    features = {f"P{level}": keras.Input((96 // 2**level,) * 2 + (5,)) for level in LEVELS}
    model = keras.Model(features, fused_features(features, config))
    assert model.output_shape == (None, 12, 12, 8)
    assert bool([layer for layer in model.layers if "depthwise" in layer.name]) == separable


def test_every_level_has_a_say():
    config = checks.tiny_config("dlan")
    features = {f"P{level}": keras.Input((64 // 2**level,) * 2 + (5,)) for level in LEVELS}
    model = keras.Model(features, fused_features(features, config))
    random = np.random.default_rng(0)
    values = {name: random.normal(size=(1, *map_.shape[1:])).astype(np.float32) for name, map_ in features.items()}
    before = model(values).numpy()
    for name in values:
        assert np.abs(model({**values, name: values[name] + 1.0}) - before).max() > 1e-3


def test_the_literal_backbone_will_do():
    config = checks.tiny_config("dlan", backbone="vgg16")
    crops = keras.Input((64, 64, 3))
    assert fused_features(build_backbone(config, 64, LEVELS, pretrained=False)(crops), config).shape[1:] == (8, 8, 8)
