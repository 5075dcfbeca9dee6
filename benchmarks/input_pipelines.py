"""Measure the throughput of the input pipelines against that of the training step.

    python -m benchmarks.input_pipelines --data DIR [--preset mobile] [--json FILE] [--repeats N]

Prints, for each network, the photos (detector) or garments (keypoint network) per second up to each stage of the
pipeline and of the whole pipeline, with and without augmentation; the time of a training step on a batch that is in
memory already; and the ratio of pipeline to step. Everything is measured in turns, `--repeats` times, and medians are
shown. Wall-clock time shows the throughput of this machine; CPU time is less disturbed by other processes.
"""

import dataclasses
import functools
import gc
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.commands import add_json, write_figures
from cspn_tf.config import DETECTOR_TRAINING, KEYPOINT_TRAINING, PRESETS, preset
from cspn_tf.console import Parser, positive_int, run
from cspn_tf.machine import describe_machine
from cspn_tf.timing import measure_in_turns

NETWORKS = ("keypoints", "detector")
# The stages of a pipeline in order; "whole" is the complete pipeline, with batching.
STAGES = ("read", "canvas", "crop", "augment", "targets", "whole")
STEP = "training step"
UNITS = {"keypoints": "garments", "detector": "photos"}
_SEED = 1


@dataclasses.dataclass(frozen=True)
class Task:
    """A timed task: `work` produces `num_examples` examples; `make_ready` runs before it, untimed."""

    network: str
    augment: bool
    stage: str
    work: Callable
    num_examples: int
    make_ready: Callable = lambda: None


def main(argv=None) -> int:
    """Measure and print; see the module's docstring and --help."""
    args = _parse(argv)
    config = preset(args.preset)
    tasks = [task for network in NETWORKS for task in network_tasks(network, args.data, config, args.num_examples)]
    figures = summarise(measure(tasks, args.repeats))
    figures = {"machine": describe_machine(), "data": str(args.data), "preset": args.preset, **figures}
    figures["repeats"] = args.repeats
    print(format_tables(figures))
    write_figures(args, figures)
    return 0


def _parse(argv):
    parser = Parser(description="Measure the input pipelines of training against the training steps.")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="output folder of training.prepare")
    parser.add_argument("--preset", default="mobile", choices=list(PRESETS), help="networks, sizes and batch size")
    parser.add_argument("--repeats", type=positive_int, default=5, metavar="N", help="timed runs of each stage")
    parser.add_argument("--num-examples", type=positive_int, default=128, metavar="N", help="examples per timed run")
    add_json(parser)
    return parser.parse_args(argv)


def measure(tasks, repeats) -> list:
    """Time tasks in turns; return each with its `Timing`, which is of all its examples together."""

    def before(number):
        # So that no task pays for the garbage of the one before.
        gc.collect()
        tasks[number].make_ready()

    functions = {number: task.work for number, task in enumerate(tasks)}
    timings = measure_in_turns(functions, repeats, num_warmup=0, before=before)
    return [(task, timings[number]) for number, task in enumerate(tasks)]


# Tasks ---------------------------------------------------------------------------------------------------------------


