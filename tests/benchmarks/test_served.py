import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import served
from benchmarks.served import format_table, summarise
from cspn_tf.console import UserError, run
from cspn_tf.timing import Timing
from tests.fake_model import encode, make_pixels

ROOT = Path(__file__).parents[2]
MACHINE = {"cpu": "a processor", "cores": 2, "threads": 1, "peak_mb": 321.4}
SETTING = {"model": "models/cspn", "version": 3, "photo_sizes": ["512x512"], "repeats": 4}


def test_results_have_median_95th_percentile_and_rate():
    (found,) = summarise({("a way", 8): Timing([10.0, 20.0, 30.0, 40.0])})
    assert found == {
        "runner": "a way",
        "batch_size": 8,
        "median_ms": 25.0,
        "p95_ms": pytest.approx(38.5),
        "photos_per_second": 320.0,
    }


def test_table_puts_ratios_side_by_side():
    times = {
        ("in process", 1): Timing([10.0]),
        ("in process", 8): Timing([40.0]),
        ("gRPC", 1): Timing([15.0]),
        ("gRPC", 8): Timing([50.0]),
        ("TFLite", 1): Timing([5.0]),
    }
    table = format_table(summarise(times), MACHINE, SETTING)
    rows = {line.split("  ")[0]: line.split() for line in table.splitlines()}
    assert rows["in process"][2:] == ["10.0", "ms", "10.0", "ms", "1.00", "200.0", "photos/s", "1.00"]
    assert rows["gRPC"][1:] == ["15.0", "ms", "15.0", "ms", "1.50", "160.0", "photos/s", "0.80"]
    assert rows["TFLite"][1:] == ["5.0", "ms", "5.0", "ms", "0.50"]
    assert "batch of 8" in table
    assert "a processor, 2 cores, 1 threads; peak memory of this process 321 MB" in table
    assert "models/cspn version 3, photos 512x512, 4 runs in turns" in table


def test_command_measures_every_way_and_writes_the_figures(
    model_dir, server, fake_tflite, tmp_path, monkeypatch, capfd
):
    # A server is up already; the test marked slow starts one as the command does.
    monkeypatch.setattr(served, "running_server", lambda *args: contextlib.nullcontext(server.address))
    # Threads cannot be set in a process whose TensorFlow already runs.
    monkeypatch.setattr(served, "set_threads", lambda *_: None)
    photo, figures = tmp_path / "photo.png", tmp_path / "figures.json"
    photo.write_bytes(encode(make_pixels(40, 52)))
    args = ["--model", model_dir, "--photo", photo, "--repeats", 2, "--threads", 1, "--tflite", fake_tflite]
    capfd.readouterr()  # the converter has its say
    assert run(served.main, [*map(str, args), "--json", str(figures)]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    written = json.loads(figures.read_text())
    assert [(row["runner"], row["batch_size"]) for row in written["results"]] == [
        ("SavedModel, in process", 1),
        ("SavedModel, in process", 8),
        ("gRPC, local server", 1),
        ("gRPC, local server", 8),
        ("TFLite, tf.lite", 1),
        ("TFLite, ai-edge-litert", 1),
    ]
    for row in written["results"]:
        assert 0 < row["median_ms"] <= row["p95_ms"]
        assert row["photos_per_second"] == pytest.approx(1000 * row["batch_size"] / row["median_ms"], rel=0.01)
        assert row["runner"] in out
    assert written["machine"]["threads"] == 1
    assert (written["version"], written["photo_sizes"]) == (1, ["52x40"])


@pytest.mark.slow
def test_command_starts_and_stops_its_own_server(model_dir, tmp_path):
    command = [sys.executable, "-m", "serving.benchmark", "--model", model_dir, "--repeats", "2", "--threads", "1"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert "photos 512x512, 2 runs in turns" in result.stdout


def test_a_file_that_is_no_tflite_model_is_an_error(tmp_path):
    (tmp_path / "x.tflite").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"x\.tflite must be a TFLite file from image to num_garments"):
        served.tflite_runners(tmp_path / "x.tflite", encode(make_pixels(40, 52)), 1)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model", "{tmp}/none"], "no model at {tmp}/none: there is no such file or directory"),
        (["--model", "{model}", "--photo", "{tmp}/no.jpg"], "cannot read {tmp}/no.jpg: No such file or directory"),
        (["--model", "{model}", "--photo", "{tmp}/text.jpg"], "{tmp}/text.jpg: not a JPEG or PNG"),
        (["--model", "{model}", "--tflite", "{tmp}/no.tflite"], "{tmp}/no.tflite is not a file"),
    ],
)
def test_what_is_not_there_is_one_line_and_1(model_dir, tmp_path, monkeypatch, capsys, args, message):
    monkeypatch.setattr(served, "set_threads", lambda *_: None)
    (tmp_path / "text.jpg").write_text("text")
    assert run(served.main, [arg.format(tmp=tmp_path, model=model_dir) for arg in args]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: " + message.format(tmp=tmp_path))
    assert err.count("\n") == 1
