import dataclasses
import json
import sys
from pathlib import Path

import pytest

from benchmarks import compare
from benchmarks.comparison import runners
from benchmarks.comparison.runners import Runner
from cspn_tf.console import run
from tests.benchmarks.workers import fake_script
from tests.fake_model import encode, make_pixels


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(encode(make_pixels(41, 52)))
    return path


@pytest.fixture
def fake_runners(monkeypatch):
    """Replace what the runners' workers run, ours and the peers', in this interpreter."""

    def with_fake(make):
        def fake(*args):
            return [dataclasses.replace(runner, script=FAKE) for runner in make(*args)]

        return fake

    # Whatever this checkout and this machine have.
    monkeypatch.setattr(compare, "PEERS_PYTHON", "no-peers/bin/python")
    monkeypatch.setattr(compare.os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    FAKE = Path(fake_script.__file__)
    monkeypatch.setattr(runners, "OURS", FAKE)
    monkeypatch.setattr(runners, "our_runners", with_fake(runners.our_runners))


def call(*args):
    return run(compare.main, [str(arg) for arg in args])


def test_command_measures_and_writes_figures_report_and_picture(model_dir, photo, fake_runners, tmp_path, capsys):
    out = tmp_path / "out"
    metrics = tmp_path / "metrics.json"
    metrics.write_text(json.dumps({"ne_bbox": {"value": 0.05}}))
    args = ["--model", model_dir, "--ours", f"other={model_dir}", "--photos", photo, "--threads", 1]
    args += ["--rounds", 2, "--repeats", 3, "--accuracy", f"other={metrics}", "--out", out]
    assert call(*args) == 0
    printed, err = capsys.readouterr()
    assert "There is no no-peers/bin/python: only our own runners were measured." in err
    figures = json.loads((out / "figures.json").read_text())
    assert [row["name"] for row in figures["runners"]] == [
        "cspn, SavedModel in process, 1 intra-op",
        "cspn, SavedModel over gRPC, 1 intra-op",
        "other, SavedModel in process, 1 intra-op",
        "other, SavedModel over gRPC, 1 intra-op",
    ]
    assert [row["ne_bbox"] for row in figures["runners"]] == [None, None, 0.05, 0.05]
    assert all(row["num_runs"] == 6 and 0 < row["median_ms"] <= row["p95_ms"] for row in figures["runners"])
    assert figures["photos"] == "1, 52x41"
    text = (out / "report.md").read_text()
    assert text in printed
    assert "only our own runners were measured" in text
    assert sorted(path.name for path in out.iterdir()) == ["figures.json", "latency.png", "report.md"]


def test_photos_without_garments_are_pointed_out(model_dir, fake_runners, tmp_path, monkeypatch, capsys):
    # The fake runner finds a garment a byte.
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    monkeypatch.setattr(compare, "_photo_files", lambda paths, work_dir: ([str(empty)], "one, empty"))
    assert call("--model", model_dir, "--threads", 1, "--rounds", 1, "--repeats", 1, "--out", tmp_path / "out") == 0
    assert "found no garment in 100% of the photos" in (tmp_path / "out" / "report.md").read_text()


def test_a_busy_machine_is_pointed_out():
    assert compare._note_of_load(0.4) == []
    (note,) = compare._note_of_load(3.25)
    assert "load average 3.25" in note


def test_the_photo_is_synthesised_where_none_is_given(tmp_path):
    (path,), described = compare._photo_files([], tmp_path)
    assert described == "1, synthesised, 512x512"
    assert Path(path).read_bytes()[:2] == b"\xff\xd8"


def test_a_worker_that_dies_is_one_line_that_names_it(model_dir, photo, monkeypatch, tmp_path, capsys):
    dying = Runner("cspn", "a runtime", Path(fake_script.__file__), {"threads": 1, "die": True, "work_dir": "."})
    monkeypatch.setattr(compare, "_choose_runners", lambda *args: ([dying], []))
    monkeypatch.setattr(
        runners, "command_of", lambda runner, _: {"python": sys.executable, "script": fake_script.__file__}
    )
    assert call("--model", model_dir, "--photos", photo, "--out", tmp_path / "out") == 1
    err = capsys.readouterr().err
    assert err.splitlines()[-1] == "error: cspn, a runtime: the worker died: the last words"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ([], 2, "give a model of ours: --model or --ours"),
        (["--tflite", "x.tflite"], 2, "--tflite needs --model"),
        (["--ours", "models/cspn"], 2, "--ours must be NAME=VALUE, received 'models/cspn'"),
        (["--model", "{tmp}/none"], 1, "no model at {tmp}/none: there is no such file or directory"),
        (["--ours", "a={model},{model}"], 2, "--ours a must have one directory, one .tflite file or both, received"),
        (["--ours", "a={tmp}/no.tflite"], 1, "a: {tmp}/no.tflite is not a file"),
        (["--model", "{model}", "--tflite", "{tmp}/no.tflite"], 1, "cspn: {tmp}/no.tflite is not a file"),
        (["--model", "{model}", "--photos", "{tmp}/no.jpg"], 1, "cannot read {tmp}/no.jpg: No such file or directory"),
        (["--model", "{model}", "--peers-python", "{tmp}/python"], 1, "there is no interpreter {tmp}/python"),
        (["--model", "{model}", "--only", "yolo9"], 2, "--only yolo9 leaves no runner of cspn, SavedModel in process"),
        (["--model", "{model}", "--detector", "runs/d"], 2, "--detector and --keypoints go together, for the same"),
        (
            ["--model", "{model}", "--detector", "b=runs/d", "--keypoints", "b=runs/k"],
            2,
            "--detector: there is no model of ours called b",
        ),
        (["--model", "{model}", "--accuracy", "cspn={tmp}/no.json"], 1, "cannot read {tmp}/no.json: No such file"),
        (["--model", "{model}", "--accuracy", "cspn={tmp}/a.json"], 1, "{tmp}/a.json is not a metrics.json of"),
    ],
)
def test_what_is_wrong_is_one_line(model_dir, tmp_path, capsys, args, code, message):
    (tmp_path / "a.json").write_text("{}")
    assert call(*(arg.format(tmp=tmp_path, model=model_dir) for arg in args)) == code
    out, err = capsys.readouterr()
    assert out == ""
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert errors[0].startswith("error: " + message.format(tmp=tmp_path))
