"""What holds for every method of finding keypoints."""

import dataclasses

import keras
import numpy as np
import pytest

from cspn_tf.config import METHODS, preset
from cspn_tf.losses import keypoint_losses
from cspn_tf.models import backbones
from cspn_tf.models.dfa import NUM_PSEUDO_LABELS
from cspn_tf.models.keypoint_networks import build_keypoint_network, decode_prediction, prediction_network

TINY = dataclasses.replace(preset("tiny").keypoints, crop_size=64, width=8)


def config_of(method):
    return dataclasses.replace(TINY, method=method)


@pytest.mark.parametrize("method", METHODS)
def test_every_output_has_a_loss_and_inference_reads_some_of_them(method):
    config = config_of(method)
    model = build_keypoint_network(config)
    losses, weights = keypoint_losses(config, centres=np.zeros((2, NUM_PSEUDO_LABELS, 8, 2)))
    assert set(losses) == set(weights) == set(model.output)
    prediction = prediction_network(model, config)
    assert set(prediction.output) <= set(model.output)
    crops = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    keypoints_xy, scores = decode_prediction(prediction(crops), config)
    assert keypoints_xy.shape == (2, 8, 2) and scores.shape == (2, 8)
    assert (scores >= 0).numpy().all() and (scores <= 1).numpy().all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("pretrained, asked", [(True, "imagenet"), (False, "none")])
def test_the_backbone_is_the_config_s(method, pretrained, asked, monkeypatch):
    class Asked(Exception):
        pass

    def build_backbone(name, *args, **kwargs):
        raise Asked(name, kwargs)

    monkeypatch.setattr(backbones, "build_backbone", build_backbone)
    config = dataclasses.replace(config_of(method), backbone="vgg16", weights="imagenet", frozen_level=3)
    with pytest.raises(Asked) as caught:
        build_keypoint_network(config, pretrained=pretrained)
    assert caught.value.args == ("vgg16", {"weights": asked, "frozen_level": 3})
    keras.backend.clear_session()
