"""Training, a few steps at a time, run by `worker`.

Options: the fields of `Work`. Its facts are batch_size; a turn is what `run_turn` returns, and gpu_peak_mb.
"""

import dataclasses
import tempfile
import time
from pathlib import Path

from cspn_tf.machine import set_threads
from cspn_tf.quiet import quiet_tensorflow


@dataclasses.dataclass(frozen=True)
class Work:
    """What a process trains, and how."""

    network: str  # "detector" or "keypoints"
    preset: str
    data: str  # folder that training.prepare wrote
    num_steps: int  # of a turn
    overrides: list = dataclasses.field(default_factory=list)  # of the config, FIELD=VALUE
    batch_size: int | None = None  # None is the preset's
    precision: str | None = None  # None is what the training commands take by default
    xla: bool = False  # compile the step with XLA
    gradient_clip: bool = True
    inter_op_threads: int = 0  # operations that run at the same time; 0 leaves it to TensorFlow
    intra_op_threads: int = 0  # threads of one operation; 0 leaves it to TensorFlow


def load(options):
    """Return the runner that the options ask for, as `worker` says, with the steps in which TensorFlow traces."""
    quiet_tensorflow()
    fields = [field.name for field in dataclasses.fields(Work)]
    work = Work(**{name: options[name] for name in fields})
    step, batches, batch_size = prepare(work)
    # The first step traces, the second allocates.
    run_turn(step, batches, 2)

    def turn():
        return {**run_turn(step, batches, work.num_steps), "gpu_peak_mb": gpu_peak_mb()}

    return {"facts": {"batch_size": batch_size}, "turn": turn}


def prepare(work: Work):
    """Return the compiled training step, the iterator over the training batches, and their size."""
    run = parse(work)  # what is wrong is said before the seconds that TensorFlow takes

    import tensorflow as tf

    from cspn_tf.train import detector, keypoints

    set_threads(work.intra_op_threads, work.inter_op_threads)
    task = detector.DetectorTask() if work.network == "detector" else keypoints.KeypointTask()
    model = task.compiled_model(run, task.num_steps(run))
    # As Keras makes it, but for the batch, which is fetched outside, so that the wait for it can be timed.
    step = tf.function(model.train_step, autograph=False, reduce_retracing=True, jit_compile=work.xla or None)
    return step, iter(task.batches(run, model)), run.training.batch_size


def parse(work: Work):
    """Return the `cspn_tf.train.fitting.Run` that a training command makes of the same settings."""
    from cspn_tf.cli import train_detector, train_keypoints

    command = train_detector if work.network == "detector" else train_keypoints
    arguments = ["--data", work.data, "--preset", work.preset]
    # Nothing is written there.
    arguments += ["--out", str(Path(tempfile.gettempdir()) / "unused")]
    arguments += [f"--set={text}" for text in work.overrides]
    arguments += ["--batch-size", str(work.batch_size)] if work.batch_size else []
    arguments += ["--precision", work.precision] if work.precision else []
    run = command.parse(arguments)
    if not work.gradient_clip:
        run = dataclasses.replace(run, training=dataclasses.replace(run.training, gradient_clip=0.0))
    return run


def run_turn(step, batches, num_steps, clock=time.perf_counter, processor=time.process_time) -> dict:
    """Train some steps.

    Args:
        step: function of a batch to a dict of losses.
        batches: iterator over batches.
        num_steps: how many.
        clock, processor: functions giving seconds, on the clock and of this process's use of the processor.

    Returns:
        A dict: waiting_s, seconds in which the step waited for its batch, and step_s, seconds of the step with the
        reading of its losses, each a list with a number a step; processor_s, of the whole turn, the pipeline's too.
    """
    waiting, steps = [], []
    begun = processor()
    for _ in range(num_steps):
        start = clock()
        batch = next(batches)
        fetched = clock()
        # The training commands look at every loss of every step too.
        losses = [float(value) for value in step(batch).values()]
        ended = clock()
        del batch, losses
        waiting.append(fetched - start)
        steps.append(ended - fetched)
    return {"waiting_s": waiting, "step_s": steps, "processor_s": processor() - begun}


def gpu_peak_mb():
    """Return the most memory that the first GPU has given to tensors, 10^6 bytes, or None without a GPU."""
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return None
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e6
