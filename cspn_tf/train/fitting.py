"""The training loop of both networks: `model.fit` with checkpoints, resuming, logs and curves.

A run's directory:

::

    config.json, network.json, best.weights.h5   the checkpoint that `cspn_tf.models.checkpoints` reads
    history.json    losses and validation metrics of every epoch
    curves.png      plots of history.json
    lock            lock file of the training process
    state/          weights and optimizer state after the last finished epoch, for --resume
    logs/           TensorBoard: losses, metrics, overlays of validation photos
"""

import contextlib
import dataclasses
import math
import shutil
import sys
import tempfile
from pathlib import Path

from cspn_tf import config as configs
from cspn_tf.console import CallError, UserError, require_extra
from cspn_tf.evaluation.keypoint_metrics import LOWER_IS_BETTER
from cspn_tf.evaluation.report import formatted
from cspn_tf.files import locked, plain_path, read_json, write_json
from cspn_tf.models import checkpoints
from cspn_tf.plots import saved_plot
from cspn_tf.progress import Progress
from cspn_tf.train.distribution import distribution_of, lost_workers_reported

_HISTORY = "history.json"
_SECONDS_BETWEEN_LINES = 30  # of progress within an epoch, in a log


@dataclasses.dataclass(frozen=True)
class Run:
    """One training run, as given on the command line."""

    data_dir: str
    config: configs.Config
    training: configs.TrainingConfig
    directory: Path | None = None  # None if nothing is saved, for example when only timing steps
    seed: int = 1
    resume: bool = False
    precision: str = "float32"
    strategy: str = "none"
    init: str | None = None  # checkpoint directory to start from, or `shipped`; None for the backbone's initial weights


def scope(run: Run):
    """Set the seeds and the precision, and return the context to build and compile the model in."""
    import keras
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if run.precision == "mixed_float16" and not gpus:
        raise CallError("--precision mixed_float16 needs a GPU, and TensorFlow sees none")
    keras.utils.set_random_seed(run.seed)
    keras.mixed_precision.set_global_policy(run.precision)
    return distribution_of(run.strategy).scope()


