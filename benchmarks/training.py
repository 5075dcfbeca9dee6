"""Measure how fast training is, with the default settings and with others beside them.

    python -m benchmarks.training --data DIR [--preset mobile base] [--network detector keypoints]

For each network and preset, photos (detector) or garments (keypoint network) a second of the training command's own
step on its own input pipeline, the share of that time in which the step waited for its batch, the processor's time an
example, which others on the machine disturb less, and the process's peak memory. Each variant is a process of its own,
because memory, threads and oneDNN are a process's. A variant takes turns with a process of the defaults, the other
stopped meanwhile, so that whatever else the machine does falls on both, and its ratio is to the defaults' turns beside
its own. The first two steps of a process are not counted; the figures are medians of the turns.
"""

import dataclasses
import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.commands import add_json
from benchmarks.workers import training_steps
from benchmarks.workers.process import WorkerFailed, WorkerProcess
from benchmarks.workers.training_steps import Work
from cspn_tf.config import PRESETS, override
from cspn_tf.console import CallError, Parser, UserError, positive_int, run, termination_as_interrupt
from cspn_tf.machine import describe_machine
from cspn_tf.models.checkpoints import write_json

ROOT = Path(__file__).parents[1]
UNITS = {"detector": "photos", "keypoints": "garments"}
DEFAULT = "default"
_RATES = ("per_second", "lowest_per_second", "highest_per_second", "ratio")
_FIGURES = (*_RATES, "waiting_share", "cpu_ms", "peak_mb", "gpu_peak_mb")


@dataclasses.dataclass(frozen=True)
class Variant:
    """A way to train: what differs from the defaults, in the process's work and in its environment."""

    text: str  # what it is, for --help
    changes: dict = dataclasses.field(default_factory=dict)
    environment: dict = dataclasses.field(default_factory=dict)
    needs_gpu: bool = False


VARIANTS = {
    DEFAULT: Variant("what the training commands do"),
    "xla": Variant("the step compiled with XLA", {"xla": True}),
    "mixed_bfloat16": Variant("layers compute in bfloat16", {"precision": "mixed_bfloat16"}),
    "mixed_float16": Variant("layers compute in float16", {"precision": "mixed_float16"}, needs_gpu=True),
    "no-clip": Variant("gradients are not clipped", {"gradient_clip": False}),
    "no-onednn": Variant("without oneDNN's operations", environment={"TF_ENABLE_ONEDNN_OPTS": "0"}),
    "inter-1": Variant("one operation at a time", {"inter_op_threads": 1}),
    "intra-1": Variant("one thread an operation", {"intra_op_threads": 1}),
}


def main(argv=None) -> int:
    """Measure and print; see the module's docstring and --help."""
    args = _parse(argv)
    settings = {"num_steps": args.steps, "batch_size": args.batch_size, "data": str(args.data), "overrides": args.set}
    figures = {"machine": _describe_machine(), **settings, "rounds": args.rounds, "rows": []}
    for preset in args.preset:
        for network in args.network:
            work = Work(network=network, preset=preset, **settings)
            before = figures["rows"]
            with termination_as_interrupt():
                for rows in measure(work, args.variant, args.rounds, has_gpu=figures["machine"]["gpu"] is not None):
                    figures["rows"] = before + rows
                    # After each variant, because they take minutes and a run may be cut off.
                    if args.json:
                        write_json(args.json, figures)
            print(format_table(rows, figures), flush=True)
    return 0


def _parse(argv):
    parser = Parser(
        description="Measure how fast training is, with the default settings and with others beside them.",
        epilog="Variants: " + "; ".join(f"{name}: {variant.text}" for name, variant in VARIANTS.items()),
    )
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder that training.prepare wrote")
    parser.add_argument("--preset", nargs="+", default=["mobile", "base"], choices=list(PRESETS), help="what to train")
    parser.add_argument("--network", nargs="+", default=list(UNITS), choices=list(UNITS), help="which networks")
    parser.add_argument(
        "--variant", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), help="beside the default"
    )
    parser.add_argument("--steps", type=positive_int, default=4, metavar="N", help="training steps of a turn")
    parser.add_argument("--rounds", type=positive_int, default=5, metavar="N", help="turns of each variant")
    parser.add_argument("--batch-size", type=positive_int, metavar="N", help="examples a step (default: the preset's)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="override a field of the config, as the training commands do; may be given again",
    )
    add_json(parser)
    args = parser.parse_args(argv)
    from cspn_tf.data.tfrecords import read_manifest

    # The processes could say so too, but only after a minute.
    read_manifest(args.data)
    try:
        for preset in args.preset:
            override(PRESETS[preset], args.set)
    except (UserError, ValueError) as error:
        raise CallError(str(error)) from error
    return args


# Measuring -----------------------------------------------------------------------------------------------------------


