"""The benchmark of the input pipelines: its arithmetic by hand, and one run of everything on the smallest networks."""

import json

import pytest
import tensorflow as tf

from benchmarks import input_pipelines
from benchmarks.input_pipelines import STEP, Task
from cspn_tf import console
from cspn_tf.config import preset
from cspn_tf.timing import Timing


def measured(network, augment, stage, clock_ms, cpu_ms):
    """Return a task of two examples, and what took so many milliseconds an example."""
    return Task(network, augment, stage, None, 2), Timing([2 * ms for ms in clock_ms], [2 * ms for ms in cpu_ms])


def test_figures_by_hand():
    found = [
        measured("keypoints", False, "read", [1.0, 3.0, 1.0], [2.0]),
        measured("keypoints", False, "whole", [4.0], [5.0, 9.0, 7.0]),
        measured("keypoints", True, "read", [1.0], [2.0]),
        measured("keypoints", True, "whole", [8.0], [10.0]),
        measured("keypoints", True, STEP, [40.0], [70.0]),
    ]
    figures = input_pipelines.summarise(found)
    assert figures["stages"][1] == {
        "network": "keypoints",
        "augment": False,
        "stage": "whole",
        "clock_ms": 4.0,
        "cpu_ms": 7.0,
        "per_second": 250.0,
        "cpu_ms_alone": 5.0,
    }
    assert [row["cpu_ms_alone"] for row in figures["stages"]] == [2.0, 5.0, 2.0, 8.0]
    assert figures["steps"] == {"keypoints": {"clock_ms": 40.0, "cpu_ms": 70.0, "per_second": 25.0}}
    assert figures["ratios"] == [
        {"network": "keypoints", "augment": False, "clock": 10.0, "cpu": 10.0},
        {"network": "keypoints", "augment": True, "clock": 5.0, "cpu": 7.0},
    ]


def test_tasks_take_turns_and_what_makes_them_ready_is_not_timed():
    order = []

    def task(name):
        return Task("keypoints", True, name, lambda: order.append(f"run {name}"), 10, lambda: order.append(name))

    tasks = [task("a"), task("b")]
    found = input_pipelines.measure(tasks, 2)
    assert order == ["a", "run a", "b", "run b"] * 2
    assert [task for task, _ in found] == tasks
    assert all(len(timing.milliseconds) == len(timing.processor_ms) == 2 for _, timing in found)


def stages_of(augment):
    return [stage for stage in input_pipelines.STAGES if augment or stage != "augment"]


def run_command(data_dir, out):
    arguments = ["--data", str(data_dir), "--preset", "tiny", "--repeats", "1", "--num-examples", "16"]
    assert console.run(input_pipelines.main, [*arguments, "--json", str(out)]) == 0
    return json.loads(out.read_text())


def check_figures(figures, printed):
    found = {(row["network"], row["augment"], row["stage"]) for row in figures["stages"]}
    networks = input_pipelines.NETWORKS
    assert found == {(n, augment, stage) for n in networks for augment in (False, True) for stage in stages_of(augment)}
    assert all(row["clock_ms"] > 0 and row["per_second"] > 0 for row in figures["stages"])
    assert set(figures["steps"]) == set(networks)
    assert len(figures["ratios"]) == 4 and all(row["clock"] > 0 for row in figures["ratios"])
    assert figures["machine"]["cores"] >= 1 and figures["machine"]["cpu"] in printed
    for network in networks:
        for title in ("with augmentation", "without augmentation"):
            assert f"{network}, {title}" in printed
    assert printed.count("pipeline over step, times") == 4 and printed.count("  canvas ") == 4


@pytest.mark.slow
def test_the_command_prints_and_writes_every_figure(tiny_data, tmp_path, monkeypatch, capsys):
    """With datasets and steps that cost nothing; the real ones take minutes, see below."""

    def nothing(network, data_dir, config, batch_size, augment):
        return {stage: tf.data.Dataset.counter() for stage in stages_of(augment)}

    monkeypatch.setattr(input_pipelines, "stage_datasets", nothing)
    monkeypatch.setattr(input_pipelines, "training_step", lambda network, data_dir, preset: (lambda: None, 8))
    figures = run_command(tiny_data, tmp_path / "figures.json")
    check_figures(figures, capsys.readouterr().out)


@pytest.mark.slow
def test_the_command_measures_the_real_pipelines_and_steps(tiny_data, tmp_path, capsys):
    figures = run_command(tiny_data, tmp_path / "figures.json")
    check_figures(figures, capsys.readouterr().out)


def test_stages_do_the_work_up_to_them(tiny_data):
    datasets = input_pipelines.stage_datasets("detector", tiny_data, preset("tiny"), 4, augment=True)
    assert list(datasets) == list(input_pipelines.STAGES)
    added = {"read": "photo_bytes", "canvas": "pyramid", "crop": "image", "augment": "draws"}
    keys = [set(datasets[stage].element_spec) for stage in added]
    for key, before, after in zip(list(added.values())[1:], keys, keys[1:], strict=False):
        assert key in after and key not in before
    image, labels = datasets["targets"].element_spec
    assert image.shape == (128, 128, 3) and set(labels) == {"boxes_xyxy", "garment_types"}
    assert datasets["whole"].element_spec[0].shape == (4, 128, 128, 3)


@pytest.mark.parametrize("anew, expected", [(True, [0, 8, 0, 8]), (False, [0, 2, 10, 12])])
def test_each_run_makes_its_elements_after_some_untimed_ones(anew, expected):
    made = []
    dataset = tf.data.Dataset.counter().map(lambda x: tf.py_function(lambda n: made.append(int(n)) or n, [x], tf.int64))
    options = tf.data.Options()
    # Else tf.data adds a buffer of its own.
    options.autotune.enabled = False
    source = input_pipelines._Source(dataset.with_options(options), 8, anew=anew)
    begins = []
    for _ in range(2):
        begins.append(made[-1] + 1 if made and not anew else 0)
        source.fill()
        begins.append(made[-1] + 1)
        source.make()
    assert begins == expected and len(made) == (32 if anew else 20)


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["--repeats", "0"], 2, "must be at least 1"),
        (["--json", "missing/figures.json"], 2, "required a file in an existing folder"),
        ([], 1, "is not a prepared dataset"),
    ],
)
def test_a_wrong_call_is_one_line(tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    try:
        found = console.run(input_pipelines.main, ["--data", "nothing", *arguments])
    except SystemExit as end:
        found = end.code
    error = capsys.readouterr().err
    assert found == code and message in error and error.count("\n") == 1
