"""Scores that are fitted to what is right of them."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from cspn_tf.cli import calibrate as command
from cspn_tf.console import UserError, run
from cspn_tf.methods import method_of
from cspn_tf.models import checkpoints
from cspn_tf.train import calibrate


def sigmoid(logits):
    return 1.0 / (1.0 + np.exp(-logits))


def test_finds_the_scale_and_the_shift_that_scores_were_spoilt_with():
    rng = np.random.default_rng(0)
    true = rng.normal(0.0, 2.0, 20000)
    positive = rng.random(20000) < sigmoid(true)
    spoilt = (true - 0.7) / 0.4  # too sure, and of too few
    found = calibrate._fit(lambda scale, shift: sigmoid(scale * spoilt + shift), positive, "here")
    assert found["scale"] == pytest.approx(0.4, rel=0.05) and found["shift"] == pytest.approx(0.7, abs=0.05)
    assert found["before"] > 0.1 and found["after"] < 0.015
    assert found["count"] == 20000


@pytest.mark.parametrize("positive", [np.ones(5, bool), np.zeros(5, bool), np.zeros(0, bool)])
def test_refuses_what_is_all_right_or_all_wrong(positive):
    with pytest.raises(
        UserError, match=r"^here: . scores, . of garments: calibration needs some of garments and of background$"
    ):
        calibrate._fit(lambda scale, shift: np.full(len(positive), 0.5), positive, "here")


@pytest.fixture
def pair(tiny_detector, tiny_keypoints, tmp_path):
    """Copies of two trainings, of which the calibration may change the weights."""
    for name, directory in (("detector", tiny_detector), ("keypoints", tiny_keypoints)):
        shutil.copytree(directory, tmp_path / name)
    return tmp_path


def test_the_fit_of_a_detector_is_in_its_weights(pair, tiny_data, monkeypatch):
    def fit(scores_of, correct, directory):
        assert len(scores_of(1.0, 0.0)) == len(correct) > 0
        assert (scores_of(1.0, 1.0) < scores_of(1.0, 0.0)).all()  # what is shifted is background
        return {"scale": 0.7, "shift": 0.3, "count": len(correct), "before": 0.2, "after": 0.1}

    # What two epochs have taught may not be enough to fit anything.
    monkeypatch.setattr(calibrate, "_fit", fit)
    images = tf.random.stateless_uniform([2, 128, 128, 3], [1, 2], 0, 255)
    _, detector = checkpoints.load_detector(pair / "detector")
    _, before = detector(images)
    found = calibrate.calibrate_detector(pair / "detector", tiny_data)
    checkpoints.load_weights(detector, pair / "detector", checkpoints.DETECTOR)
    _, after = detector(images)
    expected = tf.nn.softmax(found["scale"] * np.log(before) + [0.0, 0.0, 0.0, found["shift"]])
    np.testing.assert_allclose(after, expected, atol=1e-4)
    assert json.loads((pair / "detector" / "network.json").read_text())["calibration"] == found
    with pytest.raises(UserError, match=r"detector is calibrated already$"):
        calibrate.calibrate_detector(pair / "detector", tiny_data)


def test_a_network_without_visibilities_is_refused_in_one_line(pair, tiny_data, capsys):
    assert run(command.main, ["--data", str(tiny_data), "--keypoints", str(pair / "keypoints")]) == 1
    assert capsys.readouterr().err == (
        f"error: {pair / 'keypoints'} predicts no visibility: there is nothing to calibrate\n"
    )


@pytest.mark.parametrize("method", ["dlan", "dfa", "fashionnet"])
def test_every_method_that_predicts_visibility_is_calibrated(tiny_keypoints, tiny_data, tmp_path, monkeypatch, method):
    config, details = checkpoints.read_description(tiny_keypoints, checkpoints.KEYPOINTS)
    config = dataclasses.replace(config, keypoints=dataclasses.replace(config.keypoints, method=method))
    network = method_of(config.keypoints).build()
    checkpoints.write_description(tmp_path, checkpoints.KEYPOINTS, config, details)
    checkpoints.save_weights(network, tmp_path)
    if method == "dlan":
        with pytest.raises(UserError, match=r"predicts no visibility: there is nothing to calibrate$"):
            calibrate.calibrate_keypoints(tmp_path, tiny_data)
        return
    monkeypatch.setattr(calibrate, "_fit", lambda *_, **__: {"scale": 0.7, "shift": 0.3})
    crops = tf.random.stateless_uniform([2, 96, 96, 3], [1, 2], 0, 255)
    before = network(crops)["visibility"]
    calibrate.calibrate_keypoints(tmp_path, tiny_data)
    checkpoints.load_weights(network, tmp_path, checkpoints.KEYPOINTS)
    np.testing.assert_allclose(network(crops)["visibility"], 0.7 * before + 0.3, atol=1e-5)


def test_what_cannot_be_calibrated_is_left_as_it_is_and_the_other_network_is_tried(monkeypatch, capsys):
    def refuse(directory, data, split):
        raise calibrate.LeftAsItIs(f"{directory} is calibrated already")

    found = {"before": 0.2, "after": 0.1, "count": 9, "scale": 1.0, "shift": 0.0}
    monkeypatch.setattr(calibrate, "calibrate_detector", refuse)
    monkeypatch.setattr(calibrate, "calibrate_keypoints", lambda *_: found)
    assert run(command.main, ["--data", "d", "--detector", "a", "--keypoints", "b"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "a is calibrated already: left as it is"
    assert second.startswith("b: calibration error 0.200 before, 0.100 after, on 9 scores")


def test_nothing_to_calibrate_is_a_wrong_call(tiny_data, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["--data", str(tiny_data)])
    assert stop.value.code == 2 and "give --detector, --keypoints or both" in capsys.readouterr().err
