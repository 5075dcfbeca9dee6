import contextlib
import dataclasses
import json
import math
import shutil
import types

import numpy as np
import pytest

from cspn_tf.cli import train_detector, train_keypoints, training_arguments
from cspn_tf.config import TrainingConfig, preset
from cspn_tf.console import CallError, UserError, run
from cspn_tf.data import pipeline
from cspn_tf.models import checkpoints
from cspn_tf.train import fitting
from cspn_tf.train.task import Task


class LineTask(Task):
    """The training of one weight, for what does not depend on the network: y = w x, with other x at every step.

    Args:
        measured: what the validation finds.
    """

    network = "line"
    unit = "photos"
    monitor = "ne_bbox"
    validation_batch = 1

    def __init__(self, measured=None):
        self.measured = measured or {"ne_bbox": 0.5}

    def build(self, config, *, pretrained):
        import keras

        return keras.Sequential([keras.layers.Dense(1, use_bias=False, input_shape=(1,))])

    def losses(self, run):
        return {"loss": "mse"}

    def dataset(self, data_dir, split, config, batch_size, *, first_epoch=0, **options):
        import tensorflow as tf

        steps = tf.data.Dataset.range(first_epoch * STEPS, 1000)
        return steps.map(lambda step: (tf.fill([4, 1], tf.sin(tf.cast(step + 1, tf.float32))), tf.ones([4, 1])))

    def validator(self, model, dataset, config):
        return types.SimpleNamespace(measure=lambda: self.measured, overlays=lambda: np.zeros((1, 8, 8, 3), np.uint8))


STEPS = 3  # of an epoch: 48 photos in batches of 16


@pytest.fixture
def line_run(tiny_data, tmp_path):
    """A function that returns a run of two epochs, with changes to its training and its fields."""

    def line_run(directory="run", *, learning_rate=0.1, **fields):
        training = TrainingConfig(epochs=2, batch_size=16, learning_rate=learning_rate, weight_decay=0.0)
        return fitting.Run(tiny_data, preset("tiny"), training, directory=tmp_path / directory, **fields)

    return line_run


def fit(a_run, task):
    """Train as a command does; return its exit code."""
    return run(lambda _: fitting.fit(a_run, task))


def parse(*arguments):
    parsed = training_arguments.build_parser("Train.", "keypoints").parse_args(
        ["--data", "d", "--out", "o", *arguments]
    )
    presets = {"mobile": TrainingConfig(epochs=30, batch_size=32, learning_rate=1e-3)}
    presets["tiny"] = TrainingConfig(epochs=5, batch_size=4, learning_rate=1e-2)
    return training_arguments.parse_run(parsed, presets)


def test_preset_is_the_start_and_arguments_override_it():
    run = parse("--preset", "tiny", "--epochs", "7", "--set", "keypoints.width=24", "--no-augment")
    assert (run.training.epochs, run.training.batch_size, run.training.learning_rate) == (7, 4, 1e-2)
    assert run.training.augment is False and parse().training.augment is True
    assert run.config.keypoints.width == 24 and run.config.preset == "tiny"


@pytest.mark.parametrize("arguments", [("--set", "keypoints.widht=3"), ("--set", "x"), ("--learning-rate", "-1")])
def test_wrong_override_is_a_wrong_call(arguments):
    with pytest.raises(CallError):
        parse(*arguments)


def test_learning_rate_warms_up_then_falls_to_zero():
    optimizer = fitting.build_optimizer(TrainingConfig(10, 8, learning_rate=0.1, warmup_epochs=1.0), steps=20)
    schedule = optimizer._learning_rate
    rates = [float(schedule(step)) for step in (0, 10, 20, 110, 200)]
    assert rates[0] == pytest.approx(0.001)
    assert rates[1] == pytest.approx(0.0505, rel=1e-3)
    assert rates[2] == pytest.approx(0.1)
    # Halfway through the cosine's 180 steps.
    assert rates[3] == pytest.approx(0.05, rel=1e-3)
    assert rates[4] == pytest.approx(0.0, abs=1e-6)


def test_warm_up_longer_than_the_run_still_leaves_a_step():
    optimizer = fitting.build_optimizer(TrainingConfig(1, 8, learning_rate=0.1, warmup_epochs=5.0), steps=3)
    assert all(math.isfinite(float(optimizer._learning_rate(step))) for step in range(4))


