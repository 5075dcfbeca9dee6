"""`cspn-tf predict` with a served model whose answers are known."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cspn_tf.cli import predict
from cspn_tf.cli.answers import WRITERS, name_pictures
from cspn_tf.cli.main import main
from cspn_tf.console import run
from cspn_tf.data.coco import read_labelled_images, write_coco
from cspn_tf.data.samples import Sample
from cspn_tf.evaluation.inputs import read_coco_files
from cspn_tf.result import Result
from tests.fake_model import encode, expected_result, make_pixels

ROOT = Path(__file__).parents[2]
# Height, width; the fake model finds as many garments as the width leaves over from 3.
SIZES = {"a.png": (41, 52), "sub/b.PNG": (63, 35), "sub/c.jpeg": (30, 48)}


@pytest.fixture
def folder(tmp_path):
    """Three good photos, and what is no photo."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for name, size in SIZES.items():
        (folder / name).write_bytes(encode(make_pixels(*size), "PNG" if name.lower().endswith("png") else "JPEG"))
    for name in ("notes.txt", "._a.png", "sub/.hidden.jpg"):
        (folder / name).write_bytes(b"no photo")
    return folder


def call(model_dir, out, *args):
    return run(predict.main, ["--model", str(model_dir), "--out", str(out), *map(str, args)])


def expected(folder, name):
    return expected_result(np.asarray(Image.open(folder / name).convert("RGB")), str(folder / name))


def assert_alike(found, wanted):
    """Compare two results; files round to a hundredth."""
    assert (found.name, found.status, found.image_size) == (wanted.name, wanted.status, wanted.image_size)
    np.testing.assert_array_equal(found.garments.types, wanted.garments.types)
    for name in ("boxes_xyxy", "keypoints_xy", "scores", "keypoint_scores") if len(wanted.garments) else ():
        np.testing.assert_allclose(getattr(found.garments, name), getattr(wanted.garments, name), atol=0.011)


# What is written -----------------------------------------------------------------------------------------------------


def test_folders_are_searched_and_one_line_a_photo_is_written(model_dir, folder, tmp_path, capsys):
    out = tmp_path / "new" / "out"
    assert call(model_dir, out, folder) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.splitlines()[-1] == f"written to {out}: predictions.jsonl, 0 photos failed"
    assert "3 of 3 photos processed" in captured.out
    results = [Result.from_dict(json.loads(line)) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert [len(result.garments) for result in results] == [1, 2, 0]
    for result, name in zip(results, SIZES, strict=True):
        assert_alike(result, expected(folder, name))
    assert [path.name for path in out.iterdir()] == ["predictions.jsonl"]


def test_csv_has_a_row_a_garment_and_one_for_photos_without(model_dir, folder, tmp_path):
    bad = tmp_path / "bad,\r.jpg"
    bad.write_bytes(b"no photo")
    assert call(model_dir, tmp_path / "out", "--format", "csv", folder, bad) == 1
    with open(tmp_path / "out" / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [str(folder / name) for name in ("a.png", "sub/b.PNG", "sub/b.PNG", "sub/c.jpeg")]
    assert [row["photo"] for row in rows] == [*names, str(bad)]
    assert [row["status"] for row in rows] == ["0", "0", "0", "0", "1"]
    assert [(row["width"], row["height"]) for row in rows[:2]] == [("52", "41"), ("35", "63")]
    garments = expected(folder, "a.png").garments.to_dicts()[0]
    assert (rows[0]["type"], float(rows[0]["score"])) == (garments["type"], garments["score"])
    assert [float(rows[0][name]) for name in ("x_min", "y_min", "x_max", "y_max")] == garments["box_xyxy"]
    for name, point in garments["keypoints"].items():
        assert {value: float(rows[0][f"{name}_{value}"]) for value in ("x", "y", "score")} == point
    filled = {name for name in rows[0] if name.endswith("_x") and rows[0][name]}
    assert filled == {f"{name}_x" for name in garments["keypoints"]}
    assert set(list(rows[3].values())[4:]) == set(list(rows[4].values())[4:]) == {""}


def test_coco_is_a_document_that_coco_readers_read(model_dir, folder, tmp_path, monkeypatch, capsys):
    from pycocotools.coco import COCO

    monkeypatch.chdir(tmp_path)
    assert call(model_dir, "out", "--format", "coco", folder, "photos/missing.jpg") == 1
    capsys.readouterr()
    path = tmp_path / "out" / "predictions.coco.json"
    images = read_labelled_images([path])[0]
    assert [image.name for image in images.values()] == list(SIZES)
    coco = COCO(str(path))
    assert [coco.imgs[i]["height"] for i in (1, 2, 3)] == [41, 63, 30]
    for image_id, name in enumerate(SIZES, start=1):
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=[image_id]))
        wanted = expected(folder, name).garments
        assert len(annotations) == len(wanted)
        if annotations:
            found = images[image_id].garments
            np.testing.assert_array_equal(found.types, wanted.types)
            np.testing.assert_array_equal(found.visibility, 2 * wanted.of_type)
            np.testing.assert_allclose(found.boxes_xyxy, wanted.boxes_xyxy, atol=1e-4)
            np.testing.assert_allclose(found.keypoints_xy, wanted.keypoints_xy, atol=1e-4)
            np.testing.assert_allclose([entry["score"] for entry in annotations], wanted.scores, atol=1e-4)
            keypoint_scores = [entry["keypoint_scores"] for entry in annotations]
            np.testing.assert_allclose(keypoint_scores, wanted.keypoint_scores, atol=1e-4)


