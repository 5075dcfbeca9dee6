"""The benchmark of training: its arithmetic by hand, its processes, and the whole command on the smallest networks."""

import json
import typing

import pytest

from benchmarks import training
from benchmarks.training import VARIANTS, Variant
from benchmarks.workers import training_steps
from benchmarks.workers.process import WorkerFailed
from benchmarks.workers.training_steps import Work
from cspn_tf import console


def work(**changes):
    return Work(**{"network": "keypoints", "preset": "tiny", "data": "nowhere", "num_steps": 2, **changes})


def turn(waiting_s, step_s, peak_rss_mb=100.0, processor_s=1.6):
    times = {"waiting_s": waiting_s, "step_s": step_s, "processor_s": processor_s}
    return {**times, "peak_rss_mb": peak_rss_mb, "gpu_peak_mb": None}


def test_waiting_share_and_rates_by_hand():
    turns = [
        turn([0.0, 1.0], [1.0, 2.0], 90.0),
        turn([0.5, 0.5], [0.5, 0.5], 110.0),
        turn([0.0, 0.0], [0.5, 0.5], 95.0),
    ]
    default = [turn([0.0, 0.0], [1.0, 1.0])] * 3
    found = training.row(work(), "xla", turns, default, batch_size=8)
    # The waits are 1 + 1 + 0 of 4 + 2 + 1 seconds.
    assert found["waiting_share"] == pytest.approx(2.0 / 7.0)
    # 16 examples in 4, 2 and 1 seconds, beside 16 in 2.
    assert (found["lowest_per_second"], found["per_second"], found["highest_per_second"]) == (4.0, 8.0, 16.0)
    # 1.6 seconds of the processor for 16.
    assert found["cpu_ms"] == pytest.approx(100.0)
    assert found["ratio"] == 1.0 and found["peak_mb"] == 110.0 and found["num_turns"] == 3


def test_ratio_is_to_the_turn_beside_it():
    """A machine that gets slower in between slows both."""
    default = [turn([0.0], [1.0]), turn([0.0], [10.0]), turn([0.0], [1.0])]
    turns = [turn([0.0], [0.5]), turn([0.0], [5.0]), turn([0.0], [0.5])]
    assert training.row(work(), "xla", turns, default, batch_size=4)["ratio"] == 2.0


def test_a_turn_times_the_wait_and_the_step_apart():
    # Seconds: start, fetched, ended, twice.
    clock = iter([0.0, 1.0, 5.0, 5.0, 5.5, 8.0])
    processor = iter([3.0, 12.0])
    seen = []
    found = training_steps.run_turn(
        lambda batch: seen.append(batch) or {"loss": 1.0},
        iter("abc"),
        2,
        clock=lambda: next(clock),
        processor=lambda: next(processor),
    )
    assert found == {"waiting_s": [1.0, 0.5], "step_s": [4.0, 2.5], "processor_s": 9.0} and seen == ["a", "b"]


def test_the_table_shows_ratios_shares_and_reasons():
    rows = [
        training.row(work(), "default", [turn([0.1], [0.9])], [turn([0.1], [0.9])], batch_size=16),
        training.row(work(), "inter-1", [turn([0.0], [0.8])], [turn([0.1], [0.9])], batch_size=16),
        training.row(work(), "mixed_float16", error="needs a GPU, and there is none"),
    ]
    figures = {
        "data": "folder",
        "rounds": 1,
        "num_steps": 1,
        "overrides": ["a=1"],
        "machine": {"cpu": "a CPU", "cores": 2, "gpu": None},
    }
    lines = training.format_table(rows, figures).splitlines()
    assert lines[0] == "keypoints, preset tiny, batches of 16, folder; medians of 1 turns of 1 steps, a=1"
    assert lines[1] == "a CPU, 2 cores"
    assert lines[2].split() == ["garments/s", "ratio", "waiting", "CPU", "ms", "peak", "MB"]
    assert lines[3].split() == ["default", "16.0", "1.00", "10.0", "%", "100.0", "100"]
    assert lines[4].split() == ["inter-1", "20.0", "1.25", "0.0", "%", "100.0", "100"]
    assert lines[5].split(maxsplit=1) == ["mixed_float16", "needs a GPU, and there is none"]


class FakeWorker:
    """Answers with a fixed time a step, or fails; writes into `order` who trains a turn, and who ends."""

    order: typing.ClassVar[list] = []

    def __init__(self, name, *_, **__):
        # The defaults' process is named after what it trains.
        self.name = name.rpartition(", ")[2]
        self.is_awake = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.order.append(f"end {self.name}")

    def ask(self, do, **_):
        assert self.is_awake
        if do == "load":
            if self.name == "xla":
                raise WorkerFailed(self, "InternalError: no such kernel")
            return {"facts": {"batch_size": 4}}
        if do == "memory":
            return {"peak_rss_mb": 100.0}
        self.order.append(self.name)
        return turn([0.0], [1.0 if self.name == "default" else 0.5])

    def pause(self):
        self.is_awake = False

    def resume(self):
        self.is_awake = True


@pytest.fixture
def order(monkeypatch):
    """What the processes did, which are fake ones here."""
    monkeypatch.setattr(training, "WorkerProcess", FakeWorker)
    monkeypatch.setattr(FakeWorker, "order", [])
    return FakeWorker.order


