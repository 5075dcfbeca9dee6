"""A wheel in an environment of its own, away from the checkout, predicts, trains on own labels, exports and serves."""

import contextlib
import email
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image, ImageDraw

import cspn_tf
from cspn_tf.data.synthetic.photo import render
from cspn_tf.models.checkpoints import SHIPPED_PAIR
from cspn_tf.result import Result

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
KEYPOINTS = ["left_collar", "right_collar", "left_sleeve", "right_sleeve", "left_hem", "right_hem"]
EXTRAS = ["training", "serving"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of the checkout, built from a copy, so that nothing that lies about gets into it."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for package in ("cspn_tf", "training", "serving", "benchmarks", "examples", "tests"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", out, source], check=True)
    (path,) = out.iterdir()
    return path


def test_wheel_holds_the_library_and_its_licence_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        (license_name,) = (name for name in names if name.endswith("/LICENSE"))
        assert content.read(license_name) == (ROOT / "LICENSE").read_bytes()
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "cspn_tf").rglob("*.py")}
    ours |= {str(path.relative_to(ROOT)) for path in (ROOT / "cspn_tf/weights").rglob("*") if path.is_file()}
    assert {name for name in names if ".dist-info/" not in name} == ours
    assert _metadata_of(wheel)["License-Expression"] == "Apache-2.0"