def test_best_epoch_is_highest_or_lowest_and_skips_what_has_no_value():
    history = [{"epoch": 1, "m": 0.2}, {"epoch": 2, "m": None}, {"epoch": 3, "m": 0.1}]
    assert fitting.best_epoch(history, "m", lower_is_better=False) == 1
    assert fitting.best_epoch(history, "m", lower_is_better=True) == 3
    assert fitting.best_epoch([{"epoch": 1, "m": None}, {"epoch": 2, "m": None}], "m", lower_is_better=True) == 2


def test_curves_are_a_picture_also_where_values_are_missing(tmp_path):
    from PIL import Image

    history = [{"epoch": 1, "loss": 1.0, "val_m": None}, {"epoch": 2, "loss": 0.5, "val_m": 0.3}]
    fitting.draw_curves(history, tmp_path / "curves.png")
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
    picture = Image.open(tmp_path / "curves.png").convert("L")
    assert picture.width > picture.height > 200 and picture.getextrema()[0] < 50


def test_finished_run_holds_what_is_promised(tiny_keypoints):
    assert {path.name for path in tiny_keypoints.iterdir()} == {
        "best.weights.h5",
        "config.json",
        "curves.png",
        "history.json",
        "logs",
        "network.json",
        "state",
    }
    history = fitting.read_history(tiny_keypoints)
    assert [entry["epoch"] for entry in history] == [1, 2]
    assert {"loss", "stage_1_loss", "stage_4_loss", "val_ne_bbox", "val_pck_02"} <= set(history[0])
    # Only the last states are kept.
    assert {path.name.split(".")[0] for path in (tiny_keypoints / "state").iterdir()} <= {"epoch-0001", "epoch-0002"}
    logged = {path.parent.name for path in (tiny_keypoints / "logs").rglob("events*")}
    assert logged == {"train", "validation"}


def test_a_run_that_stands_is_not_overwritten(tiny_data, tiny_keypoints, monkeypatch, capsys):
    call = ["--data", str(tiny_data), "--out", str(tiny_keypoints), "--preset", "tiny", "--epochs", "2"]
    before = (tiny_keypoints / "best.weights.h5").read_bytes()
    assert run(train_keypoints.main, call) == 1
    assert "resume it with --resume" in capsys.readouterr().err
    assert run(train_keypoints.main, [*call, "--resume"]) == 0
    assert "is complete: 2 epochs" in capsys.readouterr().out
    assert run(train_keypoints.main, [*call, "--resume", "--set", "keypoints.width=24"]) == 1
    error = capsys.readouterr().err
    assert (
        "contains a different run (existing != requested): keypoints.width: 16 != 24" in error
        and error.count("\n") == 1
    )
    assert run(train_keypoints.main, [*call[:-1], "3", "--seed", "2", "--resume"]) == 1
    error = capsys.readouterr().err
    assert (
        error
        == f"error: {tiny_keypoints} contains a different run (existing != requested): epochs: 2 != 3; seed: 1 != 2\n"
    )
    assert run(train_keypoints.main, [*call[:4], "--preset", "mobile", "--resume"]) == 1
    assert "preset: tiny != mobile" in capsys.readouterr().err
    monkeypatch.setattr(fitting, "scope", lambda run: contextlib.nullcontext())  # which asks for a GPU
    assert run(train_keypoints.main, [*call, "--resume", "--precision", "mixed_float16"]) == 1
    assert "(existing != requested): precision: float32 != mixed_float16\n" in capsys.readouterr().err
    assert (tiny_keypoints / "best.weights.h5").read_bytes() == before


def test_a_run_that_goes_on_with_data_from_elsewhere_says_so(tiny_data, tiny_keypoints, tmp_path, capsys):
    (tmp_path / "moved").mkdir()
    for path in tiny_data.iterdir():
        (tmp_path / "moved" / path.name).symlink_to(path)
    call = ["--out", str(tiny_keypoints), "--preset", "tiny", "--epochs", "2", "--resume"]
    assert run(train_keypoints.main, ["--data", str(tiny_data / ".." / tiny_data.name), *call]) == 0
    assert "other data" not in capsys.readouterr().out
    assert run(train_keypoints.main, ["--data", str(tmp_path / "moved"), *call]) == 0
    said = f"{tiny_keypoints} resumes with different data: {tiny_data} before, {tmp_path / 'moved'} now\n"
    assert said in capsys.readouterr().out


