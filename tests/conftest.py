"""What many tests need: small data, small trained networks, and their exports, made once a run."""

import pytest

from cspn_tf.quiet import quiet_tensorflow

# Before any test imports TensorFlow by itself.
quiet_tensorflow()


@pytest.fixture(scope="session")
def tiny_fld(tmp_path_factory):
    """A synthetic dataset in the FLD layout: 48 / 8 / 8 photos of at most 256 pixels."""
    from cspn_tf.data.synthetic import write_fld_dataset

    root = tmp_path_factory.mktemp("fld") / "root"
    write_fld_dataset(root, num_train=48, num_val=8, num_test=8, seed=7, size=256, workers=1)
    return root


@pytest.fixture(scope="session")
def tiny_data(tiny_fld, tmp_path_factory):
    """The same as TFRecords."""
    from cspn_tf.cli import prepare

    out = tmp_path_factory.mktemp("data") / "out"
    prepare.main(["--source", "fld", "--root", str(tiny_fld), "--out", str(out)])
    return out


@pytest.fixture(scope="session")
def tiny_detector(tiny_data, tmp_path_factory):
    """A detector of the `tiny` preset after two epochs, which is enough to return something."""
    from cspn_tf.cli import train_detector

    out = tmp_path_factory.mktemp("detector") / "run"
    # A threshold of zero, so that there are garments to look at however little was learnt.
    train_detector.main(
        ["--data", str(tiny_data), "--out", str(out), "--preset", "tiny", "--epochs", "2"]
        + ["--set", "detector.score_threshold=0.0"]
    )
    return out


@pytest.fixture(scope="session")
def tiny_keypoints(tiny_data, tmp_path_factory):
    """A keypoint network of the `tiny` preset after two epochs."""
    from cspn_tf.cli import train_keypoints

    out = tmp_path_factory.mktemp("keypoints") / "run"
    train_keypoints.main(["--data", str(tiny_data), "--out", str(out), "--preset", "tiny", "--epochs", "2"])
    return out


@pytest.fixture(scope="session")
def tiny_pipeline(tiny_detector, tiny_keypoints):
    """The two networks fused."""
    from cspn_tf.inference.pipeline import load_pipeline

    return load_pipeline(tiny_detector, tiny_keypoints)


@pytest.fixture(scope="session")
def tiny_model(tiny_pipeline, tmp_path_factory):
    """The fused pipeline as a served model's directory with one version."""
    from cspn_tf.export import saved_model

    model_dir = tmp_path_factory.mktemp("models") / "cspn"
    saved_model.export(tiny_pipeline, model_dir)
    return model_dir


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
def server(model_dir):
    from cspn_tf.serve.grpc_server import LocalServer

    with LocalServer(model_dir, "cspn", num_workers=2) as server:
        yield server


@pytest.fixture(scope="session")
def fake_photos():
    """Three photos of different sizes, with 0, 1 and 2 garments in the fake model's answer."""
    from tests.fake_model import encode, make_pixels

    sizes = ((30, 48), (41, 52), (63, 35))
    return [encode(make_pixels(*size, seed=seed)) for seed, size in enumerate(sizes)]