def measured(names, rounds, has_gpu=False):
    *_, rows = training.measure(work(), names, rounds, has_gpu=has_gpu)
    return {line["variant"]: line for line in rows}


def test_each_variant_takes_turns_with_the_default(order):
    rows = measured(["default", "inter-1", "intra-1"], 2)
    assert list(rows) == ["default", "inter-1", "intra-1"]
    pair = ["default", "inter-1"], ["default", "intra-1"]
    assert order == [*pair[0] * 2, "end inter-1", *pair[1] * 2, "end intra-1", "end default"]
    assert rows["inter-1"]["ratio"] == 2.0 and rows["default"]["ratio"] == 1.0 and rows["default"]["num_turns"] == 4


def test_what_fails_says_why_and_the_default_is_measured_all_the_same(order):
    rows = measured(["xla", "mixed_float16"], 3)
    assert rows["xla"]["error"] == "InternalError: no such kernel" and rows["xla"]["per_second"] is None
    assert "GPU" in rows["mixed_float16"]["error"] and rows["default"]["num_turns"] == 3
    rows = measured(["mixed_float16"], 1, has_gpu=True)
    assert rows["mixed_float16"]["error"] is None and "mixed_float16" in order


def test_a_default_that_fails_midway_ends_the_run(order, monkeypatch):
    def fail(worker, do, **_):
        if do == "turn" and worker.name == "default":
            raise WorkerFailed(worker, "the worker died of signal 9")
        return {"facts": {"batch_size": 4}}

    monkeypatch.setattr(FakeWorker, "ask", fail)
    for names in (["inter-1"], []):
        with pytest.raises(console.UserError, match="default: the worker died of signal 9"):
            measured(names, 2)


def test_a_run_cut_off_keeps_the_variants_before(order):
    rows = next(training.measure(work(), ["inter-1", "intra-1"], 2, has_gpu=False))
    assert [(line["variant"], line["num_turns"]) for line in rows] == [("default", 2), ("inter-1", 2)]


def test_variants_change_what_they_say():
    assert next(iter(VARIANTS)) == "default" and VARIANTS["default"] == Variant(VARIANTS["default"].text)
    fields = {name for variant in VARIANTS.values() for name in variant.changes}
    assert fields == {"xla", "precision", "gradient_clip", "inter_op_threads", "intra_op_threads"}
    assert VARIANTS["no-onednn"].environment == {"TF_ENABLE_ONEDNN_OPTS": "0"}


def test_work_becomes_the_run_of_the_training_command():
    from cspn_tf.config import DETECTOR_TRAINING

    run = training_steps.parse(work(network="detector"))
    assert run.training == DETECTOR_TRAINING["tiny"] and run.precision == "float32" and run.data_dir == "nowhere"
    changed = work(
        network="detector", gradient_clip=False, batch_size=3, precision="mixed_bfloat16", overrides=["canvas_size=128"]
    )
    run = training_steps.parse(changed)
    assert (run.training.gradient_clip, run.training.batch_size, run.precision) == (0.0, 3, "mixed_bfloat16")
    assert run.config.canvas_size == 128


def test_a_process_that_fails_says_so_in_one_line():
    with training._start("a variant", VARIANTS["default"]) as process, pytest.raises(WorkerFailed) as failed:
        training._load(process, work(overrides=["keypoints.no_such_field=1"]))
    assert failed.value.worker is process
    assert failed.value.reason.startswith("override 'keypoints.no_such_field=1'") and "\n" not in failed.value.reason


def run_command(data_dir, out, variant):
    arguments = ["--data", str(data_dir), "--preset", "tiny", "--network", "detector", "--variant", variant]
    arguments += ["--steps", "1", "--rounds", "1", "--json", str(out)]
    assert console.run(training.main, arguments) == 0
    return json.loads(out.read_text())


@pytest.mark.slow
def test_the_command_prints_and_writes_every_figure(order, tiny_data, tmp_path, capsys):
    """With processes that cost nothing; the real ones take minutes, see below."""
    figures = run_command(tiny_data, tmp_path / "figures.json", "inter-1")
    printed = capsys.readouterr().out
    assert [(line["variant"], line["per_second"]) for line in figures["rows"]] == [("default", 4.0), ("inter-1", 8.0)]
    assert "detector, preset tiny, batches of 4" in printed and figures["machine"]["cpu"] in printed


@pytest.mark.slow
def test_the_command_measures_real_training(tiny_data, tmp_path):
    figures = run_command(tiny_data, tmp_path / "figures.json", "inter-1")
    assert [line["variant"] for line in figures["rows"]] == ["default", "inter-1"]
    for line in figures["rows"]:
        assert line["error"] is None and line["per_second"] > 0 and line["peak_mb"] > 100
        assert 0 <= line["waiting_share"] < 1 and line["batch_size"] == 8 and line["cpu_ms"] > 0


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["--steps", "0"], 2, "must be at least 1"),
        (["--variant", "eager"], 2, "invalid choice: 'eager'"),
        (["--json", "missing/figures.json"], 2, "required a file in an existing folder"),
        ([], 1, "is not a prepared dataset"),
    ],
)
def test_a_wrong_call_is_one_line(tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    try:
        found = console.run(training.main, ["--data", "nothing", *arguments])
    except SystemExit as end:
        found = end.code
    error = capsys.readouterr().err
    assert found == code and message in error and error.count("\n") == 1
