"""What holds for every method of finding keypoints."""

from pathlib import Path

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
        return np.random.default_rng(1).uniform(0, 1, (30, 8, 2)), np.ones((30, 8)), np.ones(30, int)

    statistics = method_of(tiny_config(method)).label_statistics(read_labels, seed=1)
    assert len(read) == (method == "dfa")
    assert (None if statistics is None else statistics.shape) == ((2, 20, 8, 2) if method == "dfa" else None)


@pytest.mark.parametrize("pretrained, asked", [(True, "imagenet"), (False, "none")])
def test_the_backbone_is_the_config_s(pretrained, asked, monkeypatch):
    class Asked(Exception):
        pass

    def network(name, size, weights):
        raise Asked(name, size, weights)

    monkeypatch.setattr(backbones, "_network", network)
    config = tiny_config("bcrnn", backbone="vgg16", weights="imagenet")
    with pytest.raises(Asked) as caught:
        method_of(config).build(pretrained=pretrained)
    assert caught.value.args == ("vgg16", 64, asked)