class Environment:
    """An installation of the wheel, and a folder to work in, from where nothing of the checkout can be reached."""

    def __init__(self, venv, folder):
        self.bin, self.folder = venv / "bin", folder
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def start(self, program, *arguments, **options):
        return subprocess.Popen(
            [self.bin / program, *map(str, arguments)], cwd=self.folder, env=self._environ, text=True, **options
        )

    def run(self, program, *arguments, code=0):
        """Run a program to its end and return what it printed on stdout, or with another `code`, on stderr."""
        with self.start(program, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            out, err = process.communicate()
        assert process.returncode == code, err
        return err if code else out


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    venv = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    environment = Environment(venv, tmp_path_factory.mktemp("work"))
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    environment.run("python", *pip, "-c", ROOT / "requirements.lock", f"{wheel}[{','.join(EXTRAS)}]")
    return environment


@pytest.fixture(scope="module")
def trained(installed):
    """Two networks, trained on a COCO file and photos that are made here."""
    _draw_dataset(installed.folder / "mine", num=40)
    installed.run(
        "cspn-tf", "prepare", "--source", "coco", "--root", "mine", "--splits", "0.6,0.2,0.2", "--out", "data"
    )
    call = ["--data", "data", "--preset", "tiny", "--epochs", "1", "--batch-size", "8"]
    installed.run("cspn-tf", "train-keypoints", *call, "--out", "pair/keypoints")
    # A threshold of zero, so that there are garments to look at however little was learnt.
    installed.run("cspn-tf", "train-detector", *call, "--out", "pair/detector", "--set", "detector.score_threshold=0.0")
    return ["--detector", "pair/detector", "--keypoints", "pair/keypoints"]


@pytest.fixture(scope="module")
def models(installed, trained):
    """The three kinds of model, by their paths."""
    installed.run("cspn-tf", "export", *trained, "--out", "models/mine")
    installed.run("cspn-tf", "export-tflite", *trained, "--out", "phone")
    return ["pair", "models/mine", "phone/cspn.tflite"]


def test_nothing_is_imported_from_the_checkout(installed):
    program = """
import importlib, pkgutil, sys
import cspn_tf
for module in pkgutil.walk_packages(cspn_tf.__path__, "cspn_tf."):
    importlib.import_module(module.name)
print(*(module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)), sep="\\n")
"""
    files = installed.run("python", "-c", program).splitlines()
    assert [file for file in files if Path(file).is_relative_to(ROOT)] == []
    assert len([file for file in files if "/site-packages/cspn_tf/" in file]) > 50


def test_the_command_says_what_it_can_do(installed):
    text = installed.run("cspn-tf", "--help")
    assert "usage: cspn-tf" in text and "predict" in text and "train-detector" in text


def test_the_three_kinds_of_model_find_the_same(installed, models):
    answers = [_predict(installed, model) for model in models]
    for answer in answers:
        assert [photo["status"]["code"] for photo in answer] == [0, 0]
        assert all(photo["garments"] for photo in answer)
    program = f"""
import cspn_tf
(result,) = cspn_tf.load({models[1]!r})(["mine/00.png"])
result.draw().save("drawn.png")
print(result.to_json())
"""
    from_python = json.loads(installed.run("python", "-c", program))
    for other in (answers[1][0], answers[2][0], from_python):
        _assert_same_boxes(other, answers[0][0])
    assert Image.open(installed.folder / "drawn.png").size == (240, 200)


def test_what_is_exported_is_evaluated_and_served(installed, trained, models):
    installed.run("cspn-tf", "evaluate", "--data", "data", *trained, "--model", models[1], "--out", "evaluation")
    assert (installed.folder / "evaluation" / "metrics.json").is_file()
    with _serving(installed, models[1]) as address:
        lines = installed.run("cspn-tf", "client", "--server", address, "--model-name", "mine", "mine/00.png")
    _assert_same_boxes(json.loads(lines), _predict(installed, models[1])[0])


def test_without_the_extras_it_predicts_and_exports_and_says_what_the_others_need(wheel, installed, trained, models):
    installed.run("python", "-m", "pip", "uninstall", "--quiet", "--yes", *_only_of_extras(_metadata_of(wheel)))
    for model in models:
        assert _predict(installed, model)
    installed.run("cspn-tf", "export", *trained, "--out", "models/mine")
    installed.run("cspn-tf", "export-tflite", *trained, "--out", "phone")
    error = installed.run("cspn-tf", "train-detector", "--data", "data", "--out", "other", code=1)
    needed = "matplotlib and pycocotools and scipy not installed, needed here: pip install 'cspn-tf[training]'"
    assert error == f"error: {needed}\n"
    error = installed.run("cspn-tf", "serve", "--model", "models/mine", code=1)
    assert "pip install 'cspn-tf[serving]'" in error and error.count("\n") == 1
    error = installed.run("cspn-tf", "annotate", "mine", "--out", "found", code=1)
    assert "pip install 'cspn-tf[bulk]'" in error and error.count("\n") == 1


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_a_python_without_tensorflow_predicts_the_same(wheel, version, tmp_path):
    python = _find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    subprocess.run([python, "-m", "venv", tmp_path / "venv"], check=True)
    environment = Environment(tmp_path / "venv", tmp_path)
    environment.run("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    photo = Image.fromarray(np.asarray(render(99, 0, split="test", num_garments=1).image))
    photo.save(tmp_path / "photo.jpg", quality=95)
    environment.run("cspn-tf", "predict", "photo.jpg", "--out", "found", "--draw")
    found = Result.from_dict(json.loads((tmp_path / "found" / "predictions.jsonl").read_text()))
    assert Image.open(tmp_path / "found" / "photo.keypoints.jpg").size == photo.size
    # By the same file, and by the weights that it was made of.
    for model, pixels in ((SHIPPED_PAIR / "cspn.tflite", 0.3), (None, 1.0)):
        _assert_found_alike(found, cspn_tf.load(model)(tmp_path / "photo.jpg")[0], pixels)
    environment.run("python", "-c", "import importlib.util; assert importlib.util.find_spec('tensorflow') is None")
    error = environment.run("cspn-tf", "train-detector", "--data", "data", "--out", "other", code=1)
    assert error.endswith(f"which it needs (this is Python {version})\n") and error.count("\n") == 1
    # Newest packages, which may have dropped what older ones had.
    environment.run("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{wheel}[training]")
    environment.run("cspn-tf", "predict", "photo.jpg", "--out", "found", "--format", "coco")
    coco = "found/predictions.coco.json"
    environment.run("cspn-tf", "evaluate", "--truth", coco, "--predictions", coco, "--out", "report")
    scores = json.loads((tmp_path / "report" / "metrics.json").read_text())["detected_boxes"]
    assert (scores["auc"]["overall"]["value"], scores["ne_bbox"]["overall"]["value"]) == (1.0, 0.0)


# Helpers -------------------------------------------------------------------------------------------------------------


def _find_python(version):
    """Return a Python of a version such as "3.12": on PATH, of pyenv, or of uv; None if there is none."""
    found = [shutil.which(f"python{version}"), *Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python")]
    if shutil.which("uv"):
        found.append(subprocess.run(["uv", "python", "find", version], capture_output=True, text=True).stdout.strip())
    program = f"import ensurepip, sys; sys.exit('%d.%d' % sys.version_info[:2] != {version!r})"
    works = (
        path for path in found if path and not subprocess.run([path, "-c", program], capture_output=True).returncode
    )
    return next(works, None)


def _assert_found_alike(found, expected, pixels):
    assert found.ok and len(found.garments) == len(expected.garments) > 0
    np.testing.assert_array_equal(found.garments.types, expected.garments.types)
    for name in ("boxes_xyxy", "keypoints_xy"):
        np.testing.assert_allclose(getattr(found.garments, name), getattr(expected.garments, name), atol=pixels)


def _metadata_of(wheel):
    with zipfile.ZipFile(wheel) as content:
        (name,) = (name for name in content.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(content.read(name))


def _only_of_extras(metadata) -> list[str]:
    """Return the names of the distributions that the extras bring."""
    # Markers without an extra say which Python a requirement is for.
    marked = [one for one in map(Requirement, metadata.get_all("Requires-Dist")) if one.marker]
    of_extras = [one for one in marked if any(one.marker.evaluate({"extra": extra}) for extra in EXTRAS)]
    return sorted({one.name for one in of_extras if not one.marker.evaluate({"extra": ""})})


def _draw_dataset(folder, num):
    """Draw photos of one T-shirt each, and label them as little as COCO requires."""
    folder.mkdir()
    random = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(num):
        x, y = random.integers(30, 80), random.integers(20, 60)
        width, height = random.integers(70, 110), random.integers(80, 120)
        photo = Image.new("RGB", (240, 200), tuple(random.integers(150, 255, 3)))
        draw = ImageDraw.Draw(photo)
        draw.rectangle([x, y, x + width, y + height], fill=tuple(random.integers(0, 100, 3)))
        draw.rectangle([x - 20, y, x + width + 20, y + 25], fill=tuple(random.integers(0, 100, 3)))
        photo.save(folder / f"{number:02}.png")
        # Left is the wearer's, on the right of the photo.
        right, left = x + width, x
        points = [(right - 20, y), (left + 20, y), (right + 20, y + 25), (left - 20, y + 25)]
        points += [(right, y + height), (left, y + height)]
        images.append({"id": number, "file_name": f"{number:02}.png", "width": 240, "height": 200})
        annotation = {"id": number, "image_id": number, "category_id": 1, "num_keypoints": 6, "iscrowd": 0}
        annotation["bbox"] = [int(v) for v in (x - 20, y, width + 40, height)]
        annotation["keypoints"] = [int(v) for point in points for v in (*point, 2)]
        annotations.append(annotation)
    categories = [{"id": 1, "name": "t-shirt (upper-body)", "keypoints": KEYPOINTS}]
    labels = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "labels.json").write_text(json.dumps(labels))


def _predict(installed, model):
    shutil.rmtree(installed.folder / "found", ignore_errors=True)
    photos = ["mine/00.png", "mine/01.png"]
    installed.run("cspn-tf", "predict", *photos, "--model", model, "--out", "found", "--draw")
    assert (installed.folder / "found" / "00.keypoints.jpg").is_file()
    return [json.loads(line) for line in (installed.folder / "found" / "predictions.jsonl").read_text().splitlines()]


def _assert_same_boxes(answer, expected):
    boxes, others = ([garment["box_xyxy"] for garment in one["garments"]] for one in (answer, expected))
    assert len(boxes) == len(others) > 0
    for box, other in zip(boxes, others, strict=True):
        assert box == pytest.approx(other, abs=0.5)


@contextlib.contextmanager
def _serving(installed, model):
    server = installed.start("cspn-tf", "serve", "--model", model, "--port", "0", stdout=subprocess.PIPE)
    try:
        ready = server.stdout.readline()
        assert ready.startswith("ready on "), ready
        yield ready.split()[2]
    finally:
        server.terminate()
        server.communicate()
