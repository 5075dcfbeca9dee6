"""Measure how fast the input pipelines feed training, beside how fast a training step eats.

    python -m training.benchmark_data --data DIR [--preset mobile] [--out FILE.json] [--repeats N]

For each network and each stage of its pipeline, photos (detector) or garments (keypoint network) a second; what the
whole pipeline gives, with and without augmentation; what a step of training the real network takes, on a batch of
random pixels that is there already; and how many times as fast the pipeline is. All take turns, `--repeats` times,
and the medians are shown. Time on the clock tells what this machine did; the processor's time, which others on it
disturb less, what it cost.
"""

import dataclasses
import functools
import gc
import json
import statistics
import sys
import time
from pathlib import Path

from cspn_tf.config import DETECTOR_TRAINING, KEYPOINT_TRAINING, PRESETS, preset
from cspn_tf.console import CallError, Parser, positive_int, run
from cspn_tf.machine import describe_machine

NETWORKS = ("keypoints", "detector")
# The stages of a pipeline in their order; "whole" is what training gets, in batches.
STAGES = ("read", "canvas", "crop", "augment", "targets", "whole")
STEP = "training step"
UNITS = {"keypoints": "garments", "detector": "photos"}
_SEED = 1


@dataclasses.dataclass(frozen=True)
class Task:
    """Something to time: `start` returns a function that makes so many examples, and takes none of what is timed."""

    network: str
    augment: bool
    stage: str
    start: object
    num_examples: int


@dataclasses.dataclass
class Timing:
    """What one task took: a number a repeat, milliseconds an example."""

    task: Task
    clock_ms: list = dataclasses.field(default_factory=list)
    cpu_ms: list = dataclasses.field(default_factory=list)

    @property
    def clock(self) -> float:
        return statistics.median(self.clock_ms)

    @property
    def cpu(self) -> float:
        return statistics.median(self.cpu_ms)


def main(argv=None) -> int:
    """Measure and print; see the module's docstring and --help."""
    args = _parse(argv)
    config = preset(args.preset)
    tasks = [task for network in NETWORKS for task in network_tasks(network, args.data, config, args.num_examples)]
    figures = summarise(measure(tasks, args.repeats))
    figures = {"machine": describe_machine(), "data": str(args.data), "preset": args.preset, **figures}
    figures["repeats"] = args.repeats
    print(format_tables(figures))
    if args.out:
        _write_json(args.out, figures)
    return 0


def _parse(argv):
    parser = Parser(description="Measure the input pipelines of training beside the training steps.")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder that training.prepare wrote")
    parser.add_argument("--preset", default="mobile", choices=list(PRESETS), help="networks, sizes and batches")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="also write the figures here")
    parser.add_argument("--repeats", type=positive_int, default=5, metavar="N", help="timed runs of each stage")
    parser.add_argument("--num-examples", type=positive_int, default=128, metavar="N", help="examples in a timed run")
    args = parser.parse_args(argv)
    if args.out and (args.out.is_dir() or not args.out.absolute().parent.is_dir()):
        raise CallError(f"--out {args.out}: required a file in a folder that is there")
    return args


def measure(tasks, repeats) -> list[Timing]:
    """Time tasks in turns, so that whatever else the machine does falls on all of them."""
    timings = [Timing(task) for task in tasks]
    for _ in range(repeats):
        for timing in timings:
            # Whatever the task before left behind is not this one's cost.
            gc.collect()
            run_once = timing.task.start()
            clock, cpu = time.perf_counter(), time.process_time()
            run_once()
            num = timing.task.num_examples
            timing.cpu_ms.append(1000.0 * (time.process_time() - cpu) / num)
            timing.clock_ms.append(1000.0 * (time.perf_counter() - clock) / num)
    return timings


# Tasks ---------------------------------------------------------------------------------------------------------------


