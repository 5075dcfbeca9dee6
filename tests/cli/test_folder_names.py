"""The whole path under a folder whose name is a pattern to TensorFlow, and hard to quote for everything else."""

import json
import shutil

import pytest

import cspn_tf
from cspn_tf.cli import evaluate, export_saved_model, export_tflite, predict, prepare, train_keypoints
from cspn_tf.console import run
from cspn_tf.serve.client import Client
from cspn_tf.serve.local_server import running_server
from cspn_tf.serve.warmup import warmup_file
from cspn_tf.train import fitting

pytestmark = pytest.mark.slow

NAME = "run [v1] *?{a,b}\\ é 'q' %20#"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("any") / NAME
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def data(folder, tiny_fld):
    assert run(prepare.main, ["--source", "fld", "--root", str(tiny_fld), "--out", str(folder / "data")]) == 0
    return folder / "data"


@pytest.fixture(scope="module")
def pair(folder, data, tiny_detector):
    """A detector, copied, and a keypoint network whose training was cut off after one of two epochs and resumed."""

    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    shutil.copytree(tiny_detector, folder / "pair" / "detector")
    call = ["--data", str(data), "--out", str(folder / "pair" / "keypoints"), "--preset", "tiny", "--epochs", "2"]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(fitting, "draw_curves", kill)
        train_keypoints.main(call)
    assert len(fitting.read_history(folder / "pair" / "keypoints")) == 1
    assert run(train_keypoints.main, [*call, "--resume"]) == 0
    assert len(fitting.read_history(folder / "pair" / "keypoints")) == 2
    return folder / "pair"


@pytest.fixture(scope="module")
def networks(pair):
    return ["--detector", str(pair / "detector"), "--keypoints", str(pair / "keypoints")]


@pytest.fixture(scope="module")
def saved_model(folder, networks):
    assert run(export_saved_model.main, [*networks, "--out", str(folder / "models")]) == 0
    assert [path.name for path in (folder / "models").iterdir()] == ["1"]
    assert warmup_file(folder / "models" / "1").stat().st_size > 0
    return folder / "models"


@pytest.fixture(scope="module")
def tflite(folder, networks):
    assert run(export_tflite.main, [*networks, "--out", str(folder / "phone")]) == 0
    return folder / "phone" / "cspn.tflite"


@pytest.fixture(scope="module")
def photo(folder, tiny_fld):
    path = folder / "photo [1]*.jpg"
    path.write_bytes(sorted((tiny_fld / "img").iterdir())[0].read_bytes())
    return path


@pytest.mark.parametrize("kind", ["pair", "saved_model", "tflite"])
def test_each_kind_of_model_loads_and_predicts(kind, request, folder, photo):
    model = request.getfixturevalue(kind)
    (result,) = cspn_tf.load(model)([photo])
    assert result.ok and len(result.garments) > 0
    out = folder / f"answers of {kind}"
    assert run(predict.main, [str(photo), "--model", str(model), "--out", str(out), "--draw"]) == 0
    (answer,) = map(json.loads, (out / "predictions.jsonl").read_text().splitlines())
    assert len(answer["garments"]) == len(result.garments)


def test_evaluates(folder, data, saved_model, networks):
    out = folder / "evaluation"
    assert run(evaluate.main, ["--data", str(data), *networks, "--model", str(saved_model), "--out", str(out)]) == 0
    assert (out / "metrics.json").is_file() and (out / "pictures" / "worst.jpg").is_file()


def test_serves_after_its_warm_up(saved_model, photo):
    with running_server(saved_model) as address, Client(address) as client:
        (result,) = client.predict([photo.read_bytes()])
    assert result.ok


def test_nothing_is_left_in_the_folder_of_temporary_files(saved_model, tflite, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cspn_tf.load(saved_model)
    assert list(tmp_path.iterdir()) == []