def test_a_coco_document_is_measured_against_labels(model_dir, folder, tmp_path, capsys):
    labels = {name: expected(folder, name).garments for name in reversed(SIZES)}
    labels = {name: garments.replace(visibility=2 * garments.of_type) for name, garments in labels.items()}
    write_coco(
        tmp_path / "truth.json",
        ((Sample(name, None, garments, name, name), *SIZES[name]) for name, garments in labels.items()),
    )
    assert call(model_dir, tmp_path / "out", "--format", "coco", folder) == 0
    matched, _ = read_coco_files([tmp_path / "truth.json"], tmp_path / "out" / "predictions.coco.json")
    assert matched.found.tolist() == [True] * 3
    np.testing.assert_allclose(matched.predicted.keypoints_xy, matched.labels.keypoints_xy, atol=1e-3)
    wanted = [score for garments in labels.values() for score in garments.scores]
    np.testing.assert_allclose(matched.predicted.scores, wanted, atol=1e-6)
    np.testing.assert_allclose(matched.predicted.keypoint_scores.max(axis=1), wanted, atol=1e-6)


def test_pictures_are_drawn_and_not_taken_for_photos_by_the_next_call(model_dir, folder, tmp_path, capsys):
    (folder / "sub" / "a.jpg").write_bytes((folder / "sub" / "c.jpeg").read_bytes())
    for _ in range(2):
        assert call(model_dir, folder, "--draw", folder) == 0
        pictures = sorted(path.name for path in folder.glob("*.jpg"))
        assert pictures == ["a-2.keypoints.jpg", "a.keypoints.jpg", "b.keypoints.jpg", "c.keypoints.jpg"]
    with Image.open(folder / "a.keypoints.jpg") as picture:
        assert picture.size == (52, 41)


@pytest.mark.parametrize("format", ["jsonl", "csv", "coco"])
def test_results_are_written_as_they_come(tmp_path, format):
    name, write = predict.WRITERS[format]
    seen = []

    def results():
        for index in range(5000):
            seen.append(index)
            yield Result(0, (4, 4), name=f"{index}.jpg")
            if index == 4000:
                # A file's buffer holds a few kilobytes.
                assert sum(path.stat().st_size for path in tmp_path.iterdir()) > 100_000

    write(tmp_path / name, results())
    assert len(seen) == 5000
    assert (tmp_path / name).read_text().count("4999.jpg") == 1


