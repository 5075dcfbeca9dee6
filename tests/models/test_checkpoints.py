"""Checkpoint directories: written, read back, and refused with one line where something is wrong."""

import dataclasses
import errno
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from cspn_tf import config as configs
from cspn_tf.config import preset
from cspn_tf.console import UserError
from cspn_tf.files import write_json
from cspn_tf.methods import method_of
from cspn_tf.models import checkpoints
from cspn_tf.models.checkpoints import DETECTOR, KEYPOINTS
from cspn_tf.models.faster_rcnn import build_detector

TINY = dataclasses.replace(
    preset("tiny"),
    detector=dataclasses.replace(preset("tiny").detector, input_size=64, score_threshold=0.0),
    keypoints=dataclasses.replace(preset("tiny").keypoints, crop_size=32, num_stages=1, width=8, type_head=False),
)
DETAILS = {"seed": 3, "training": {"epochs": 2}}
WEIGHTS = "best.weights.h5"


def write(directory, network, model, config=TINY):
    """Write a whole checkpoint directory."""
    directory.mkdir(exist_ok=True)
    checkpoints.write_description(directory, network, config, DETAILS)
    checkpoints.save_weights(model, directory)
    return directory


def refusal(load, *arguments):
    """Return the message with which something is refused, after checking that it is one line."""
    with pytest.raises(UserError) as caught:
        load(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def cspn():
    keras.utils.set_random_seed(5)
    return method_of(TINY.keypoints).build()


@pytest.fixture(scope="module")
def spare():
    """Another network of the same config, to load weights into."""
    keras.utils.set_random_seed(7)
    return method_of(TINY.keypoints).build()


@pytest.fixture(scope="module")
def written(cspn, tmp_path_factory):
    """A checkpoint of `cspn`, which tests only read."""
    return write(tmp_path_factory.mktemp("checkpoints") / "keypoints", KEYPOINTS, cspn)


@pytest.fixture
def keypoints_dir(written, tmp_path):
    """A copy of it."""
    return shutil.copytree(written, tmp_path / "keypoints")


# Round trips ---------------------------------------------------------------------------------------------------------


def test_a_detector_comes_back(tmp_path):
    keras.utils.set_random_seed(6)
    model = build_detector(TINY.detector)
    images = tf.random.stateless_uniform([2, 64, 64, 3], [1, 2], 0, 255)
    directory = write(tmp_path / "detector", DETECTOR, model)
    assert sorted(path.name for path in directory.iterdir()) == ["best.weights.h5", "config.json", "network.json"]

    keras.utils.set_random_seed(7)
    config, loaded = checkpoints.load_detector(directory)
    assert config == TINY and loaded.config == TINY.detector
    for ours, theirs in zip(model.detect(images), loaded.detect(images), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_keypoint_network_comes_back(cspn, written):
    crops = tf.random.stateless_uniform([2, 32, 32, 3], [1, 2], 0, 255)
    keras.utils.set_random_seed(7)
    config, loaded = checkpoints.load_keypoints(written)
    assert config == TINY
    for name, heatmaps in cspn(crops).items():
        np.testing.assert_array_equal(loaded(crops)[name], heatmaps)


def test_details_come_back(written):
    assert checkpoints.read_description(written, KEYPOINTS) == (TINY, DETAILS)


def test_better_weights_replace_the_best_ones(spare, keypoints_dir):
    bias = spare.get_layer("stage_1_heatmaps").bias
    bias.assign(np.arange(8.0))
    checkpoints.save_weights(spare, keypoints_dir)
    bias.assign(np.zeros(8))
    checkpoints.load_weights(spare, keypoints_dir, KEYPOINTS)
    np.testing.assert_array_equal(bias, np.arange(8.0))
    assert len(list(keypoints_dir.iterdir())) == 3


def test_a_failed_write_leaves_what_was_there(keypoints_dir):
    files = {path.name: path.read_bytes() for path in keypoints_dir.iterdir()}

    class Full:
        def __init__(self, num_weights):
            self.count_params = lambda: num_weights

        def save_weights(self, path):
            path.write_bytes(b"half")
            raise OSError(errno.EIO, "written anyway")

    with pytest.raises(OSError, match="written anyway"):
        checkpoints.save_weights(Full(9), keypoints_dir)
    with pytest.raises(OSError, match=r"No space left on device: '\S+/best\.weights\.h5'$"):
        checkpoints.save_weights(Full(10**15), keypoints_dir)
    with pytest.raises(TypeError):
        write_json(keypoints_dir / "network.json", {"a": object()})
    assert {name: (keypoints_dir / name).read_bytes() for name in files} == files


def test_weights_that_replace_shipped_ones_load(tmp_path, keypoints_dir):
    config, _ = checkpoints.read_description(keypoints_dir, KEYPOINTS)
    checkpoints.write_shippable(keypoints_dir, KEYPOINTS, tmp_path / "shipped", config)
    _, model = checkpoints.load_keypoints(tmp_path / "shipped")
    checkpoints.save_weights(model, tmp_path / "shipped")
    assert "weights_sha256" not in checkpoints.read_description(tmp_path / "shipped", KEYPOINTS)[1]
    checkpoints.load_keypoints(tmp_path / "shipped")


# Refusals ------------------------------------------------------------------------------------------------------------


def test_refuses_what_is_not_a_checkpoint(tmp_path):
    for directory in (tmp_path, tmp_path / "nothing"):
        message = refusal(checkpoints.load_detector, directory)
        assert message == f"{directory} is not a detector checkpoint: it has no network.json"
    assert "is not a keypoints checkpoint" in refusal(checkpoints.load_keypoints, tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "3", "{}", '"text"', '{"seed": 1}', ""])
def test_refuses_a_damaged_description(keypoints_dir, content):
    (keypoints_dir / "network.json").write_text(content)
    message = refusal(checkpoints.load_keypoints, keypoints_dir)
    assert message.startswith(f"{keypoints_dir / 'network.json'}: not a checkpoint description")


def test_refuses_the_other_network(written):
    message = refusal(checkpoints.load_detector, written)
    assert message == f"{written} holds a keypoints checkpoint, not a detector one"


def test_refuses_a_directory_without_its_config(keypoints_dir):
    (keypoints_dir / "config.json").unlink()
    message = refusal(checkpoints.load_keypoints, keypoints_dir)
    assert message.startswith(f"{keypoints_dir / 'config.json'}: ") and "No such file" in message


def test_names_an_unknown_key_of_the_config(keypoints_dir):
    content = configs.to_dict(TINY)
    content["keypoints"]["depth"] = 3
    (keypoints_dir / "config.json").write_text(json.dumps(content))
    assert "unknown key keypoints.depth" in refusal(checkpoints.load_keypoints, keypoints_dir)


def test_refuses_a_run_without_weights_yet(spare, keypoints_dir):
    (keypoints_dir / WEIGHTS).unlink()
    message = refusal(checkpoints.load_weights, spare, keypoints_dir, KEYPOINTS)
    assert message == f"{keypoints_dir} has no best.weights.h5: training has not finished an epoch"


@pytest.mark.parametrize(
    "change",
    [{"width": 16}, {"num_stages": 2}, {"separable": False}],
    ids=str,
)
def test_refuses_weights_of_another_network(keypoints_dir, change):
    other = dataclasses.replace(TINY, keypoints=dataclasses.replace(TINY.keypoints, **change))
    configs.save(other, keypoints_dir / "config.json")
    message = refusal(checkpoints.load_keypoints, keypoints_dir)
    assert message.startswith(f"{keypoints_dir / 'best.weights.h5'} does not fit the network: ")


@pytest.mark.parametrize("damage", ["cut off", "text"])
def test_refuses_damaged_weights(spare, keypoints_dir, damage):
    path = keypoints_dir / WEIGHTS
    content = path.read_bytes()
    path.write_bytes({"cut off": content[: len(content) // 2], "text": b"weights"}[damage])
    message = refusal(checkpoints.load_weights, spare, keypoints_dir, KEYPOINTS)
    assert message.startswith(f"{path} does not fit ")


# What ships ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shippable(cspn, tmp_path_factory):
    """What ships of a training with a path of its machine in the description."""
    folder = tmp_path_factory.mktemp("pair")
    trained = write(folder / "trained", KEYPOINTS, cspn)
    checkpoints.write_description(trained, KEYPOINTS, TINY, {**DETAILS, "data": "/home/somebody/data"})
    checkpoints.write_shippable(trained, KEYPOINTS, folder / "keypoints", TINY)
    return folder / "keypoints"


def test_what_ships_is_the_same_network_in_half_precision(cspn, spare, written, shippable):
    assert checkpoints.read_description(shippable, KEYPOINTS)[0] == TINY
    checkpoints.load_weights(spare, shippable, KEYPOINTS)
    crops = tf.random.stateless_uniform([2, 32, 32, 3], [1, 2], 0, 255)
    (before,), (after,) = cspn(crops).values(), spare(crops).values()
    spread = float(tf.math.reduce_std(before))
    assert 0 < float(tf.reduce_max(tf.abs(after - before))) < 0.02 * spread
    for variable, given in zip(spare.variables, cspn.variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), given.numpy().astype("float16").astype("float32"))
    assert all(variable.dtype == tf.float32 for variable in spare.variables)
    assert (shippable / WEIGHTS).stat().st_size < 0.8 * (written / WEIGHTS).stat().st_size


def test_what_ships_says_nothing_of_the_machine_it_was_trained_on(shippable):
    content = json.loads((shippable / "network.json").read_text())
    assert content.keys() == {"network", "seed", "training", "weights_sha256"}
    assert content["seed"] == DETAILS["seed"]


def test_refuses_shipped_weights_that_changed(spare, shippable, tmp_path):
    changed = shutil.copytree(shippable, tmp_path / "changed")
    path = changed / WEIGHTS
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    message = refusal(checkpoints.load_weights, spare, changed, KEYPOINTS)
    assert message == f"{path} is damaged: its SHA-256 is not the one in {changed / 'network.json'}"


def test_the_name_shipped_is_the_package_s_own_pair(monkeypatch, cspn, spare, shippable):
    monkeypatch.setattr(checkpoints, "SHIPPED_PAIR", shippable.parent)
    assert checkpoints.read_description("shipped", KEYPOINTS)[0] == TINY
    spare.set_weights([np.zeros_like(values) for values in spare.get_weights()])
    checkpoints.load_weights(spare, "shipped", KEYPOINTS)
    np.testing.assert_array_equal(spare.weights[0], cspn.weights[0].numpy().astype("float16"))


# Two checkpoints in one pipeline -------------------------------------------------------------------------------------


def test_joins_two_runs_of_one_canvas():
    detector_config = dataclasses.replace(TINY, preset="a", max_pixels=1000)
    keypoint_config = dataclasses.replace(preset("tiny"), preset="b")
    joint = checkpoints.joint_config(detector_config, keypoint_config)
    assert joint.preset == "a+b"
    assert joint.detector == detector_config.detector and joint.keypoints == keypoint_config.keypoints
    assert joint.canvas_size == 256 and joint.max_pixels == 1000


def test_joining_a_preset_with_itself_keeps_its_name():
    assert checkpoints.joint_config(TINY, TINY) == TINY


def test_refuses_to_join_different_canvases():
    message = refusal(checkpoints.joint_config, preset("mobile"), preset("tiny"))
    assert "detector (preset mobile)" in message and "512 pixels" in message
    assert "keypoint network (preset tiny)" in message and "256: these checkpoints do not go together" in message
