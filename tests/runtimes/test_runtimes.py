"""The export of this TensorFlow gives the same answers in later ones, in C++, in the newest LiteRT, and in a browser.

`make test-runtimes` runs it: it makes an environment of each version, several gigabytes, and prints the table of
docs/compatibility.md.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cspn_tf.cli import page
from cspn_tf.contract import OUTPUTS, STATUS_OK
from cspn_tf.export.check import ALLOWED_OPS
from cspn_tf.files import read_json
from cspn_tf.inference.lite import outputs_on_photos
from cspn_tf.result import STATUS_MEANINGS, Result
from tests.web.browser import CHROMIUM, node, program, serve_page

ROOT = Path(__file__).parents[2]
ANSWER = Path(__file__).with_name("answer.py")
ENVIRONMENTS = ROOT / "out" / "runtimes"
# Name of an environment to what is installed in it; the first is this environment.
TENSORFLOWS = {"2.15": None, "2.19": "tensorflow-cpu==2.19.*", "2.21": "tensorflow-cpu==2.21.*"}
LITERT = {"litert": "ai-edge-litert"}
# Photo pixels, and shares: what later versions may differ by, since they sum in another order.
PIXELS, SCORES = 0.01, 1e-4
NUM_PHOTOS, SIZE = 200, 512
OWN_PHOTOS = os.environ.get("PHOTOS")

pytestmark = [pytest.mark.slow, pytest.mark.runtimes]


def python_of(name):
    """Return the interpreter of an environment, which is made once."""
    package = (TENSORFLOWS | LITERT)[name]
    if package is None:
        return sys.executable
    folder = ENVIRONMENTS / name
    if not (folder / "installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin/python", "-m", "pip", "install", "--quiet", "numpy", package], check=True)
        (folder / "installed").touch()
    return str(folder / "bin/python")


def version_of(python, module):
    command = [python, "-c", f"import importlib.metadata as m; print(m.version('{module}'))"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def run(*command, **options):
    finished = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return finished.stdout


@pytest.fixture(scope="module")
def table(request):
    """Rows of the table, printed at the end."""
    rows = []
    yield rows
    lines = ["| runtime | loaded by | largest difference, pixels | of scores |", "| --- | --- | --- | --- |"]
    lines += [f"| {name} | {loader} | {pixels:.4f} | {scores:.1e} |" for name, loader, pixels, scores in rows]
    text = "\n".join(lines)
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    (ENVIRONMENTS / "compatibility.md").write_text(text + "\n")
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{text}")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The weights in the package as a SavedModel version and as a TFLite file."""
    from cspn_tf.cli import export_saved_model, export_tflite

    folder = tmp_path_factory.mktemp("exported")
    export_saved_model.main(["--out", str(folder / "cspn")])
    export_tflite.main(["--out", str(folder / "phone")])
    return folder / "cspn" / "1", folder / "phone" / "cspn.tflite"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photos with garments, and files of every status."""
    from cspn_tf.data.synthetic import write_synthetic_dataset
    from tests import photos as kinds

    folder = tmp_path_factory.mktemp("photos")
    write_synthetic_dataset(folder / "fld", num_train=10, num_val=1, num_test=1, seed=11, size=480, workers=2)
    files = [path.read_bytes() for path in sorted((folder / "fld/img").rglob("*.jpg"))]
    picture = kinds.picture(300, 200)
    files += [
        kinds.png(picture),
        kinds.jpeg(picture, mode="CMYK"),
        kinds.jpeg(picture, orientation=6, progressive=True),
    ]
    files += [kinds.other_format("GIF"), kinds.other_format("BMP"), kinds.png_with_size(20_000, 20_000), files[0][:999]]
    paths = [folder / f"{number:02}" for number in range(len(files))]
    for path, file in zip(paths, files, strict=True):
        path.write_bytes(file)
    return paths


@pytest.fixture(scope="module")
def expected(exported, photos):
    """The answers of this environment, by the pipeline's own loader."""
    from cspn_tf.inference.predictors import from_saved_model

    outputs = from_saved_model(exported[0]).predict([path.read_bytes() for path in photos])
    assert set(outputs["status"]) == set(STATUS_MEANINGS) and outputs["num_garments"].sum() > 8
    return outputs


def compare(found, expected):
    """Return the largest difference of boxes and keypoints, and of scores; everything else must be equal."""
    assert set(found) == set(expected)
    for name in ("status", "image_size", "num_garments", "classes"):
        if name in expected:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    pixels = max(float(np.abs(found[name] - expected[name]).max()) for name in ("boxes", "keypoints"))
    scores = max(float(np.abs(found[name] - expected[name]).max()) for name in ("scores", "keypoint_scores"))
    assert pixels <= PIXELS and scores <= SCORES
    return pixels, scores


@pytest.mark.parametrize("way", ["v1", "function"])
@pytest.mark.parametrize("name", TENSORFLOWS)
def test_tensorflow_answers_the_same(name, way, exported, photos, expected, table, tmp_path):
    python = python_of(name)
    out = tmp_path / "out.npz"
    run(python, ANSWER, way, exported[0], out, *photos, cwd=tmp_path)
    version = version_of(python, "tensorflow" if name == "2.15" else "tensorflow-cpu")
    loader = {"v1": "v1 session, as TF Serving does", "function": "`tf.function` signature"}[way]
    table.append((f"TensorFlow {version}", loader, *compare(dict(np.load(out)), expected)))