def network_tasks(network, data_dir, config, num_examples) -> list[Task]:
    """Return the tasks of one network: every stage with and without augmentation, and the training step.

    Raises:
        UserError: if the data are missing or do not fill one batch.
    """
    is_detector = network == "detector"
    batch_size = (DETECTOR_TRAINING if is_detector else KEYPOINT_TRAINING)[config.preset].batch_size
    num_batches = -(-num_examples // batch_size)
    num_examples = num_batches * batch_size
    tasks = []
    for augment in (False, True):
        for stage, dataset in stage_datasets(network, data_dir, config, batch_size, augment).items():
            in_batches = stage == "whole"
            start = _Source(dataset, num_batches if in_batches else num_examples, anew=in_batches)
            tasks.append(Task(network, augment, stage, start, num_examples))
    make_step = _detector_step if is_detector else _keypoint_step
    return [*tasks, Task(network, True, STEP, make_step(config, batch_size), batch_size)]


def stage_datasets(network, data_dir, config, batch_size, augment) -> dict:
    """Return endless datasets that do the work up to each stage, in the order of `STAGES`."""
    import tensorflow as tf

    from cspn_tf.data import pipeline

    is_detector = network == "detector"
    what = UNITS[network]
    records = pipeline.examples(data_dir, "train", batch_size, what, True, _SEED, 0)
    build = pipeline.detector_dataset if is_detector else pipeline.keypoint_dataset
    whole = build(data_dir, "train", config, batch_size, training=True, seed=_SEED, augment=augment)
    add_draws = functools.partial(pipeline.add_draws, seed=_SEED, what=what)
    chains = _detector_chains(config, augment) if is_detector else _keypoint_chains(config, augment)
    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1
    datasets = {"read": records}
    for stage, chain in chains.items():
        mapped = records.map(pipeline.chain(add_draws)) if stage in ("augment", "targets") and augment else records
        mapped = mapped.map(chain, num_parallel_calls=tf.data.AUTOTUNE)
        datasets[stage] = mapped.with_options(options)
    return {**datasets, "whole": whole}


def _to_canvas(config):
    from cspn_tf.data import pipeline

    return functools.partial(pipeline.to_canvas, canvas_size=config.canvas_size, max_pixels=config.max_pixels)


def _keypoint_chains(config, augment):
    """Return functions of an example that do the work up to each stage but the first and the last."""
    from cspn_tf.data import pipeline

    to_canvas, size = _to_canvas(config), config.keypoints.crop_size

    def crops(augment):
        garment_steps = pipeline.garment_steps(config, augment=augment)
        return functools.partial(pipeline.to_crops, steps=garment_steps, crop_size=size)

    chains = {"canvas": pipeline.chain(to_canvas), "crop": pipeline.chain(to_canvas, crops(augment=False))}
    if augment:
        chains["augment"] = pipeline.chain(to_canvas, crops(augment=True))
    return {**chains, "targets": pipeline.keypoint_chain(config, augment=augment)}


def _detector_chains(config, augment):
    """Return what `_keypoint_chains` does, for the detector."""
    from cspn_tf.data import pipeline

    to_canvas = _to_canvas(config)
    resize = functools.partial(pipeline.to_detector_input, input_size=config.detector.input_size)
    chains = {"canvas": pipeline.chain(to_canvas), "crop": pipeline.chain(to_canvas, resize)}
    if augment:
        chains["augment"] = pipeline.chain(to_canvas, *pipeline.detector_augmentation(config))
    return {**chains, "targets": pipeline.detector_chain(config, augment=augment)}


class _Source:
    """The `start` of a task that takes elements from a dataset.

    A dataset left alone works ahead, and what it has in its buffers then costs nothing. Those of a stage hold a few
    examples, which a quarter of a run uses up. Those of whole batches hold many, so that they are opened anew each
    time, with a run untimed: by then they are as full as they will be afterwards.
    """

    def __init__(self, dataset, num_elements, *, anew):
        self._dataset, self._num, self._anew = dataset, num_elements, anew
        self._make = None

    def __call__(self):
        if self._make is None or self._anew:
            self._make = _maker(self._dataset)
        self._make(self._num if self._anew else -(-self._num // 4))
        return functools.partial(self._make, self._num)


def _maker(dataset):
    """Open a dataset and return a function that makes so many of its elements."""
    import tensorflow as tf

    iterator = iter(dataset)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.int32)])
    def make(num):
        def make_one(index):
            with tf.control_dependencies(tf.nest.flatten(iterator.get_next())):
                return index + 1

        return tf.while_loop(lambda index: index < num, make_one, [tf.constant(0)])

    return make


def _keypoint_step(config, batch_size):
    import tensorflow as tf

    from cspn_tf.losses import keypoint_losses
    from cspn_tf.models.keypoint_networks import build_keypoint_network
    from cspn_tf.train import fitting

    model = build_keypoint_network(config.keypoints, pretrained=True)
    losses, weights = keypoint_losses(config.keypoints)
    optimizer = fitting.build_optimizer(KEYPOINT_TRAINING[config.preset], steps=1000)
    model.compile(optimizer, loss=losses, loss_weights=weights)
    size = config.keypoints.crop_size
    crops = tf.random.stateless_uniform([batch_size, size, size, 3], [_SEED, 0], 0.0, 255.0)
    points = tf.random.stateless_uniform([batch_size, 8, 2], [_SEED, 1], 0.0, size - 1.0)
    targets = tf.concat([points, tf.ones([batch_size, 8, 2])], axis=-1)
    return _step(model, (crops, dict.fromkeys(losses, targets)))


