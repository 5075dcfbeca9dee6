"""Measure training throughput with the default settings and with variants of them.

    python -m benchmarks.training --data DIR [--preset mobile base] [--network detector keypoints]

Runs the training step of the training command on its input pipeline, and prints for each network and preset: photos
(detector) or garments (keypoint network) per second; the share of time in which the step waited for its batch; CPU time
per example, which other processes disturb less; and peak memory of the process. Each variant is a separate process,
because memory, threads and oneDNN settings are per process. A variant takes turns with a process of the defaults, the
other being suspended, so that other load on the machine affects both; its ratio is to the default's turns between its
own. The first two steps of a process are not counted; figures are medians over the turns.
"""

import dataclasses
import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.commands import add_json, write_figures
from benchmarks.workers import training_steps
from benchmarks.workers.process import WorkerFailed, WorkerProcess
from benchmarks.workers.training_steps import Work
from cspn_tf.config import PRESETS, override
from cspn_tf.console import CallError, Parser, UserError, positive_int, run, termination_as_interrupt
from cspn_tf.machine import describe_machine

ROOT = Path(__file__).parents[1]
UNITS = {"detector": "photos", "keypoints": "garments"}
DEFAULT = "default"
_RATES = ("per_second", "lowest_per_second", "highest_per_second", "ratio")
_FIGURES = (*_RATES, "waiting_share", "cpu_ms", "peak_mb", "gpu_peak_mb")


@dataclasses.dataclass(frozen=True)
class Variant:
    """A variant of the default settings: changed fields of `Work`, and changed environment variables."""

    text: str  # description for --help
    changes: dict = dataclasses.field(default_factory=dict)
    environment: dict = dataclasses.field(default_factory=dict)
    needs_gpu: bool = False


VARIANTS = {
    DEFAULT: Variant("the settings of the training commands"),
    "xla": Variant("the step compiled with XLA", {"xla": True}),
    "mixed_bfloat16": Variant("layers compute in bfloat16", {"precision": "mixed_bfloat16"}),
    "mixed_float16": Variant("layers compute in float16", {"precision": "mixed_float16"}, needs_gpu=True),
    "no-clip": Variant("gradients are not clipped", {"gradient_clip": False}),
    "no-onednn": Variant("without oneDNN operations", environment={"TF_ENABLE_ONEDNN_OPTS": "0"}),
    "inter-1": Variant("one operation at a time", {"inter_op_threads": 1}),
    "intra-1": Variant("one thread per operation", {"intra_op_threads": 1}),
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
                    # After each variant, because each takes minutes and the run may be interrupted.
                    write_figures(args, figures)
            print(format_table(rows, figures), flush=True)
    return 0


def _parse(argv):
    parser = Parser(
        description="Measure training throughput with the default settings and with variants of them.",
        epilog="Variants: " + "; ".join(f"{name}: {variant.text}" for name, variant in VARIANTS.items()),
    )
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="output folder of training.prepare")
    parser.add_argument("--preset", nargs="+", default=["mobile", "base"], choices=list(PRESETS), help="what to train")
    parser.add_argument("--network", nargs="+", default=list(UNITS), choices=list(UNITS), help="which networks")
    text = "variants; the default is always timed"
    parser.add_argument("--variant", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), help=text)
    parser.add_argument("--steps", type=positive_int, default=4, metavar="N", help="training steps per turn")
    parser.add_argument("--rounds", type=positive_int, default=5, metavar="N", help="turns of each variant")
    parser.add_argument("--batch-size", type=positive_int, metavar="N", help="batch size (default: the preset's)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="override a field of the config, as in the training commands; repeatable",
    )
    add_json(parser)
    args = parser.parse_args(argv)
    from cspn_tf.data.tfrecords import read_manifest

    # The workers would report bad data as well, but only after a minute.
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
        work: the work of the default process.
        names: keys of `VARIANTS`.
        rounds: turns of each variant.
        has_gpu: whether to run the variants that need a GPU.

    Yields:
        After each variant the list of all rows so far, see `row`, the defaults first.

    Raises:
        WorkerFailed: if the default process fails.
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
    # Without a timeout: a turn has no upper bound.
    return WorkerProcess(name, sys.executable, training_steps.__file__, environment, answer_seconds=None)


def _load(process, work):
    """Have a worker load its work, pause it, and return its batch size."""
    facts = process.ask("load", **dataclasses.asdict(work))["facts"]
    process.pause()
    return facts["batch_size"]


def _turn(process):
    """Run one turn of a worker; return its timings, with the peak memory of the process."""
    process.resume()
    turn = {**process.ask("turn"), **process.ask("memory")}
    process.pause()
    return turn


# Figures -------------------------------------------------------------------------------------------------------------


def row(work: Work, name, turns=(), beside=(), *, batch_size=None, error=None) -> dict:
    """Return the figures of one variant.

    Args:
        work: the work of the default process.
        name: name of the variant.
        turns: results of its turns, see `training_steps`, with peak_rss_mb; empty if it failed.
        beside: the default's turns between them.
        batch_size: examples per step.
        error: why it failed, or None.

    Returns:
        A JSON-ready dict: network, preset, variant, batch_size, error; num_turns; per_second, median of examples per
        second; lowest_per_second and highest_per_second over the turns; ratio, median over the turns, to the default's
        turn before each; waiting_share of the time of all turns; cpu_ms, median CPU time per example; peak_mb;
        gpu_peak_mb. Unknown figures are None.
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
    """Return the share of time, over all turns, in which the step waited for its batch."""
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
    """Return the dict of `describe_machine`, with `gpu`, the name of the first GPU or None."""
    # In a separate process, because TensorFlow reserves GPU memory, which the measured processes need.
    code = "import tensorflow as tf; print(''.join(g.name for g in tf.config.list_physical_devices('GPU')[:1]))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {**describe_machine(), "gpu": found.stdout.strip() or None}


if __name__ == "__main__":
    sys.exit(run(main))
