import contextlib
import itertools

import numpy as np
import pytest
import tensorflow as tf

import benchmarks.networks
import cspn_tf.serve.local_server
from benchmarks.networks import Network
from benchmarks.workers import ours
from cspn_tf.inference.versions import version_directory
from tests.fake_model import CANVAS_SIZE, encode, make_pixels


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    """The threads that were asked for: they cannot be set in a process whose TensorFlow already runs."""
    asked = []
    monkeypatch.setattr(ours, "set_threads", lambda *numbers: asked.append(numbers))
    return asked


def check_ways(runner, photos, num_garments):
    """Check that a photo has its garments whichever way it is run, with eight keypoints or fewer."""
    alone = [runner["one"](photo) for photo in photos]
    assert [len(found) for found in alone] == num_garments
    assert all(0 < len(garment) <= 8 and len(garment[0]) == 2 for found in alone for garment in found)
    for make in runner["batches"].values():
        answers = make()(photos)
        assert [len(found) for found in answers] == num_garments
        for garment, expected in zip(itertools.chain(*answers), itertools.chain(*alone), strict=True):
            np.testing.assert_allclose(garment, expected, atol=1e-3)


def test_a_saved_model_finds_the_same_in_every_way(model_dir, fake_photos, threads):
    options = {"runtime": "saved_model", "model": str(version_directory(model_dir)), "threads": 2, "intra_threads": 1}
    runner = ours.load(options)
    assert threads == [(1, 2)]
    assert list(runner["batches"]) == ["one batch", "2 calls at a time"]
    assert (runner["facts"]["precision"], runner["facts"]["threads"]) == ("fp32", "2 inter-op, 1 intra-op")
    check_ways(runner, fake_photos, [0, 1, 2])


def test_the_server_is_asked_with_the_threads_and_stopped_in_the_end(
    model_dir, server, fake_photos, monkeypatch, capfd
):
    log = []

    @contextlib.contextmanager
    def running(*args):
        log.append(args)
        yield server.address
        log.append("stopped")

    monkeypatch.setattr(cspn_tf.serve.local_server, "running_server", running)
    runner = ours.load({"runtime": "grpc", "model": str(model_dir), "threads": 1, "intra_threads": 2})
    assert list(runner["batches"]) == ["one batch"]
    check_ways(runner, fake_photos, [0, 1, 2])
    assert log == [(str(model_dir), 2, 1)]
    runner["close"]()
    assert log[1:] == ["stopped"]


def test_a_tflite_file_takes_photo_files_and_answers_in_their_pixels(fake_tflite):
    runner = ours.load({"runtime": "tflite", "tflite": str(fake_tflite), "threads": 2, "intra_threads": 1})
    # Twice the canvas: the photo is halved, and a canvas pixel's centre lies between two of the photo's.
    photo = encode(make_pixels(2 * CANVAS_SIZE, 2 * CANVAS_SIZE))
    (keypoints,) = runner["one"](photo)
    np.testing.assert_allclose(keypoints[0], (20.5, 40.5))
    assert list(runner["batches"]) == ["one by one", "2 interpreters of 1 thread"]
    assert (runner["facts"]["precision"], runner["facts"]["threads"]) == ("fp32", "2")
    check_ways(runner, [photo, photo, photo], [1, 1, 1])


def test_parameters_and_operations_are_those_of_both_networks(monkeypatch):
    networks = {"detector": Network(None, 8, 100, 5000), "keypoints": Network(None, 8, 20, 300)}
    monkeypatch.setattr(benchmarks.networks, "load_network", lambda kind, directory: networks[kind])
    runner = ours.load({"runtime": "costs", "detector": "a", "keypoints": "b"})
    assert runner == {"facts": {"parameters": 120, "flops": 5300}}


@pytest.mark.parametrize(("dtype", "precision"), [(tf.float32, "fp32"), (tf.bfloat16, "bf16")])
def test_the_precision_is_that_of_the_convolutions(tmp_path, dtype, precision):
    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 4, 4, 1], tf.float32)])
        def serve(self, image):
            kernel = tf.ones([1, 1, 1, 1], dtype)
            return {"answer": tf.cast(tf.nn.conv2d(tf.cast(image, dtype), kernel, 1, "SAME"), tf.float32)}

    model = Model()
    tf.saved_model.save(model, str(tmp_path), model.serve)
    assert ours._precision_of(tmp_path) == precision
