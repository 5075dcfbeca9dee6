"""Train and evaluate all that the paper's tables 1, 2 and 3 and figure 6 need, and write ours beside the paper's.

    cspn-tf reproduce --data DIR --out DIR [--scale paper|cpu] [--budget MINUTES] [--beyond]

`--scale paper` takes the paper's networks as they are and wants a GPU; `--scale cpu` takes one small backbone for all
methods, at which the same questions can be asked of a few thousand photos on two cores. All experiments of a scale
share the data, the augmentation, the schedule and the detector; each is trained once for each seed.

The same command goes on where it was cut off. In --out:

::

    plan.json       what was asked for, and the epochs that the budget allows
    detector/       the one detector, a training run
    runs/           a training run for each experiment and seed
    evaluations/    for each, metrics.json and report.md of the test split
    costs.json      parameters, operations and milliseconds, measured in turns
    logs/           what the commands printed
    report.md, report.json, figure_6.png; with --beyond reliability.png
"""

import argparse
import sys
from pathlib import Path

from cspn_tf.console import Parser, positive_int, require_extra, run, termination_as_interrupt
from cspn_tf.files import locked
from cspn_tf.machine import num_cores
from cspn_tf.reproduction import plan as plans
from cspn_tf.reproduction import steps
from cspn_tf.reproduction.experiments import SCALES
from cspn_tf.reproduction.jobs import Progress, run_jobs

# More runs side by side need more memory than most machines have.
_MOST_PARALLEL = 8


def main(argv=None) -> int:
    """Reproduce the paper; see the module's docstring and --help."""
    args = _parse(argv)
    require_extra("training")
    from cspn_tf.data import tfrecords

    tfrecords.verify(args.data)
    plan = plans.make_plan_of(args)
    args.out.mkdir(parents=True, exist_ok=True)
    with termination_as_interrupt(), locked(args.out / "lock", args.out):
        plan = plans.settle_plan(plan, args)
        jobs = steps.make_jobs(plan, args.data, args.out)
        progress = Progress(jobs)
        # The detector is the longest: what has no need of it runs beside it.
        run_jobs([job for job in jobs if job.module != steps.EVALUATE], args.jobs, progress)
        for experiment in plan.experiments:
            if experiment.derived:
                steps.derive(plan, experiment, args.out)
        run_jobs([job for job in jobs if job.module == steps.EVALUATE], args.jobs, progress)
        costs = steps.measure_costs(plan, args.data, args.out)
        steps.write_report(plan, args.data, args.out, costs)
    return 0


def _parse(argv):
    parser = Parser(description="Train and evaluate all that the paper's tables and figure need.")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder that prepare wrote")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where everything goes")
    parser.add_argument("--scale", default="cpu", choices=list(SCALES), help="networks and schedule")
    parser.add_argument(
        "--budget",
        type=_minutes,
        metavar="MINUTES",
        help="train as many epochs, the same for all, as this time allows (default: the scale's)",
    )
    parser.add_argument("--epochs", type=positive_int, help="passes over the training split, in place of a budget")
    parser.add_argument("--seeds", type=positive_int, metavar="N", help="trainings of each experiment (default: 3)")
    parser.add_argument("--beyond", action="store_true", help="try what goes beyond the paper too")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these experiments, by their folders' names")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="override a field of every config"
    )
    parser.add_argument(
        "--jobs", type=positive_int, metavar="N", help="runs side by side (default: cpu a core, paper 1)"
    )
    args = parser.parse_args(argv)
    if args.budget and args.epochs:
        parser.error("give --budget or --epochs, not both")
    if args.out.exists() and not args.out.is_dir():
        parser.error(f"--out {args.out} is a file")
    args.jobs = args.jobs or (min(num_cores(), _MOST_PARALLEL) if args.scale == "cpu" else 1)
    return args


def _minutes(text) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be more than 0 minutes, received {text}")
    return value


if __name__ == "__main__":
    sys.exit(run(main))