def build_optimizer(training: configs.TrainingConfig, steps: int):
    """Return AdamW with a linear warm-up and cosine decay to zero over the run; `steps` is per epoch."""
    import keras

    total = training.epochs * steps
    warmup = min(round(training.warmup_epochs * steps), total - 1)
    schedule = keras.optimizers.schedules.CosineDecay(
        training.learning_rate * 0.01,
        decay_steps=total - warmup,
        warmup_target=training.learning_rate,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=training.weight_decay,
        global_clipnorm=training.gradient_clip or None,
        use_ema=training.ema_momentum > 0,
        ema_momentum=training.ema_momentum,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def fit(run: Run, task) -> None:
    """Train a network and write its run directory.

    Args:
        run: the run.
        task: the `cspn_tf.train.task.Task` of the network.

    Raises:
        UserError: the extra `training` is not installed, the data or the initial weights are damaged or do not fit, the
            directory contains a different run, or a loss is not finite.
        CallError: another process is writing to the directory.
    """
    import keras

    from cspn_tf.data import tfrecords

    require_extra("training")
    distribution = distribution_of(run.strategy)  # must come before any TensorFlow operation
    tfrecords.verify(run.data_dir, ("train", "val"))
    if distribution.is_chief:
        done = finished_epochs(run, task.network)
    else:
        done = len(read_history(run.directory)) if run.resume else 0
    if done >= run.training.epochs:
        print(f"{run.directory} is complete: {done} epochs", flush=True)
        return
    with lost_workers_reported(distribution, run.directory), contextlib.ExitStack() as lock:
        num_steps, validation = task.num_steps(run), task.validation(run)
        model = task.compiled_model(run, num_steps)
        # Reading distributed variables is a collective operation, so the chief validates on a copy.
        validated = model if distribution.num_workers == 1 else task.build(run.config, pretrained=False)
        validator = task.validator(validated, validation, run.config)
        if distribution.is_chief:
            # Not earlier, so that a model that cannot be built leaves no directory behind.
            run.directory.mkdir(parents=True, exist_ok=True)
            lock.enter_context(locked(run.directory / "lock", run.directory))
            if not (run.directory / "network.json").exists():
                checkpoints.write_description(run.directory, task.network, run.config, _description(run))
        state = TrainingState(run.directory / "state", model, distribution.is_chief)
        if done:
            state.restore(done)
            print(f"resuming {task.network} after epoch {done} of {run.training.epochs}", flush=True)
        history = read_history(run.directory)[:done]
        verbose = 1 if sys.stderr.isatty() and sys.stdout.isatty() else 2
        callbacks = [_recorder(run, task, state, validated, validator, history)]
        if distribution.is_chief:
            callbacks.append(keras.callbacks.TensorBoard(run.directory / "logs", write_graph=False, profile_batch=0))
            if verbose == 2:
                callbacks.append(_progress_in_a_log())
        model.fit(
            distribution.feed(task.batches(run, model, done)),
            epochs=run.training.epochs,
            initial_epoch=done,
            steps_per_epoch=num_steps,
            callbacks=callbacks,
            verbose=verbose if distribution.is_chief else 0,
        )
        if distribution.is_chief and all(entry.get(f"val_{task.monitor}") is None for entry in history):
            print(f"{task.monitor} is undefined in every epoch: keeping the weights of the last epoch", flush=True)


def finished_epochs(run: Run, network: str) -> int:
    """Return the number of finished epochs of the run's directory, after checking that it contains this run or no run.

    Raises:
        UserError: the directory contains a different run, or is not a training run.
    """
    if not (run.directory / "network.json").exists():
        if run.directory.exists() and not (run.directory.is_dir() and _is_interrupted_start(run.directory)):
            raise UserError(f"{run.directory} exists and is not a training run")
        return 0
    config, existing = checkpoints.read_description(run.directory, network)
    done = len(read_history(run.directory))
    if not run.resume:
        raise UserError(
            f"{run.directory} contains a run of {done} epochs; resume it with --resume, or choose another --out"
        )
    requested = _description(run)
    training = requested["training"]
    existing, requested = existing.get("training", {}) | existing, training | requested
    different = configs.differences(config, run.config)
    different += [
        f"{name}: {existing.get(name)} != {requested.get(name)}"
        for name in (*training, "seed", "precision", "init")
        if existing.get(name) != requested.get(name)
    ]
    if different:
        raise UserError(f"{run.directory} contains a different run (existing != requested): {'; '.join(different)}")
    # Only a notice, because the dataset may have been moved or prepared again without a change.
    if Path(existing.get("data", run.data_dir)).resolve() != Path(run.data_dir).resolve():
        print(f"{run.directory} resumes with different data: {existing['data']} before, {run.data_dir} now", flush=True)
    return done


def _description(run: Run) -> dict:
    details = {"training": configs.to_dict(run.training), "seed": run.seed, "precision": run.precision}
    return details | {"data": str(run.data_dir)} | ({"init": run.init} if run.init else {})


def _is_interrupted_start(directory) -> bool:
    """Check whether a directory holds only what a run interrupted before writing network.json leaves behind."""
    return all(path.name in ("config.json", "lock") or path.name.startswith(".") for path in directory.iterdir())


def read_history(directory) -> list[dict]:
    """Return the logs of the finished epochs, oldest first; empty if there are none."""
    path = Path(directory) / _HISTORY
    return read_json(path, "training history") if path.exists() else []


class TrainingState:
    """Weights and optimizer state of the last two finished epochs, on disk.

    An epoch's files have its number in their names and are complete before history.json lists the epoch, so that a run
    interrupted at any moment can resume from a complete state.
    """

    def __init__(self, directory, model, is_chief):
        """Prepare checkpoints in a directory; `is_chief` as in `Distribution`."""
        import tensorflow as tf

        self._directory, self._is_chief = directory, is_chief
        self._checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)

    def save(self, epoch: int) -> None:
        """Write the state after `epoch` finished epochs, and delete all but the previous one.

        Collective: every process must call it; only the chief's files are kept.
        """
        if not self._is_chief:
            with tempfile.TemporaryDirectory(prefix="cspn-tf-") as folder:
                self._checkpoint.write(f"{folder}/state")
            return
        self._directory.mkdir(exist_ok=True)
        with plain_path(self._directory) as folder:
            self._checkpoint.write(f"{folder}/epoch-{epoch:04d}")
        for path in self._directory.glob("epoch-*"):
            if path.is_dir():  # left by a process that was killed while it wrote
                shutil.rmtree(path)
            elif int(path.name.split("-")[1].split(".")[0]) < epoch - 1:
                path.unlink()

    def restore(self, epoch: int) -> None:
        """Read the state after `epoch` finished epochs.

        Raises:
            UserError: the state is missing or does not fit the model.
        """
        import tensorflow as tf

        name = f"epoch-{epoch:04d}"
        try:
            with plain_path(self._directory) as folder:
                self._checkpoint.read(f"{folder}/{name}").assert_consumed()
        except (tf.errors.OpError, AssertionError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{self._directory / name}: cannot resume from this state: {reason}") from error


def _recorder(run, task, state, validated, validator, history):
    """Return the callback that validates, saves and plots at the end of every epoch."""
    import keras
    import tensorflow as tf

    lower_is_better = task.monitor in LOWER_IS_BETTER
    is_chief = distribution_of(run.strategy).is_chief

    class Recorder(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            if is_chief:
                self._writer = tf.summary.create_file_writer(str(run.directory / "logs" / "validation"))

        def on_epoch_begin(self, epoch, logs=None):
            self._epoch = epoch

        def on_train_batch_end(self, batch, logs=None):
            bad = [f"{name} is {value}" for name, value in (logs or {}).items() if not math.isfinite(value)]
            if bad:
                raise UserError(
                    f"{task.network} training stopped at epoch {self._epoch + 1}, step {batch + 1}: {', '.join(bad)}; "
                    f"the last finished epoch is kept in {run.directory}. A smaller --learning-rate usually helps"
                )

        def on_epoch_end(self, epoch, logs=None):
            with averaged_weights(self.model, validated):
                if is_chief:
                    self._validate_and_save(epoch, logs)
            state.save(epoch + 1)
            if not is_chief:
                return
            # Must follow the state: an epoch counts as finished once history.json lists it.
            write_json(run.directory / _HISTORY, history)
            draw_curves(history, run.directory / "curves.png")

        def _validate_and_save(self, epoch, logs):
            metrics = {name: _number(value) for name, value in validator.measure().items()}
            measured = {f"val_{name}": value for name, value in metrics.items()}
            history.append({"epoch": epoch + 1, **{k: float(v) for k, v in logs.items()}, **measured})
            # For the progress line and TensorBoard, which cannot show missing values.
            logs.update({name: value for name, value in measured.items() if value is not None})
            text = "  ".join(f"{name} {formatted(value)}" for name, value in metrics.items())
            print(f"  validation: {text}", flush=True)
            with self._writer.as_default():
                for name, value in metrics.items():
                    if value is not None:
                        tf.summary.scalar(name, value, step=epoch)
                tf.summary.image("validation photos", validator.overlays(), step=epoch, max_outputs=8)
            if best_epoch(history, f"val_{task.monitor}", lower_is_better) == epoch + 1:
                checkpoints.save_weights(validated, run.directory)

    return Recorder()


def _progress_in_a_log():
    """Return the callback that prints how far a long epoch is, where Keras prints nothing before its end."""
    import keras

    class ProgressInALog(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self._progress = Progress("done", unit="steps", seconds=_SECONDS_BETWEEN_LINES)

        def on_train_batch_end(self, batch, logs=None):
            self._progress(batch + 1, self.params["steps"])

    return ProgressInALog()


@contextlib.contextmanager
def averaged_weights(model, copy):
    """Replace a model's weights by their moving averages within the block, if its optimizer keeps them.

    Args:
        model: the model in training.
        copy: the model itself, or another instance of the network, to which these and all other weights are copied
            instead.
    """
    # Keras' own method replaces the weights permanently.
    averages = model.optimizer._model_variables_moving_average if model.optimizer.use_ema else []
    pairs = list(zip(model.trainable_variables, averages, strict=True)) if averages else []
    if copy is not model:
        values = {id(variable): variable.numpy() for variable in model.variables}
        values |= {id(variable): average.numpy() for variable, average in pairs}
        for variable, twin in zip(model.variables, copy.variables, strict=True):
            twin.assign(values[id(variable)])
        yield
        return
    trained = [variable.numpy() for variable, _ in pairs]
    for variable, average in pairs:
        variable.assign(average)
    try:
        yield
    finally:
        for (variable, _), value in zip(pairs, trained, strict=True):
            variable.assign(value)


def best_epoch(history: list[dict], metric: str, lower_is_better: bool) -> int:
    """Return the epoch, counted from 1, with the best value of a metric; the last epoch if none has a value."""
    rated = [entry for entry in history if entry.get(metric) is not None]
    if not rated:
        return history[-1]["epoch"]
    choose = min if lower_is_better else max
    return choose(rated, key=lambda entry: entry[metric])["epoch"]


def draw_curves(history: list[dict], path) -> None:
    """Plot every logged number against the epoch: all losses in one panel, each metric in its own."""
    from matplotlib import ticker

    names = [name for name in history[-1] if name != "epoch"]
    losses = [name for name in names if name.endswith("loss")]
    panels = [losses] + [[name] for name in names if name not in losses]
    size = (4 * len(panels), 3.2)
    with saved_plot(path, 1, len(panels), size=size, squeeze=False) as axes:
        for axis, panel in zip(axes[0], panels, strict=True):
            for name in panel:
                points = [(entry["epoch"], entry[name]) for entry in history if entry.get(name) is not None]
                axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name) if points else None
            axis.set_xlabel("epoch")
            axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
            axis.set_title("losses" if panel is losses else panel[0], fontsize=10)
            axis.grid(alpha=0.3)
            if panel is losses:
                axis.set_yscale("log")
                axis.legend(fontsize=7)


def _number(value):
    """Return a float, or None if there is no value or it is not finite."""
    return None if value is None or not math.isfinite(value) else float(value)