@pytest.mark.parametrize("name", TENSORFLOWS)
def test_every_operation_of_the_allow_list_is_there(name, tmp_path):
    script = "import sys, tensorflow as tf; print([n for n in sys.argv[1:] if not hasattr(tf.raw_ops, n)])"
    assert run(python_of(name), "-c", script, *sorted(ALLOWED_OPS), cwd=tmp_path).strip() == "[]"


def test_the_c_plus_plus_loader_answers_the_same(exported, photos, expected, table, tmp_path):
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler is installed")
    import tensorflow as tf

    folder = Path(tf.sysconfig.get_lib())
    program = tmp_path / "answer"
    libraries = ["-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"]
    source = ANSWER.with_suffix(".cc")
    flags = tf.sysconfig.get_compile_flags()
    run(compiler, "-O1", *flags, source, "-o", program, f"-L{folder}", f"-Wl,-rpath,{folder}", *libraries)
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    run(program, exported[0], outputs, *photos)
    found = {
        name: np.frombuffer((outputs / name).read_bytes(), output.dtype).reshape(expected[name].shape)
        for name, output in OUTPUTS.items()
    }
    table.append((f"TensorFlow {tf.__version__}", "C++, `LoadSavedModel`", *compare(found, expected)))


@pytest.fixture(scope="module")
def canvases(exported, tmp_path_factory):
    """Path of canvases of 200 photos, and the answers of the SavedModel's `pixels` signature to them."""
    from cspn_tf.config import Config
    from cspn_tf.data.synthetic import write_synthetic_dataset
    from cspn_tf.inference.predictors import from_saved_model
    from cspn_tf.resampling import read_photo

    folder = tmp_path_factory.mktemp("canvases")
    if OWN_PHOTOS:
        paths = sorted(Path(OWN_PHOTOS).rglob("*.jpg"))[:NUM_PHOTOS]
    else:
        write_synthetic_dataset(folder / "fld", num_train=NUM_PHOTOS - 2, num_val=1, num_test=1, seed=3, workers=2)
        paths = sorted((folder / "fld/img").rglob("*.jpg"))
    assert len(paths) == NUM_PHOTOS
    pixels = np.stack([read_photo(path.read_bytes(), SIZE, Config.max_pixels)[0].numpy() for path in paths])
    predict = from_saved_model(exported[0]).predict_pixels
    answers = [predict(canvas[np.newaxis]) for canvas in pixels]
    np.save(folder / "canvases.npy", pixels)
    return folder / "canvases.npy", {name: np.concatenate([one[name] for one in answers]) for name in answers[0]}


def tflite_python(way):
    """Return the interpreter of a way to run a TFLite file, and the row's name."""
    if way == "tflite":
        return sys.executable, f"TensorFlow Lite {version_of(sys.executable, 'tensorflow')}"
    return python_of("litert"), f"ai-edge-litert {version_of(python_of('litert'), 'ai-edge-litert')}"


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("way", ["tflite", "litert", "compiled"])
def test_the_tflite_file_answers_as_the_saved_model(way, threads, exported, canvases, table, tmp_path):
    python, name = tflite_python(way)
    path, expected = canvases
    run(python, ANSWER, way, exported[1], tmp_path / "out.npz", path, threads, cwd=tmp_path)
    # A photo of the canvas's size is the canvas: only what is outside of it is clipped.
    frame = np.float32([[1, 0, 0]]), np.int32([[SIZE, SIZE]]), np.int32([STATUS_OK])
    frame = [np.repeat(part, NUM_PHOTOS, axis=0) for part in frame]
    found = outputs_on_photos(dict(np.load(tmp_path / "out.npz")), *frame)
    loader = {"compiled": "`CompiledModel`"}.get(way, "`Interpreter`")
    table.append((name, f"{loader}, {threads} thread{'s' * (threads > 1)}", *compare(found, expected)))


def test_the_browser_answers_as_the_saved_model(exported, canvases, table, tmp_path):
    path, expected = canvases
    files = [tmp_path / f"{number:03}.png" for number in range(NUM_PHOTOS)]
    for file, canvas in zip(files, np.load(path), strict=True):
        Image.fromarray(canvas).save(file)
    with serve_page("--model", exported[1]) as (url, _):
        node("canvases.mjs", program(*CHROMIUM), url, tmp_path / "answers.jsonl", *files)
    results = [Result.from_dict(json.loads(line)) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [result.name for result in results] == [file.name for file in files]
    columns = {"boxes": "boxes_xyxy", "classes": "types", "scores": "scores"}
    columns |= {"keypoints": "keypoints_xy", "keypoint_scores": "keypoint_scores"}
    found = {name: np.zeros_like(expected[name]) for name in columns}
    found["num_garments"] = np.array([len(result.garments) for result in results])
    for row, result in enumerate(results):
        for name, column in columns.items():
            found[name][row, : len(result.garments)] = getattr(result.garments, column)
    version = read_json(page.WEB / "package.json")["dependencies"]["@litertjs/core"]
    # The page saves two decimals of pixels, and four of scores.
    differences = compare(found, {name: expected[name] for name in found})
    table.append((f"LiteRT.js {version}", "the page in Chromium", *differences))
