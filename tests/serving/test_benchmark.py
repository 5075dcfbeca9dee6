import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cspn_tf.console import UserError, run
from serving import benchmark
from serving.benchmark import Measurement, format_table, measure, synthesise_photo
from tests import photos
from tests.fake_model import encode, make_pixels

ROOT = Path(__file__).parents[2]
MACHINE = {"cpu": "a processor", "cores": 2, "threads": 1, "peak_mb": 321.4}
SETTING = {"model": "models/cspn", "version": 3, "photo_sizes": ["512x512"], "repeats": 4}


def test_measurement_gives_median_95th_percentile_and_rate():
    m = Measurement("a way", 8, (10.0, 20.0, 30.0, 40.0))
    assert (m.median_ms, m.p95_ms, m.photos_per_second) == (25.0, 38.5, 320.0)


def test_measure_takes_turns_after_the_warm_up():
    calls = []
    runners = {("a", 1): lambda: calls.append("a"), ("b", 8): lambda: calls.append("b")}
    measurements = measure(runners, repeats=2)
    assert calls == ["a"] * benchmark.NUM_WARMUP + ["b"] * benchmark.NUM_WARMUP + ["a", "b"] * 2
    assert [(m.runner, m.batch_size, len(m.milliseconds)) for m in measurements] == [("a", 1, 2), ("b", 8, 2)]


def test_table_puts_ratios_side_by_side():
    table = format_table(
        [
            Measurement("in process", 1, (10.0,)),
            Measurement("in process", 8, (40.0,)),
            Measurement("gRPC", 1, (15.0,)),
            Measurement("gRPC", 8, (50.0,)),
            Measurement("TFLite", 1, (5.0,)),
        ],
        MACHINE,
        SETTING,
    )
    rows = {line.split("  ")[0]: line.split() for line in table.splitlines()}
    assert rows["in process"][2:] == ["10.0", "ms", "10.0", "ms", "1.00", "200.0", "photos/s", "1.00"]
    assert rows["gRPC"][1:] == ["15.0", "ms", "15.0", "ms", "1.50", "160.0", "photos/s", "0.80"]
    assert rows["TFLite"][1:] == ["5.0", "ms", "5.0", "ms", "0.50"]
    assert "a processor, 2 cores, 1 threads; peak memory of this process 321 MB" in table
    assert "models/cspn version 3, photos 512x512, 4 runs in turns" in table


def test_synthesised_photo_is_a_jpeg_of_that_size_and_always_the_same():
    photo = synthesise_photo(96)
    assert photo == synthesise_photo(96)
    with Image.open(io.BytesIO(photo)) as image:
        assert (image.format, image.size) == ("JPEG", (96, 96))
        assert np.asarray(image).std() > 20


def test_photo_sizes_are_as_displayed():
    pixels = photos.picture(40, 56)
    turned, stored = photos.jpeg(pixels, orientation=6), photos.png(pixels)
    assert benchmark.photo_sizes([stored, turned, stored]) == [(40, 56), (56, 40)]


def test_command_measures_every_way_and_writes_the_figures(model_dir, server, tmp_path, monkeypatch, capfd):
    # A server is up already; the test marked slow starts one as the command does.
    monkeypatch.setattr(benchmark, "running_server", lambda *args: contextlib.nullcontext(server.address))
    # Threads cannot be set in a process whose TensorFlow already runs.
    monkeypatch.setattr(benchmark, "set_threads", lambda *_: None)
    tflite, photo, figures = tmp_path / "x.tflite", tmp_path / "photo.png", tmp_path / "figures.json"
    tflite.write_bytes(make_tflite())
    photo.write_bytes(encode(make_pixels(40, 52)))
    args = ["--model", model_dir, "--photo", photo, "--repeats", 2, "--threads", 1, "--tflite", tflite]
    capfd.readouterr()  # the converter has its say
    assert run(benchmark.main, [*map(str, args), "--json", str(figures)]) == 0
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


def make_tflite():
    function = tf.function(lambda image: tf.reduce_mean(tf.cast(image, tf.float32), axis=[1, 2]))
    concrete = function.get_concrete_function(tf.TensorSpec([1, 32, 32, 3], tf.uint8, "image"))
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()


def test_a_file_that_is_no_tflite_model_is_an_error(model_dir):
    with pytest.raises(UserError, match="the TFLite model cannot be run: "):
        benchmark.tflite_runners(b"no model", [encode(make_pixels(40, 52))], 1)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model", "{tmp}/none"], "no model at {tmp}/none: there is no such directory"),
        (["--model", "{model}", "--photo", "{tmp}/no.jpg"], "cannot read {tmp}/no.jpg: No such file or directory"),
        (["--model", "{model}", "--photo", "{tmp}/text.jpg"], "{tmp}/text.jpg: not a JPEG or PNG"),
        (["--model", "{model}", "--tflite", "{tmp}/no.tflite"], "cannot read {tmp}/no.tflite: No such file"),
    ],
)
def test_what_is_not_there_is_one_line_and_1(model_dir, tmp_path, monkeypatch, capsys, args, message):
    monkeypatch.setattr(benchmark, "set_threads", lambda *_: None)
    (tmp_path / "text.jpg").write_text("text")
    assert run(benchmark.main, [arg.format(tmp=tmp_path, model=model_dir) for arg in args]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: " + message.format(tmp=tmp_path))
    assert err.count("\n") == 1