def test_a_training_starts_from_another_one_s_weights(line_run, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    model = LineTask().build(None, pretrained=False)
    model.set_weights([np.full((1, 1), 7.0)])
    checkpoints.write_description(other, "line", preset("tiny"), {})
    checkpoints.save_weights(model, other)
    still = line_run(learning_rate=0.0, init=str(other))
    assert fit(still, LineTask()) == 0
    model.set_weights([np.zeros((1, 1))])
    checkpoints.load_weights(model, still.directory, "line")
    assert float(model.get_weights()[0]) == 7.0
    assert json.loads((still.directory / "network.json").read_text())["init"] == str(other)
    assert fit(line_run(learning_rate=0.0, resume=True), LineTask()) == 1
    assert f"(existing != requested): init: {other} != None" in capsys.readouterr().err
    assert parse("--init", "there").init == "there"


def test_weights_to_start_from_must_fit(tiny_data, tiny_keypoints, tmp_path, capsys):
    call = ["--data", str(tiny_data), "--preset", "tiny", "--init", str(tiny_keypoints), "--out", str(tmp_path / "run")]
    settings = ("keypoints.width=24", "detector.score_threshold=0.4")  # of which the latter does not matter here
    assert run(train_keypoints.main, [*call, *(part for setting in settings for part in ("--set", setting))]) == 1
    error = capsys.readouterr().err
    assert f"{tiny_keypoints / 'best.weights.h5'} does not fit the network" in error
    assert error.endswith("its config differs (its != this run's): keypoints.width: 16 != 24\n")
    assert not (tmp_path / "run").exists()


def test_directory_of_something_else_is_left_alone(tiny_data, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    call = ["--data", str(tiny_data), "--out", str(tmp_path), "--preset", "tiny"]
    assert run(train_keypoints.main, call) == 1
    assert "is not a training run" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_data_that_are_not_prepared_or_too_few_are_named(tiny_data, tmp_path, monkeypatch, capsys):
    call = ["--out", str(tmp_path / "run"), "--preset", "tiny"]
    assert run(train_keypoints.main, ["--data", str(tmp_path / "nothing"), *call]) == 1
    assert str(tmp_path / "nothing") in capsys.readouterr().err
    assert run(train_keypoints.main, ["--data", str(tiny_data), *call, "--batch-size", "1000"]) == 1
    assert "fewer than one batch of 1000" in capsys.readouterr().err
    for command, empty in ((train_keypoints, "val"), (train_keypoints, "train"), (train_detector, "train")):
        monkeypatch.setattr(pipeline, "num_examples", lambda data_dir, split, what, empty=empty: 9 * (split != empty))
        assert run(command.main, ["--data", str(tiny_data), *call, "--batch-size", "4"]) == 1
        assert f"{tiny_data} has no garments in its split '{empty}'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_float16_without_a_gpu_is_a_wrong_call(tiny_data, tmp_path, capsys):
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return
    call = ["--data", str(tiny_data), "--out", str(tmp_path / "run"), "--preset", "tiny"]
    assert run(train_keypoints.main, [*call, "--precision", "mixed_float16"]) == 2
    assert "needs a GPU" in capsys.readouterr().err


def test_a_log_shows_how_far_a_long_epoch_is_and_keeps_quiet_in_a_short_one(line_run, monkeypatch, capsys):
    assert fit(line_run("short"), LineTask()) == 0
    assert "steps done" not in capsys.readouterr().out
    monkeypatch.setattr(fitting, "_SECONDS_BETWEEN_LINES", 0)
    assert fit(line_run("long"), LineTask()) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "steps done" in line]
    assert [line.split(" steps")[0] for line in lines] == [f"{step} of 3" for step in (1, 2, 3)] * 2


def test_loss_that_is_not_finite_stops_with_epoch_and_step(line_run, capsys):
    assert fit(line_run(learning_rate=1e30), LineTask()) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "stopped at epoch 1, step" in error and "loss is" in error and "smaller --learning-rate" in error


def test_without_a_value_to_choose_by_the_last_epoch_is_kept_and_it_is_said(line_run, capsys):
    blind = line_run()
    assert fit(blind, LineTask({"ne_bbox": None, "epe": float("nan")})) == 0
    assert "ne_bbox is undefined in every epoch: keeping the weights of the last epoch" in capsys.readouterr().out
    history = json.loads((blind.directory / "history.json").read_text(), parse_constant=pytest.fail)
    assert [(epoch["val_ne_bbox"], epoch["val_epe"]) for epoch in history] == [(None, None)] * 2
    assert (blind.directory / "best.weights.h5").is_file()


def test_interrupted_run_goes_on_with_the_same_optimizer(line_run, monkeypatch):
    """Go on from what a kill at the first epoch's end leaves; compare with the run left alone.

    The folder's name is a pattern to TensorFlow.
    """
    whole, cut = (line_run(f"run [v1]\\/{name}") for name in ("whole", "cut"))
    write, restore = fitting.draw_curves, fitting.TrainingState.restore
    restored = []

    def write_and_copy(history, path):
        write(history, path)
        if len(history) == 1:
            shutil.copytree(whole.directory, cut.directory)

    def spy(self, epoch):
        restore(self, epoch)
        restored.append((epoch, int(self._checkpoint.optimizer.iterations)))

    with monkeypatch.context() as patches:
        patches.setattr(fitting, "draw_curves", write_and_copy)
        fitting.fit(whole, LineTask())
    monkeypatch.setattr(fitting.TrainingState, "restore", spy)
    assert [entry["epoch"] for entry in fitting.read_history(cut.directory)] == [1]
    fitting.fit(dataclasses.replace(cut, resume=True), LineTask())
    assert restored == [(1, STEPS)]
    whole, cut = fitting.read_history(whole.directory), fitting.read_history(cut.directory)
    assert [entry["epoch"] for entry in cut] == [1, 2]
    # The same data in the same order from the same state.
    assert cut[1]["loss"] == pytest.approx(whole[1]["loss"], rel=1e-5) and cut[1]["loss"] != cut[0]["loss"]


def test_what_a_kill_within_the_writing_of_a_state_leaves_does_not_stop_the_next_run(line_run):
    run = line_run()
    left = run.directory / "state" / "epoch-0002_temp"

    class Killed(LineTask):
        def validator(self, *args):
            (left / "part-00000-of-00001").mkdir(parents=True, exist_ok=True)
            return super().validator(*args)

    fitting.fit(run, Killed())
    assert len(fitting.read_history(run.directory)) == 2
    assert {path.name.split(".")[0] for path in left.parent.iterdir()} == {"epoch-0001", "epoch-0002"}


def test_better_weights_of_a_resumed_run_are_not_calibrated(line_run):
    first, task = line_run(), LineTask()
    interrupted = dataclasses.replace(first.training, epochs=1)
    fitting.fit(dataclasses.replace(first, training=interrupted), task)
    config, details = checkpoints.read_description(first.directory, task.network)
    details["training"]["epochs"] = 2
    checkpoints.write_description(first.directory, task.network, config, {**details, "calibration": {"scale": 2.0}})
    for measured, is_calibrated in ((0.6, True), (0.4, False)):
        task.measured = {"ne_bbox": measured}
        cut = first.directory.with_name(f"cut {measured}")
        shutil.copytree(first.directory, cut)
        fitting.fit(dataclasses.replace(first, directory=cut, resume=True), task)
        assert ("calibration" in checkpoints.read_description(cut, task.network)[1]) == is_calibrated


def test_history_that_is_not_json_is_named(tmp_path):
    (tmp_path / "history.json").write_text("{")
    with pytest.raises(UserError, match=r"history\.json: not a training history"):
        fitting.read_history(tmp_path)
    (tmp_path / "history.json").write_text(json.dumps([{"epoch": 1}]))
    assert fitting.read_history(tmp_path) == [{"epoch": 1}]


# Moving averages of the weights --------------------------------------------------------------------------------------


def model_with_averages(momentum):
    import keras

    model = keras.Sequential([keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", input_shape=(1,))])
    training = TrainingConfig(1, 1, learning_rate=0.1, weight_decay=0.0, ema_momentum=momentum)
    model.compile(fitting.build_optimizer(training, steps=10), loss="mse")
    return model


def test_averages_are_what_their_momentum_says_and_go_away_again():
    model = model_with_averages(0.5)
    average, trained = 1.0, []
    for _ in range(3):
        model.train_on_batch(np.ones((1, 1)), np.zeros((1, 1)))
        trained.append(float(model.get_weights()[0]))
        average = 0.5 * average + 0.5 * trained[-1]
    assert trained[-1] < trained[0] < 1.0
    with fitting.averaged_weights(model, model):
        assert float(model.get_weights()[0]) == pytest.approx(average, rel=1e-5)
    assert float(model.get_weights()[0]) == trained[-1]
    with pytest.raises(KeyError), fitting.averaged_weights(model, model):
        raise KeyError
    assert float(model.get_weights()[0]) == trained[-1]


def test_without_averages_nothing_changes():
    model = model_with_averages(0.0)
    assert not model.optimizer.use_ema
    with fitting.averaged_weights(model, model):
        assert float(model.get_weights()[0]) == 1.0


def test_a_momentum_is_part_of_the_training():
    assert parse("--ema-momentum", "0.99").training.ema_momentum == 0.99
    assert parse().training.ema_momentum == 0.0
    with pytest.raises(CallError, match="ema_momentum"):
        parse("--ema-momentum", "1.5")