def _detector_step(config, batch_size):
    import tensorflow as tf

    from cspn_tf.data.pipeline import MAX_LABELLED_GARMENTS
    from cspn_tf.models.faster_rcnn import build_detector
    from cspn_tf.train import fitting

    model = build_detector(config.detector, pretrained=True)
    model.compile(fitting.build_optimizer(DETECTOR_TRAINING[config.preset], steps=1000))
    size = config.detector.input_size
    images = tf.random.stateless_uniform([batch_size, size, size, 3], [_SEED, 0], 0.0, 255.0)
    # One garment a photo, in its middle.
    garment = [[0.25 * size, 0.2 * size, 0.75 * size, 0.8 * size]]
    padding = [[0, MAX_LABELLED_GARMENTS - 1], [0, 0]]
    boxes = tf.tile(tf.pad(tf.constant([garment])[0], padding)[tf.newaxis], [batch_size, 1, 1])
    types = tf.tile(tf.one_hot([0], MAX_LABELLED_GARMENTS, dtype=tf.int32), [batch_size, 1])
    return _step(model, (images, {"boxes_xyxy": boxes, "garment_types": types}))


def _step(model, batch):
    """Return the `start` of a task that is one training step, compiled and warmed up."""
    import tensorflow as tf

    iterator = iter(tf.data.Dataset.from_tensors(batch).repeat())
    train = model.make_train_function()
    for _ in range(2):
        train(iterator)

    def run_once():
        for value in train(iterator).values():
            value.numpy()

    return lambda: run_once


# Figures -------------------------------------------------------------------------------------------------------------


def summarise(timings) -> dict:
    """Return the figures of all timings.

    Returns:
        A JSON-ready dict:
            stages: a list of dicts: network, augment, stage; clock_ms and cpu_ms up to and with the stage, an
                example; cpu_ms_alone, what the stage adds; per_second, examples, by the clock
            steps: by network, of the training step: clock_ms, cpu_ms and per_second
            ratios: a list of dicts: network, augment; clock and cpu, how many times as fast as the step the whole
                pipeline is, by either time
    """
    stages, ratios = [], []
    steps = {timing.task.network: timing for timing in timings if timing.task.stage == STEP}
    before = 0.0
    for timing in timings:
        task = timing.task
        if task.stage == STEP:
            continue
        before = 0.0 if task.stage == STAGES[0] else before
        named = {"network": task.network, "augment": task.augment}
        stages.append({**named, "stage": task.stage, **_times(timing), "cpu_ms_alone": timing.cpu - before})
        before = timing.cpu
        if task.stage == STAGES[-1]:
            step = steps[task.network]
            ratios.append({**named, "clock": step.clock / timing.clock, "cpu": step.cpu / timing.cpu})
    return {"stages": stages, "steps": {name: _times(timing) for name, timing in steps.items()}, "ratios": ratios}


def _times(timing):
    return {"clock_ms": timing.clock, "cpu_ms": timing.cpu, "per_second": 1000.0 / timing.clock}


def format_tables(figures) -> str:
    """Return the figures of `summarise` as text."""
    machine = figures["machine"]
    lines = [
        f"{figures['data']}, preset {figures['preset']}, medians of {figures['repeats']} runs in turns",
        f"{machine['cpu']}, {machine['cores']} cores",
        "CPU ms: processor time an example, of the stage alone and up to it; a second: examples by the clock, up to it",
    ]
    for network, unit in UNITS.items():
        for augment in (False, True):
            rows = [row for row in figures["stages"] if (row["network"], row["augment"]) == (network, augment)]
            title = f"{network}, {'with' if augment else 'without'} augmentation"
            lines += ["", f"{title:<36}{'CPU ms alone':>14}{'CPU ms':>9}{unit + '/s':>12}"]
            for row in rows:
                lines.append(
                    f"  {row['stage']:<34}{row['cpu_ms_alone']:>14.2f}{row['cpu_ms']:>9.2f}{row['per_second']:>12.1f}"
                )
            step = figures["steps"][network]
            lines.append(f"  {STEP:<34}{'':>14}{step['cpu_ms']:>9.2f}{step['per_second']:>12.1f}")
            (ratio,) = (r for r in figures["ratios"] if (r["network"], r["augment"]) == (network, augment))
            lines.append(f"  {'pipeline over step, times':<34}{'':>14}{ratio['cpu']:>9.1f}{ratio['clock']:>12.1f}")
    return "\n".join(lines)


def _write_json(path, figures):
    from cspn_tf.files import replaced_file

    with replaced_file(path) as temporary:
        temporary.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(run(main))
