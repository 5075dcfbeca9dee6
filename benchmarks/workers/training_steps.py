"""Worker script that trains a few steps at a time.

Options: the fields of `Work`. Facts: batch_size. A turn returns the result of `run_turn` and gpu_peak_mb.
"""

import dataclasses
import tempfile
import time
from pathlib import Path

from cspn_tf.machine import set_threads
from cspn_tf.quiet import quiet_tensorflow


@dataclasses.dataclass(frozen=True)
class Work:
    """What a worker trains, and with which settings."""

    network: str  # "detector" or "keypoints"
    preset: str
    data: str  # output folder of training.prepare
    num_steps: int  # training steps per turn
    overrides: list = dataclasses.field(default_factory=list)  # config overrides, FIELD=VALUE
    batch_size: int | None = None  # None: the preset's
    precision: str | None = None  # None: the default of the training commands
    xla: bool = False  # compile the step with XLA
    gradient_clip: bool = True
    inter_op_threads: int = 0  # operations that run in parallel; 0: TensorFlow's default
    intra_op_threads: int = 0  # threads within one operation; 0: TensorFlow's default


def load(options):
    """Return the runner for the options, see `worker`, after the warm-up steps."""
    quiet_tensorflow()
    fields = [field.name for field in dataclasses.fields(Work)]
    work = Work(**{name: options[name] for name in fields})
    step, batches, batch_size = prepare(work)
    # Warm-up: the first step traces, the second allocates.
    run_turn(step, batches, 2)

    def turn():
        return {**run_turn(step, batches, work.num_steps), "gpu_peak_mb": gpu_peak_mb()}

    return {"facts": {"batch_size": batch_size}, "turn": turn}


def prepare(work: Work):
    """Return the compiled training step, the iterator over the training batches, and the batch size."""
    run = parse(work)  # reports errors before TensorFlow is imported, which takes seconds

    import tensorflow as tf

    from cspn_tf.train import detector, keypoints

    set_threads(work.intra_op_threads, work.inter_op_threads)
    task = detector.DetectorTask() if work.network == "detector" else keypoints.KeypointTask()
    model = task.compiled_model(run, task.num_steps(run))
    # As in Keras, except that the batch is fetched outside, so that waiting for it can be timed.
    step = tf.function(model.train_step, autograph=False, reduce_retracing=True, jit_compile=work.xla or None)
    return step, iter(task.batches(run, model)), run.training.batch_size


def parse(work: Work):
    """Return the `cspn_tf.train.fitting.Run` of a training command with these settings."""
    from cspn_tf.cli import train_detector, train_keypoints

    command = train_detector if work.network == "detector" else train_keypoints
    arguments = ["--data", work.data, "--preset", work.preset]
    # Required, but nothing is written there.
    arguments += ["--out", str(Path(tempfile.gettempdir()) / "unused")]
    arguments += [f"--set={text}" for text in work.overrides]
    arguments += ["--batch-size", str(work.batch_size)] if work.batch_size else []
    arguments += ["--precision", work.precision] if work.precision else []
    run = command.parse(arguments)
    if not work.gradient_clip:
        run = dataclasses.replace(run, training=dataclasses.replace(run.training, gradient_clip=0.0))
    return run


def run_turn(step, batches, num_steps, clock=time.perf_counter, processor=time.process_time) -> dict:
    """Train a number of steps and time them.

    Args:
        step: function of a batch that returns a dict of losses.
        batches: iterator over batches.
        num_steps: number of steps.
        clock, processor: functions that return seconds of wall-clock time, and of CPU time of this process.

    Returns:
        A dict: waiting_s, a list of the seconds that each step waited for its batch; step_s, a list of the seconds that
        each step took, including reading its losses; processor_s, CPU time of the turn, including the input pipeline.
    """
    waiting, steps = [], []
    begun = processor()
    for _ in range(num_steps):
        start = clock()
        batch = next(batches)
        fetched = clock()
        # Read all losses, as the training commands do in every step.
        losses = [float(value) for value in step(batch).values()]
        ended = clock()
        del batch, losses
        waiting.append(fetched - start)
        steps.append(ended - fetched)
    return {"waiting_s": waiting, "step_s": steps, "processor_s": processor() - begun}


def gpu_peak_mb():
    """Return the peak memory of tensors on the first GPU, in 10^6 bytes, or None without a GPU."""
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return None
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e6
