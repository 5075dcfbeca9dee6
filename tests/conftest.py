"""What many tests need: small data, small trained networks, and their exports, made once a run."""

import os
import signal
import socket

import filelock
import pytest

from cspn_tf.quiet import quiet_tensorflow

# Before any test imports TensorFlow by itself.
quiet_tensorflow()
if "PYTEST_XDIST_WORKER" in os.environ:
    # Processes that share the cores take one each; threads that wait for each other would only get into their way.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell's background processes ignore Ctrl-C, and so would the programs that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Files of minutes. They come first, so that at the end no process waits for another one's last file.
LONGEST = ("test_fitting.py", "test_reproduce.py", "test_faster_rcnn.py", "test_detector.py", "test_model.py")


def pytest_collection_modifyitems(items):
    """Put the tests of the longest files first; `make test` lets xdist keep the order."""
    order = {name: index for index, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """A function of a name and of what makes a folder: its path, the same for all processes that run tests."""
    base = tmp_path_factory.getbasetemp()
    # The processes of one run have folders beside each other.
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def once(name, make):
        path = folder / "made-once" / name
        path.parent.mkdir(exist_ok=True)
        with filelock.FileLock(f"{path}.lock"):
            if not (done := path.with_name(f"{name}.done")).exists():
                make(path)
                done.touch()
        return path

    return once


@pytest.fixture(scope="session")
def tiny_fld(made_once):
    """A synthetic dataset in the FLD layout: 48 / 8 / 8 photos of at most 256 pixels."""
    from cspn_tf.data.synthetic import write_synthetic_dataset

    counts = {"num_train": 48, "num_val": 8, "num_test": 8}
    return made_once("fld", lambda root: write_synthetic_dataset(root, **counts, seed=7, size=256, workers=1))


@pytest.fixture(scope="session")
def tiny_data(tiny_fld, made_once):
    """The same as TFRecords."""
    from cspn_tf.cli import prepare

    return made_once("data", lambda out: prepare.main(["--source", "fld", "--root", str(tiny_fld), "--out", str(out)]))


@pytest.fixture(scope="session")
def tiny_detector(tiny_data, made_once):
    """A detector of the `tiny` preset after two epochs, which is enough to return something."""
    from cspn_tf.cli import train_detector

    call = ["--data", str(tiny_data), "--preset", "tiny", "--epochs", "2"]
    # A threshold of zero, so that there are garments to look at however little was learnt.
    call += ["--set", "detector.score_threshold=0.0"]
    return made_once("detector", lambda out: train_detector.main([*call, "--out", str(out)]))


@pytest.fixture(scope="session")
def tiny_keypoints(tiny_data, made_once):
    """A keypoint network of the `tiny` preset after two epochs."""
    from cspn_tf.cli import train_keypoints

    call = ["--data", str(tiny_data), "--preset", "tiny", "--epochs", "2"]
    return made_once("keypoints", lambda out: train_keypoints.main([*call, "--out", str(out)]))


@pytest.fixture(scope="session")
def tiny_pipeline(tiny_detector, tiny_keypoints):
    """The two networks fused."""
    from cspn_tf.inference.pipeline import load_pipeline

    return load_pipeline(tiny_detector, tiny_keypoints)


@pytest.fixture(scope="session")
def tiny_model(tiny_pipeline, made_once):
    """The fused pipeline as a served model's directory with one version."""
    from cspn_tf.export import saved_model

    return made_once("models", lambda folder: saved_model.export(tiny_pipeline, folder / "cspn")) / "cspn"


@pytest.fixture(scope="session")
def tiny_tflite(tiny_pipeline, made_once):
    """The fused pipeline as a TensorFlow Lite file."""
    from cspn_tf.export import tflite

    return made_once("phone", lambda folder: tflite.export(tiny_pipeline, folder)) / "cspn.tflite"


@pytest.fixture(scope="session")
def photo_files(tiny_fld):
    """Three real, non-zero photos of different sizes, as bytes."""
    paths = sorted((tiny_fld / "img").iterdir())
    sizes, chosen = set(), []
    for path in paths:
        size = _size(path)
        if size not in sizes:
            sizes.add(size)
            chosen.append(path.read_bytes())
    return chosen[:3]


def _size(path):
    from PIL import Image

    with Image.open(path) as photo:
        return photo.size


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory):
    from tests.fake_model import export_fake_model

    path = tmp_path_factory.mktemp("models") / "cspn"
    export_fake_model(path)
    return path


@pytest.fixture(scope="session")
def fake_tflite(made_once):
    from tests.fake_model import export_fake_tflite

    return made_once("fake.tflite", export_fake_tflite)


@pytest.fixture(scope="session")
def server(model_dir):
    from cspn_tf.serve.grpc_server import LocalServer

    with LocalServer(model_dir, "cspn", num_workers=2) as server:
        yield server


@pytest.fixture
def free_address():
    """An address of this machine where nobody listens, and nobody else can while the test runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture(scope="session")
def fake_photos():
    """Three photos of different sizes, with 0, 1 and 2 garments in the fake model's answer."""
    from tests.fake_model import encode, make_pixels

    sizes = ((30, 48), (41, 52), (63, 35))
    return [encode(make_pixels(*size, seed=seed)) for seed, size in enumerate(sizes)]


@pytest.fixture(scope="session")
def run_tflite():
    """Return a function that converts another to TensorFlow Lite with builtin ops only and runs it on arrays."""
    import numpy as np
    import tensorflow as tf

    def run(function, *arrays):
        specs = [tf.TensorSpec(array.shape, array.dtype) for array in arrays]
        concrete = tf.function(function, autograph=False).get_concrete_function(*specs)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        interpreter = tf.lite.Interpreter(model_content=converter.convert(), num_threads=1)
        interpreter.allocate_tensors()
        # The converter may reorder inputs; these tests never give two of one shape.
        for detail in interpreter.get_input_details():
            (array,) = [a for a in arrays if a.shape == tuple(detail["shape"])]
            interpreter.set_tensor(detail["index"], array)
        interpreter.invoke()
        details = interpreter.get_output_details()
        return [np.array(interpreter.get_tensor(detail["index"])) for detail in details]

    return run