def test_names_that_are_not_utf8_are_kept(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    for file_name, write in predict.WRITERS.values():
        write(tmp_path / file_name, [Result(0, (4, 4), name=name)])
    assert b"caf\xe9.jpg" in (tmp_path / "predictions.csv").read_bytes()
    assert json.loads((tmp_path / "predictions.jsonl").read_text())["photo"] == name
    assert json.loads((tmp_path / "predictions.coco.json").read_text())["images"][0]["file_name"] == name


# What fails ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
@pytest.mark.parametrize("format", WRITERS)
def test_photos_whose_names_are_not_utf8_are_looked_at(model_dir, folder, tmp_path, format, capsys):
    photo = tmp_path / os.fsdecode(b"caf\xe9.png")
    (folder / "a.png").rename(photo)
    options = ["predict", "--model", str(model_dir), "--out", str(tmp_path / "out"), "--draw", "--format", format]
    assert main([*options, str(photo)]) == 0
    assert capsys.readouterr().err == ""
    assert (tmp_path / "out" / os.fsdecode(b"caf\xe9.keypoints.jpg")).exists()


def test_a_bad_photo_is_one_line_and_costs_nothing_else(model_dir, folder, tmp_path, capsys):
    (folder / "bad.jpg").write_bytes(b"no photo")
    assert call(model_dir, tmp_path / "out", folder, tmp_path / "missing.jpg", "--draw", "--batch-size", 2) == 1
    assert capsys.readouterr().err == (
        f"error: {folder}/bad.jpg: not a JPEG or PNG\nerror: {tmp_path}/missing.jpg: the file could not be read\n"
    )
    lines = (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"]["code"] for line in lines] == [0, 1, 0, 0, 4]
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 3


@pytest.mark.parametrize("error", [OSError("gone"), ValueError("gone")])
def test_a_picture_that_cannot_be_drawn_counts_as_failed(model_dir, folder, tmp_path, monkeypatch, capsys, error):
    def fail(self):
        raise error

    monkeypatch.setattr(Result, "draw", fail)
    assert call(model_dir, tmp_path / "out", folder / "a.png", "--draw") == 1
    assert capsys.readouterr().err == f"error: {folder}/a.png: cannot draw {tmp_path}/out/a.keypoints.jpg: gone\n"


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["{photos}", "--out", "{out}", "--cm-per-pixel", "1"], 2, "--cm-per-pixel is for --format csv"),
        (["{photos}", "--out", "{out}", "--format", "csv", "--cm-per-pixel", "-1"], 2, "must be a number above 0"),
        (["{photos}", "--out", "{out}", "--detector", "x"], 2, "give either --model, or --detector and --keypoints"),
        (["{photos}", "--out", "{out}", "--model", "m", "--detector", "x", "--keypoints", "y"], 2, "give either"),
        (["{photos}", "--model", "{model}"], 2, "--out"),
        (["{photos}", "--out", "{photos}/a.png", "--model", "{model}"], 2, "is a file, required a folder"),
        (["{photos}", "--out", "{out}", "--model", "{out}/nothing"], 1, "no model at {out}/nothing"),
        (["{photos}/none", "--out", "{out}", "--model", "{model}"], 1, "{photos}/none: no photo in it"),
        (["{photos}", "--out", "{photos}/a.png/x", "--model", "{model}"], 2, "a.png is a file, required a folder"),
        (["{photos}/gone.jpg", "{photos}/*.gif", "--out", "{out}"], 1, "{photos}/gone.jpg: no such file or folder"),
        (["{photos}", "--out", "{out}", "--model", "{model}", "--format", "xml"], 2, "--format"),
    ],
)
def test_a_wrong_call_is_one_line_and_leaves_nothing(args, code, message, model_dir, folder, tmp_path, capsys):
    (folder / "none").mkdir()
    places = {"photos": folder, "out": tmp_path / "out", "model": model_dir}
    try:
        found = run(predict.main, [arg.format(**places) for arg in args])
    except SystemExit as stop:
        found = stop.code
    err = capsys.readouterr().err
    assert found == code
    assert err.startswith("error: ") and err.count("\n") == 1 and message.format(**places) in err
    assert not (tmp_path / "out").exists()


