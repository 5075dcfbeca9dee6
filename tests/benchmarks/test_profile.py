import json

import pytest

from benchmarks import profile
from cspn_tf.console import run

MS = {
    "call": 0.1,
    "read photos": 1.6,
    "canvas pyramid": 0.4,
    "find garments": 6.1,
    "find keypoints": 3.3,
    # Measured a little faster than a call of nothing: no step takes less than nothing.
    "write outputs": 0.05,
    "whole": 12.0,
    "detector": 6.1,
    "keypoints": 3.1,
    "large": 2.1,
}
FLOPS = {"detector": 600_000_000, "keypoints": 300_000_000}
# 64 x 64 places, 3 x 3 x 256 weights for each of 256 channels, a multiplication and an addition each.
LARGE_GFLOPS = 4.831838208


def test_steps_are_without_the_call_and_the_rest_is_unattributed():
    found = profile.summarise(MS, FLOPS, batch_size=1, crops_per_photo=1.0)
    parts = {part["part"]: part["ms"] for part in found["parts"]}
    assert parts == pytest.approx(
        {
            "read photos": 1.5,
            "canvas pyramid": 0.3,
            "find garments": 6.0,
            "find keypoints": 3.2,
            "write outputs": 0.0,
            "unattributed": 0.9,  # 12.0 less the call's 0.1 and the 11.0 above
        }
    )
    # Steps may take longer than the whole, which does some of their work once.
    found = profile.summarise({**MS, "whole": 10.0}, FLOPS, batch_size=1, crops_per_photo=1.0)
    assert found["parts"][-1] == {"part": "unattributed", "ms": 0.0}


def test_overhead_is_over_the_two_networks_alone():
    found = profile.summarise(MS, FLOPS, batch_size=1, crops_per_photo=1.0)
    # 6.1 and 3.1 each with a call, of which the whole has one.
    assert found["networks_ms"] == pytest.approx(9.1)
    assert found["overhead"] == pytest.approx(12.0 / 9.1 - 1)


def test_operations_a_second_are_beside_a_large_convolutions():
    found = profile.summarise(MS, FLOPS, batch_size=1, crops_per_photo=1.0)
    large = LARGE_GFLOPS / 0.002
    assert found["large_convolution_gflops_per_second"] == pytest.approx(large)
    detector, keypoints = (found["networks"][name] for name in ("detector", "keypoints"))
    assert detector["gflops_per_second"] == pytest.approx(0.6 / 0.006)
    assert detector["share_of_large_convolution"] == pytest.approx(0.6 / 0.006 / large)
    assert keypoints["gflops_per_second"] == pytest.approx(0.3 / 0.003)
    # Milliseconds are a photo's, the convolution's operations a call's.
    assert profile.summarise(MS, FLOPS, batch_size=4, crops_per_photo=1.0)[
        "large_convolution_gflops_per_second"
    ] == pytest.approx(large / 4)


def test_the_steps_are_what_the_pipeline_serves(tiny_pipeline, photo_files):
    """Every step is one of the pipeline's own, and what the last one gives is what the whole gives."""
    functions, num_crops = profile.make_functions(tiny_pipeline, photo_files[0], 2)
    assert set(functions) == {*profile.STEPS, "call", "whole", "detector", "keypoints", "large"}
    run_last, run_whole = (functions[name] for name in ("write outputs", "whole"))
    assert (run_last.func, run_whole.func) == (profile._wait, profile._wait)
    last, whole = (function(*arguments) for function, arguments in (run_last.args, run_whole.args))
    assert last.keys() == whole.keys()
    for name, value in whole.items():
        assert last[name].numpy() == pytest.approx(value.numpy(), abs=1e-3), name
    assert num_crops == int(whole["num_garments"].numpy().sum()) >= 1
    assert run_whole().shape == (2, *whole[min(whole)].shape[1:])


@pytest.mark.slow
def test_command_prints_every_step_and_writes_the_figures(tiny_detector, tiny_keypoints, tmp_path, monkeypatch, capsys):
    # Threads cannot be set in a process whose TensorFlow already runs.
    monkeypatch.setattr(profile, "set_threads", lambda *_: None)
    monkeypatch.setattr(profile, "BATCH_SIZES", (2,))
    figures = tmp_path / "figures.json"
    args = ["--detector", tiny_detector, "--keypoints", tiny_keypoints, "--repeats", "1", "--json", figures]
    assert run(profile.main, [str(arg) for arg in args]) == 0
    out = capsys.readouterr().out
    (found,) = json.loads(figures.read_text())["profiles"]
    assert (found["batch_size"], [part["part"] for part in found["parts"]]) == (2, [*profile.STEPS, "unattributed"])
    assert all(name in out for name in profile.STEPS)
    assert found["crops_per_photo"] >= 0.5
    assert all(network["flops"] > 1e6 and network["ms"] > 0 for network in found["networks"].values())
