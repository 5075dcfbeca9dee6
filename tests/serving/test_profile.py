import json

import pytest

from cspn_tf.console import run
from serving import profile

MS = {
    "call": 0.1,
    "decode": 1.1,
    "read": 1.6,
    "inputs": 0.4,
    "crops": 0.3,
    "peaks": 0.2,
    "whole": 12.0,
    "detector/backbone": 4.1,
    "detector/pyramid": 4.6,
    "detector/head": 6.1,
    # Measured a little faster than the part before it: no part takes less than nothing.
    "detector/NMS": 6.0,
    "keypoints/backbone": 2.1,
    "keypoints/stages": 3.1,
    "large": 2.1,
}
FLOPS = {"detector": 600_000_000, "keypoints": 300_000_000, "large": 400_000_000}


def test_parts_are_the_differences_and_the_rest_is_the_joints():
    found = profile.summarise(MS, FLOPS, batch_size=1, crops_per_photo=1.0)
    parts = {part["part"]: part["ms"] for part in found["parts"]}
    assert parts == pytest.approx(
        {
            "decode": 1.0,
            "canvas": 0.8,  # 0.5 of reading beyond decoding, 0.3 of the detector's input
            "detector backbone": 4.0,
            "detector pyramid": 0.5,
            "detector head": 1.5,
            "detector NMS": 0.0,
            "crop": 0.2,
            "keypoints backbone": 2.0,
            "keypoints stages": 1.0,
            "heatmap decode": 0.1,
            "joints": 0.8,  # 12.0 less the call's 0.1 and the 11.1 above
        }
    )


def test_overhead_is_over_the_two_networks_alone():
    found = profile.summarise(MS, FLOPS, batch_size=1, crops_per_photo=1.0)
    # 6.1 and 3.1 each with a call, of which the whole has one.
    assert found["networks_ms"] == pytest.approx(9.1)
    assert found["overhead"] == pytest.approx(12.0 / 9.1 - 1)


def test_operations_a_second_are_beside_a_large_convolutions():
    found = profile.summarise(MS, FLOPS, batch_size=1, crops_per_photo=1.0)
    assert found["large_convolution_gflops_per_second"] == pytest.approx(0.4 / 0.002)
    detector = found["networks"]["detector"]
    assert detector["gflops_per_second"] == pytest.approx(0.6 / 0.006)
    assert detector["share_of_large_convolution"] == pytest.approx(0.5)
    # Milliseconds are a photo's, the convolution's operations a call's.
    assert profile.summarise(MS, FLOPS, batch_size=4, crops_per_photo=1.0)[
        "large_convolution_gflops_per_second"
    ] == pytest.approx(50.0)


def test_command_prints_every_part_and_writes_the_figures(tiny_detector, tiny_keypoints, tmp_path, monkeypatch, capsys):
    # Threads cannot be set in a process whose TensorFlow already runs.
    monkeypatch.setattr(profile, "set_threads", lambda *_: None)
    monkeypatch.setattr(profile, "BATCH_SIZES", (1, 2))
    figures = tmp_path / "figures.json"
    args = ["--detector", tiny_detector, "--keypoints", tiny_keypoints, "--repeats", "1", "--json", figures]
    assert run(profile.main, [str(arg) for arg in args]) == 0
    out = capsys.readouterr().out
    written = json.loads(figures.read_text())
    assert [found["batch_size"] for found in written["profiles"]] == [1, 2]
    names = [part["part"] for part in written["profiles"][0]["parts"]]
    assert names[:4] == ["decode", "canvas", "detector backbone", "detector pyramid"]
    assert names[-4:] == ["keypoints backbone", "keypoints stages", "heatmap decode", "joints"]
    assert all(name in out for name in names)
    # Every photo has the same garments.
    assert written["profiles"][0]["crops_per_photo"] == written["profiles"][1]["crops_per_photo"] >= 1