def test_a_folder_in_the_place_of_the_results_is_named_before_the_work(model_dir, folder, tmp_path, capsys):
    (tmp_path / "predictions.csv").mkdir()
    assert call(model_dir, tmp_path, folder, "--format", "csv") == 2
    said = capsys.readouterr()
    assert f"{tmp_path}/predictions.csv is a folder, required a file" in said.err and said.out == ""


def test_a_folder_that_may_not_be_written_is_one_line(model_dir, folder, tmp_path, monkeypatch, capsys):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert call(model_dir, tmp_path / "out", folder) == 1
    assert capsys.readouterr().err == f"error: {tmp_path}/out: Permission denied\n"


def test_interrupted_it_leaves_nothing_half_written(model_dir, folder, tmp_path):
    for index in range(300):
        (folder / f"{index:03}.png").write_bytes(encode(make_pixels(300, 400)))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "cspn_tf.cli.main", "predict", folder]
    command += ["--model", model_dir, "--out", out, "--draw"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(out.glob("*.jpg")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[1] == "interrupted\n"
    assert process.returncode == 130
    left = sorted(path.name for path in out.iterdir())
    assert 0 < len(left) < 300 and all(name.endswith(".keypoints.jpg") and name[0] != "." for name in left)
    for name in left:
        Image.open(out / name).load()


# Which photos --------------------------------------------------------------------------------------------------------


def test_a_folder_that_fails_is_one_line_and_costs_nothing_else(model_dir, folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "none").mkdir()
    (folder / "closed").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert call(model_dir, tmp_path / "out", tmp_path / "none", folder) == 1
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/none: no photo in it: no .jpg, .jpeg, .jpe, .jfif, .png, .webp\n"
        f"error: {folder}/closed: Permission denied\n"
    )
    assert (tmp_path / "out" / "predictions.jsonl").read_text().count("\n") == 3


def test_many_pictures_of_one_name_are_numbered_in_no_time(tmp_path):
    photos = [f"{index}/front.jpg" for index in range(5000)]
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "link.jpg").symlink_to(out / "front-3.keypoints.jpg")
    photos += [str(out / "front-2.keypoints.jpg"), str(tmp_path / "link.jpg"), "front-4.png"]
    start = time.monotonic()
    paths = name_pictures(photos, out)
    assert time.monotonic() - start < 10
    names = [path.name.removesuffix(".keypoints.jpg") for path in paths.values()]
    assert names[:3] == ["front", "front-4", "front-5"] and names[4999] == "front-5002"
    assert names[5000:] == ["front-2.keypoints", "link", "front-4-2"]


@pytest.mark.parametrize("way", ["tflite", "trainings"])
def test_other_kinds_of_model_can_be_named(way, monkeypatch, folder, tmp_path):
    from cspn_tf.inference import model

    asked = []

    def load(*args, **kwargs):
        asked.append((args, kwargs))
        return lambda photos, batch_size: (Result(0, (4, 4), name=photo) for photo in photos)

    monkeypatch.setattr(model, "load", load)
    options = {"tflite": ["--model", "a.tflite"], "trainings": ["--detector", "d", "--keypoints", "k"]}[way]
    assert run(predict.main, [str(folder), "--out", str(tmp_path / "out"), *options]) == 0
    expected = {
        "tflite": (("a.tflite",), {"detector": None, "keypoints": None}),
        "trainings": ((None,), {"detector": "d", "keypoints": "k"}),
    }
    assert asked == [expected[way]]