def network_tasks(network, data_dir, config, num_examples) -> list[Task]:
    """Return the tasks of one network: every stage with and without augmentation, and the training step.

    Raises:
        UserError: if the data is missing or has less than one batch.
    """
    is_detector = network == "detector"
    batch_size = (DETECTOR_TRAINING if is_detector else KEYPOINT_TRAINING)[config.preset].batch_size
    num_batches = -(-num_examples // batch_size)
    num_examples = num_batches * batch_size
    tasks = []
    for augment in (False, True):
        for stage, dataset in stage_datasets(network, data_dir, config, batch_size, augment).items():
            in_batches = stage == "whole"
            source = _Source(dataset, num_batches if in_batches else num_examples, anew=in_batches)
            tasks.append(Task(network, augment, stage, source.make, num_examples, source.fill))
    return [*tasks, Task(network, True, STEP, *training_step(network, data_dir, config.preset))]


def stage_datasets(network, data_dir, config, batch_size, augment) -> dict:
    """Return an endless dataset for each stage, which does all work up to that stage, in the order of `STAGES`."""
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
    """Return functions of an example that do all work up to each stage, except for the first and last stage."""
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
    """Return the same as `_keypoint_chains`, for the detector."""
    from cspn_tf.data import pipeline

    to_canvas = _to_canvas(config)
    resize = functools.partial(pipeline.to_detector_input, input_size=config.detector.input_size)
    chains = {"canvas": pipeline.chain(to_canvas), "crop": pipeline.chain(to_canvas, resize)}
    if augment:
        chains["augment"] = pipeline.chain(to_canvas, *pipeline.detector_augmentation(config))
    return {**chains, "targets": pipeline.detector_chain(config, augment=augment)}


class _Source:
    """Takes `num_elements` elements from a dataset in `make`, which is timed, after `fill`, which is not.

    A dataset prefetches while it is idle, and prefetched elements would cost nothing in the timed run. The buffers of
    the single stages hold a few examples, which an untimed quarter of a run drains. The buffers of whole batches hold
    many, so that dataset is reopened (`anew`) and a full run goes untimed: its buffers are then in their steady state.
    """

    def __init__(self, dataset, num_elements, *, anew):
        self._dataset, self._num, self._anew = dataset, num_elements, anew
        self._take = None

    def fill(self):
        if self._take is None or self._anew:
            self._take = _taker(self._dataset)
        self._take(self._num if self._anew else -(-self._num // 4))

    def make(self):
        self._take(self._num)


def _taker(dataset):
    """Open a dataset and return a function that takes a given number of elements from it."""
    import tensorflow as tf

    iterator = iter(dataset)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.int32)])
    def take(num):
        def take_one(index):
            with tf.control_dependencies(tf.nest.flatten(iterator.get_next())):
                return index + 1

        return tf.while_loop(lambda index: index < num, take_one, [tf.constant(0)])

    return take


def training_step(network, data_dir, preset_name) -> tuple:
    """Return a function that runs one warmed-up step of the training command on a fixed batch, and the batch size."""
    from benchmarks.workers.training_steps import Work, prepare, run_turn

    work = Work(network=network, preset=preset_name, data=str(data_dir), num_steps=1)
    step, batches, batch_size = prepare(work)
    batch = next(batches)
    # Warm-up: the first step traces, the second allocates.
    run_turn(step, iter([batch] * 2), 2)
    return lambda: run_turn(step, iter([batch]), 1), batch_size


# Figures -------------------------------------------------------------------------------------------------------------


def summarise(measured) -> dict:
    """Summarise the result of `measure`.

    Returns:
        A JSON-ready dict:
            stages: a list of dicts: network, augment, stage; clock_ms and cpu_ms, wall-clock and CPU time per example
                up to and including the stage; cpu_ms_alone, CPU time that the stage adds; per_second, examples by
                wall-clock time
            steps: by network, clock_ms, cpu_ms and per_second of the training step
            ratios: a list of dicts: network, augment; clock and cpu, time of the training step over that of the whole
                pipeline
    """
    stages, ratios = [], []
    steps = {task.network: _times(task, timing) for task, timing in measured if task.stage == STEP}
    before = 0.0
    for task, timing in measured:
        if task.stage == STEP:
            continue
        before = 0.0 if task.stage == STAGES[0] else before
        times, step = _times(task, timing), steps[task.network]
        named = {"network": task.network, "augment": task.augment}
        stages.append({**named, "stage": task.stage, **times, "cpu_ms_alone": times["cpu_ms"] - before})
        before = times["cpu_ms"]
        if task.stage == STAGES[-1]:
            ratios.append({**named, **{key: step[f"{key}_ms"] / times[f"{key}_ms"] for key in ("clock", "cpu")}})
    return {"stages": stages, "steps": steps, "ratios": ratios}


def _times(task, timing):
    """Return the median times per example."""
    clock_ms = timing.median / task.num_examples
    return {
        "clock_ms": clock_ms,
        "cpu_ms": timing.processor_median / task.num_examples,
        "per_second": 1000.0 / clock_ms,
    }


def format_tables(figures) -> str:
    """Return the figures of `summarise` as text."""
    machine = figures["machine"]
    lines = [
        f"{figures['data']}, preset {figures['preset']}, medians of {figures['repeats']} runs in turns",
        f"{machine['cpu']}, {machine['cores']} cores",
        "CPU ms: CPU time per example, of the stage alone and up to it; /s: examples per second up to the stage",
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


if __name__ == "__main__":
    sys.exit(run(main))
