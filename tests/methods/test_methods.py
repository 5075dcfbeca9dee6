"""What holds for every method of finding keypoints."""

from pathlib import Path

import keras
import numpy as np
import pytest

from cspn_tf import methods
from cspn_tf.config import METHODS
from cspn_tf.methods import method_of
from cspn_tf.models import backbones
from tests.methods.checks import tiny_config


def test_every_method_is_a_file_of_its_name_on_the_list():
    files = {path.stem for path in Path(methods.__file__).parent.glob("*.py")} - {"__init__", "base"}
    assert files == set(METHODS)
    assert [method_of(tiny_config(name)).name for name in METHODS] == list(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_only_pseudo_labels_look_at_the_labels_before_training(method):
    read = []

    def read_labels():
        read.append(method)
        return np.random.default_rng(1).uniform(0, 1, (30, 8, 2)), np.ones((30, 8))

    statistics = method_of(tiny_config(method)).label_statistics(read_labels, seed=1)
    assert len(read) == (method == "dfa")
    assert (None if statistics is None else statistics.shape) == ((2, 20, 8, 2) if method == "dfa" else None)


@pytest.mark.parametrize("method", METHODS)
def test_every_output_has_a_loss_and_inference_reads_some_of_them(method):
    method = method_of(tiny_config(method))
    model = method.build()
    random = np.random.default_rng(1)
    labels = random.uniform(0, 1, (30, 8, 2)), np.ones((30, 8))
    losses = method.losses(method.label_statistics(lambda: labels, seed=1))
    assert model.name == method.name and set(losses) == set(model.output)
    assert all(isinstance(loss, keras.losses.Loss) and weight > 0 for loss, weight in losses.values())
    prediction = method.prediction_network(model)
    assert set(prediction.output) == set(method.prediction_outputs) <= set(model.output)
    crops = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    keypoints_xy, scores = method.decode(prediction(crops))
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
    config = tiny_config(method, backbone="vgg16", weights="imagenet", frozen_level=3)
    with pytest.raises(Asked) as caught:
        method_of(config).build(pretrained=pretrained)
    assert caught.value.args == ("vgg16", {"weights": asked, "frozen_level": 3})
    keras.backend.clear_session()
