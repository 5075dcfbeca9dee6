import itertools
import json
import types

import numpy as np
import pytest
import tensorflow as tf

from cspn_tf import config as configs
from cspn_tf import heatmaps
from cspn_tf.cli import train_keypoints
from cspn_tf.data import pipeline
from cspn_tf.models import checkpoints
from cspn_tf.train import fitting
from cspn_tf.train import keypoints as keypoints_module


def test_run_holds_a_network_that_loads(tiny_keypoints):
    config, network = checkpoints.load_keypoints(tiny_keypoints)
    outputs = network(np.zeros((2, 96, 96, 3), np.float32))
    assert outputs.pop("garment_type").shape == (2, 3)
    assert list(outputs) == list(config.keypoints.stage_names)
    assert all(value.shape == (2, 24, 24, 8) for value in outputs.values())


CONFIG = configs.preset("tiny")


@pytest.fixture(scope="module")
def val(tiny_data):
    """The validation split, a list of batches of 4."""
    return list(pipeline.keypoint_dataset(tiny_data, "val", CONFIG, 4, training=False, seed=1))


def validate_right_heatmaps(dataset):
    """Return what a validator measures whose network answers with the labels, and the validator."""
    keypoints = CONFIG.keypoints
    answers = iter(
        heatmaps.encode(
            batch["targets"][..., :2], keypoints.crop_size, keypoints.heatmap_stride, keypoints.heatmap_sigma
        )
        for batch in itertools.cycle(dataset)
    )
    validator = keypoints_module.KeypointValidator(lambda crops, training: {"stage_4": next(answers)}, dataset, CONFIG)
    # Untraced, so that every batch has an answer of its own.
    validator.predict = validator.predict.python_function
    return validator.measure(), validator


def test_validation_of_heatmaps_that_are_right_finds_no_error(val, capsys):
    measured, validator = validate_right_heatmaps(val)
    assert measured["pck_02"] == 1.0
    # Sub-pixel decoding is exact but at the crop's border.
    assert measured["ne_bbox"] < 0.002 and measured["epe"] < 0.2
    assert validator.overlays().shape == (8, 192, 192, 3)
    assert "visible" not in capsys.readouterr().out


def test_without_visible_keypoints_there_is_an_error_to_choose_the_best_epoch_by(val, capsys):
    # As tools write it that know only 0 and 1.
    dataset = [{**batch, "visibility": tf.minimum(batch["visibility"], 1)} for batch in val]
    measured, validator = validate_right_heatmaps(dataset)
    assert 0 < measured["ne_bbox"] < 0.002
    assert validator.measure() == measured
    line = "  validation: no keypoint is labelled as visible: ne_bbox is computed over occluded keypoints\n"
    assert capsys.readouterr().out == line


def test_labels_without_a_visible_keypoint_are_known_before_training(tiny_data, tmp_path):
    assert not keypoints_module.nothing_is_visible(tiny_data)
    assert not keypoints_module.nothing_is_visible(tmp_path)
    report = json.loads((tiny_data / "report.json").read_text())
    for visible, occluded, expected in ((0, 9, True), (1, 9, False), (0, 0, False)):
        report["splits"]["train"]["visibility"].update(visible=visible, occluded=occluded)
        (tmp_path / "report.json").write_text(json.dumps(report))
        assert keypoints_module.nothing_is_visible(tmp_path) == expected
    for damaged in ("{", "{}", "[]"):
        (tmp_path / "report.json").write_text(damaged)
        assert not keypoints_module.nothing_is_visible(tmp_path)


def test_validation_of_heatmaps_that_are_flat_finds_the_corner(val):

    def network(crops, training):
        maps = tf.zeros([tf.shape(crops)[0], 24, 24, 8])
        return {"stage_4": tf.ensure_shape(maps, [None, 24, 24, 8])}

    measured = keypoints_module.KeypointValidator(network, val, CONFIG).measure()
    assert measured["pck_02"] < 0.2 and measured["ne_bbox"] > 0.3


def test_every_output_learns_the_same_targets():
    batch = {
        "crops": tf.zeros([2, 4, 4, 3]),
        "targets": tf.reshape(tf.range(48.0), [2, 8, 3]),
        "visibility": tf.tile([[2, 1, 0, -1, 2, 2, 1, 0]], [2, 1]),
        "garment_types": tf.constant([3, 1]),
    }
    _, by_output = keypoints_module.to_fit(batch, ["a", "garment_type"])
    assert by_output["a"].shape == (2, 8, 4) and by_output["garment_type"].numpy().tolist() == [2, 0]
    crops, by_output = keypoints_module.to_fit(batch, ["a", "b"])
    assert crops is batch["crops"] and list(by_output) == ["a", "b"]
    np.testing.assert_array_equal(by_output["a"], by_output["b"])
    np.testing.assert_array_equal(by_output["a"][..., :3], batch["targets"])
    np.testing.assert_array_equal(by_output["a"][0, :, 3], [2, 1, 0, -1, 2, 2, 1, 0])


def test_batches_start_at_the_epoch_that_a_resumed_run_is_at(tiny_data, monkeypatch):
    asked = {}

    def dataset(*args, **options):
        asked.update(options)
        batch = {"crops": [[0.0]], "targets": [[[0.0, 0.0, 1.0]]], "visibility": [[2]]}
        return tf.data.Dataset.from_tensors(batch)

    monkeypatch.setattr(pipeline, "keypoint_dataset", dataset)
    run = fitting.Run(tiny_data, CONFIG, configs.KEYPOINT_TRAINING["tiny"], seed=5)
    model = types.SimpleNamespace(output={"stage_1": None})
    ((_, targets),) = keypoints_module.KeypointTask().batches(run, model, 3)
    assert asked == {"training": True, "seed": 5, "augment": True, "first_epoch": 3, "share": (0, 1)}
    np.testing.assert_array_equal(targets["stage_1"], [[[0.0, 0.0, 1.0, 2.0]]])


def test_pseudo_labels_are_those_of_the_training_split_and_the_same_every_time(tiny_data):
    config = configs.override(configs.preset("tiny"), ["keypoints.method=dfa"])
    run = fitting.Run(tiny_data, config, configs.KEYPOINT_TRAINING["tiny"])
    first, second = (keypoints_module.KeypointTask().losses(run)["loss"] for _ in range(2))
    for name in ("stage_1_pseudo_labels", "stage_2_pseudo_labels"):
        assert first[name].centres.shape == (20, 8, 2)
        np.testing.assert_array_equal(first[name].centres, second[name].centres)
    # The keypoints of crops, in shares of their sides.
    assert 0 < first["stage_1_pseudo_labels"].centres.min() < first["stage_1_pseudo_labels"].centres.max() < 1


def test_method_and_backbone_are_short_for_fields_of_the_config(tiny_data, tmp_path, monkeypatch):
    runs = []
    monkeypatch.setattr(keypoints_module, "train", runs.append)
    arguments = ["--data", str(tiny_data), "--out", str(tmp_path / "run"), "--method", "bcrnn", "--backbone", "vgg16"]
    train_keypoints.main([*arguments, "--set", "keypoints.width=16"])
    keypoints = runs[0].config.keypoints
    assert (keypoints.method, keypoints.backbone, keypoints.width) == ("bcrnn", "vgg16", 16)
