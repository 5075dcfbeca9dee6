"""Where TensorFlow is not installed: what works without it, and the one line that all else says."""

import json
import re
import subprocess
import sys

import pytest
from PIL import Image

from cspn_tf import console
from cspn_tf.console import UserError
from cspn_tf.models import checkpoints
from tests.fake_model import encode, make_pixels

# Packages of pyproject.toml that only Pythons with TensorFlow have, and what they bring.
ABSENT = ["tensorflow", "keras", "keras_cv", "tensorflow_addons", "tensorflow_metadata", "tensorflow_serving"]
ABSENT += ["filelock", "grpc", "grpc_health", "h5py"]
NEEDED = "TensorFlow 2.15 is not installed, needed here: install cspn-tf on Python 3.10 or 3.11, which it needs"


def run(program, *arguments, cwd):
    """Run a program in a Python that has none of `ABSENT`; return the finished process."""
    program = f"import sys\nsys.modules.update(dict.fromkeys({ABSENT!r}))\n{program}"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], cwd=cwd, capture_output=True, text=True
    )


def run_command(*arguments, cwd):
    return run("from cspn_tf.cli.main import main\nsys.exit(main())", *arguments, cwd=cwd)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photo.png").write_bytes(encode(make_pixels(300, 200)))
    return tmp_path


def test_the_model_in_the_package_predicts_and_draws(folder):
    program = """
import cspn_tf
model = cspn_tf.load()
(result,) = model("photo.png")
result.draw().save("drawn.png")
print(model.source, result.to_json(), sep="\\n")
[garment.lengths(cm_per_pixel=0.1) for garment in result.garments]
assert not any(sys.modules[name] for name in sys.modules if name.split(".")[0] in ("tensorflow", "keras"))
"""
    done = run(program, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    source, line = done.stdout.splitlines()
    assert source == str(checkpoints.SHIPPED_PAIR / "cspn.tflite")
    assert json.loads(line)["status"]["code"] == 0
    assert Image.open(folder / "drawn.png").size == (200, 300)


@pytest.mark.parametrize("file_format", ["jsonl", "csv", "coco"])
def test_predict_writes_every_format_and_names_a_bad_photo(folder, fake_tflite, file_format):
    (folder / "text.jpg").write_text("no photo")
    done = run_command(
        "predict", ".", "--model", fake_tflite, "--out", "out", "--draw", "--format", file_format, cwd=folder
    )
    assert (done.returncode, done.stderr) == (1, "error: ./text.jpg: not a JPEG or PNG\n")
    assert "1 photos failed" in done.stdout
    assert sorted(path.name for path in (folder / "out").iterdir()) == sorted(
        ["photo.keypoints.jpg", f"predictions.{'coco.json' if file_format == 'coco' else file_format}"]
    )


@pytest.mark.parametrize(
    "arguments",
    [
        "prepare --source fld --root . --out out",
        "train-detector --data . --out out",
        "train-keypoints --data . --out out",
        "calibrate --data . --detector d --keypoints k",
        "evaluate --data . --out out",
        "reproduce --data . --out out",
        "export --out out",
        "export-tflite --out out",
        "check models",
        "serve --model models",
        "client --server localhost:1 photo.png",
        "annotate . --out out",
        "predict photo.png --model models --out out",
        "predict photo.png --detector d --keypoints k --out out",
    ],
)
def test_every_other_command_says_which_python_has_tensorflow(folder, arguments):
    (folder / "models" / "1").mkdir(parents=True)
    (folder / "models" / "1" / "saved_model.pb").touch()
    done = run_command(*arguments.split(), cwd=folder)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert (done.returncode, done.stderr) == (1, f"error: {NEEDED} (this is Python {version})\n")
    assert not (folder / "out").exists()


def test_a_tensorflow_that_is_too_new_does_not_count(monkeypatch):
    assert console.has_tensorflow()
    console.require_tensorflow()
    monkeypatch.setitem(sys.modules, "tensorflow_addons", None)
    assert not console.has_tensorflow()
    with pytest.raises(UserError, match=f"^{re.escape(NEEDED)}"):
        console.require_extra("training")
    console.require_extra("training", with_tensorflow=False)


def test_help_needs_no_tensorflow(folder):
    done = run_command("train-detector", "--help", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")


def test_loading_anything_but_tflite_is_refused(folder, monkeypatch):
    from cspn_tf.inference import model

    monkeypatch.setattr(console, "has_tensorflow", lambda: False)
    (folder / "1").mkdir()
    (folder / "1" / "saved_model.pb").touch()
    for arguments in ({"model": folder}, {"detector": "d", "keypoints": "k"}):
        with pytest.raises(UserError, match=r"TensorFlow 2\.15 is not installed"):
            model.load(**arguments)
    with pytest.raises(UserError, match=r"none: "):
        model.load(folder / "none")


def test_a_missing_module_where_tensorflow_is_installed_is_a_bug():
    def main(argv):
        raise ModuleNotFoundError("No module named 'numby'", name="numby")

    with pytest.raises(ModuleNotFoundError):
        console.run(main)


@pytest.mark.parametrize("damage", ["missing", "other content"])
def test_a_damaged_file_in_the_package_is_named(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(checkpoints, "SHIPPED_PAIR", tmp_path)
    (tmp_path / "cspn.json").write_text('{"weights_sha256": "0"}')
    if damage != "missing":
        (tmp_path / "cspn.tflite").write_bytes(b"other")
    expected = (
        "is missing: install cspn-tf anew" if damage == "missing" else "is damaged: its SHA-256 is not the one in"
    )
    with pytest.raises(UserError, match=rf"cspn\.tflite {expected}"):
        checkpoints.shipped_tflite()