def measure(work: Work, names, rounds, *, has_gpu):
    """Measure the defaults and some variants of one network and preset.

    Args:
        work: what the processes of the defaults do.
        names: of `VARIANTS`.
        rounds: turns of each variant.
        has_gpu: whether to run the variants that need one.

    Yields:
        After each variant the list of all rows so far, as `row` gives them, the defaults' first.

    Raises:
        WorkerFailed: if the defaults themselves fail.
    """
    rows, default_turns = [], []
    with _start(f"{work.network}, preset {work.preset}, {DEFAULT}", VARIANTS[DEFAULT]) as default:
        size = _load(default, work)

        def rows_so_far():
            return [row(work, DEFAULT, default_turns, default_turns, batch_size=size), *rows]

        for name in names:
            variant = VARIANTS[name]
            if name == DEFAULT:
                continue
            if variant.needs_gpu and not has_gpu:
                rows.append(row(work, name, error="needs a GPU, and there is none"))
                continue
            pairs, batch_size, error = [], None, None
            with _start(name, variant) as process:
                try:
                    batch_size = _load(process, dataclasses.replace(work, **variant.changes))
                    pairs = [(_turn(default), _turn(process)) for _ in range(rounds)]
                except WorkerFailed as failure:
                    if failure.worker is default:
                        raise
                    error = failure.reason
            beside, turns = (list(part) for part in zip(*pairs, strict=True)) if pairs else ([], [])
            default_turns += beside
            rows.append(row(work, name, turns, beside, batch_size=batch_size, error=error))
            yield rows_so_far()
        default_turns += [] if default_turns else [_turn(default) for _ in range(rounds)]
        yield rows_so_far()


def _start(name, variant):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variant.environment}
    # A turn takes as long as it takes.
    return WorkerProcess(name, sys.executable, training_steps.__file__, environment, answer_seconds=None)


def _load(process, work):
    """Let a process make everything ready, stop it, and return its batch size."""
    facts = process.ask("load", **dataclasses.asdict(work))["facts"]
    process.pause()
    return facts["batch_size"]


def _turn(process):
    """Let a process train one turn; return what it took, with the process's peak of memory."""
    process.resume()
    turn = {**process.ask("turn"), **process.ask("memory")}
    process.pause()
    return turn


# Figures -------------------------------------------------------------------------------------------------------------


def row(work: Work, name, turns=(), beside=(), *, batch_size=None, error=None) -> dict:
    """Return the figures of one variant.

    Args:
        work: what the defaults do.
        name: the variant's.
        turns: of `training_steps`, with peak_rss_mb; none where it failed.
        beside: the defaults' turns between them.
        batch_size: examples a step.
        error: why it failed, or None.

    Returns:
        A JSON-ready dict: network, preset, variant, batch_size, error; num_turns; per_second, examples, median;
        lowest_per_second and highest_per_second of a turn; ratio, median, to the defaults' turn before each;
        waiting_share, of the time of all turns; cpu_ms, the processor's time an example, median; peak_mb;
        gpu_peak_mb. What there is no figure of is None.
    """
    figures = dict.fromkeys(_FIGURES)
    if turns:
        rates = [_rate(turn, batch_size) for turn in turns]
        figures = {
            "per_second": statistics.median(rates),
            "lowest_per_second": min(rates),
            "highest_per_second": max(rates),
            "ratio": statistics.median(
                _rate(turn, batch_size) / _rate(default, batch_size)
                for turn, default in zip(turns, beside, strict=True)
            ),
            "waiting_share": waiting_share(turns),
            "cpu_ms": statistics.median(_cpu_ms(turn, batch_size) for turn in turns),
            "peak_mb": max(turn["peak_rss_mb"] for turn in turns),
            "gpu_peak_mb": turns[-1]["gpu_peak_mb"],
        }
    named = {"network": work.network, "preset": work.preset, "variant": name, "batch_size": batch_size}
    return {**named, "error": error, "num_turns": len(turns), **figures}


def waiting_share(turns) -> float:
    """Return the share of the time of all turns in which the step waited for its batch."""
    waiting = sum(sum(turn["waiting_s"]) for turn in turns)
    return waiting / (waiting + sum(sum(turn["step_s"]) for turn in turns))


def _rate(turn, batch_size):
    return batch_size * len(turn["step_s"]) / (sum(turn["waiting_s"]) + sum(turn["step_s"]))


def _cpu_ms(turn, batch_size):
    return 1000.0 * turn["processor_s"] / (batch_size * len(turn["step_s"]))


def format_table(rows, figures) -> str:
    """Return the rows of one network and preset as text."""
    machine = figures["machine"]
    default = rows[0]
    rate = f"{UNITS[default['network']]}/s"
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    lines = [
        f"{default['network']}, preset {default['preset']}, batches of {default['batch_size']}, {figures['data']}; "
        f"medians of {figures['rounds']} turns of {figures['num_steps']} steps"
        + "".join(f", {text}" for text in figures["overrides"]),
        f"{machine['cpu']}, {machine['cores']} cores{gpu}",
        f"  {'':<16}{rate:>12}{'ratio':>8}{'waiting':>10}{'CPU ms':>9}{'peak MB':>10}",
    ]
    for line in rows:
        text = f"  {line['variant']:<16}"
        if line["error"] or line["per_second"] is None:
            lines.append(f"{text}  {line['error'] or 'not measured: the default failed'}")
            continue
        waiting = f"{100.0 * line['waiting_share']:.1f} %"
        text += f"{line['per_second']:>12.1f}{line['ratio']:>8.2f}{waiting:>10}"
        lines.append(f"{text}{line['cpu_ms']:>9.1f}{line['peak_mb']:>10.0f}")
    return "\n".join([*lines, ""])


def _describe_machine():
    """Return what `describe_machine` does, with the name of the first GPU, `gpu`, or None."""
    # In a process of its own: TensorFlow takes a GPU's memory, which the measured processes need.
    code = "import tensorflow as tf; print(''.join(g.name for g in tf.config.list_physical_devices('GPU')[:1]))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {**describe_machine(), "gpu": found.stdout.strip() or None}


if __name__ == "__main__":
    sys.exit(run(main))
