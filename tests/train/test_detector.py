import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cspn_tf.models import checkpoints
from cspn_tf.train import detector as detector_module
from cspn_tf.train import fitting


def test_run_holds_a_detector_that_loads(tiny_detector):
    config, detector = checkpoints.load_detector(tiny_detector)
    assert config.preset == "tiny" and config.detector.score_threshold == 0.0
    boxes, types, scores = detector.detect(np.zeros((1, 128, 128, 3), np.float32))
    assert boxes.shape == (1, 3, 4) and types.shape == scores.shape == (1, 3)
    history = fitting.read_history(tiny_detector)
    losses = {"loss", "box_loss", "classification_loss", "rpn_box_loss", "rpn_classification_loss"}
    metrics = {"val_ap", "val_ap_50", "val_recall_50", "val_precision_50"}
    assert set(history[-1]) == {"epoch", *losses, *metrics}
    assert history[1]["loss"] < history[0]["loss"]


def test_validation_measures_a_perfect_and_a_blind_detector(tiny_data):
    import tensorflow as tf

    from cspn_tf import config as configs
    from cspn_tf.data import pipeline

    dataset = pipeline.detector_dataset(tiny_data, "val", configs.preset("tiny"), 4, training=False, seed=1)
    labels = [labels for _, labels in dataset]

    class Perfect:
        def __init__(self):
            self.batch = 0

        def detect(self, images):
            found = labels[self.batch]
            self.batch += 1
            scores = tf.cast(found["garment_types"] > 0, tf.float32)
            return found["boxes_xyxy"], found["garment_types"], scores

    class Blind:
        def detect(self, images):
            num = images.shape[0]
            return tf.zeros([num, 3, 4]), tf.zeros([num, 3], tf.int32), tf.zeros([num, 3])

    perfect = detector_module.DetectorValidator(Perfect(), dataset)
    perfect._detect = Perfect().detect
    assert perfect.measure() == {"ap": 1.0, "ap_50": 1.0, "recall_50": 1.0, "precision_50": 1.0}
    assert perfect.overlays().shape == (8, 128, 128, 3)
    assert detector_module.DetectorValidator(Blind(), dataset).measure()["recall_50"] == 0.0


def test_validation_measures_what_evaluation_does(tiny_data, monkeypatch):
    import tensorflow as tf

    from cspn_tf import config as configs
    from cspn_tf.data import pipeline
    from cspn_tf.evaluation.measures import evaluate_predictions

    dataset = pipeline.detector_dataset(tiny_data, "val", configs.preset("tiny"), 4, training=False, seed=1)
    batches = iter([labels for _, labels in dataset])

    class Careless:
        """Finds some boxes well, some badly, and one that is not there."""

        def detect(self, images):
            labels = next(batches)
            boxes, types = labels["boxes_xyxy"], labels["garment_types"]
            shift = tf.range(tf.shape(boxes)[0] * 4, dtype=tf.float32)
            boxes = tf.concat([boxes + tf.reshape(shift, [-1, 1, 4]), tf.ones_like(boxes[:, :1]) * [0.0, 0, 9, 9]], 1)
            types = tf.concat([types, tf.ones_like(types[:, :1])], 1)
            return boxes, types, tf.random.stateless_uniform(tf.shape(types), [1, 2])

    validator = detector_module.DetectorValidator(Careless(), dataset)
    validator._detect = Careless().detect
    matched = []
    measure_boxes = detector_module.box_precision
    monkeypatch.setattr(detector_module, "box_precision", lambda m: matched.append(m) or measure_boxes(m))
    found = validator.measure()
    wanted = evaluate_predictions(matched[0])
    assert found == {
        "ap": wanted["detection"]["ap"],
        "ap_50": wanted["detection"]["ap_50"],
        "recall_50": wanted["detection_recall_50"]["value"],
        "precision_50": wanted["precision_50"]["value"],
    }
    assert all(0 < value < 1 for value in found.values())


@pytest.mark.slow
def test_killed_process_resumes_where_it_was(tiny_data, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "training.train_detector", "--data", str(tiny_data), "--out", str(out)]
    command += ["--preset", "tiny", "--epochs", "40"]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 240
        while len(fitting.read_history(out)) < 2 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        assert process.poll() is None, process.stderr.read()
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    before = fitting.read_history(out)
    assert 2 <= len(before) < 40
    # As many epochs again would take long: the state is read, and what follows is the next epoch.
    process = subprocess.Popen(
        [*command, "--resume"], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == f"resuming detector after epoch {len(before)} of 40\n"
        deadline = time.monotonic() + 240
        while len(fitting.read_history(out)) <= len(before) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        assert process.poll() is None, process.stderr.read()
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    after = fitting.read_history(out)
    assert after[: len(before)] == before and after[len(before)]["epoch"] == len(before) + 1
