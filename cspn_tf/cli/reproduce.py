"""Train and evaluate everything for the paper's tables 1, 2 and 3 and figure 6, and compare with its numbers.

    cspn-tf reproduce --data DIR --out DIR [--scale paper|cpu] [--budget MINUTES] [--beyond] [--detector DIR]

`--scale paper` uses the paper's networks and needs a GPU; `--scale cpu` uses one small backbone for all methods, so
that the same questions can be answered with a few thousand photos on two cores. All experiments of a scale share the
data, the augmentation, the schedule and the detector; each is trained once per seed, the detector once, unless a
trained one is given.

An interrupted run resumes when the same command is given again. In --out:

::

    plan.json       the arguments, and the epochs that fit the budget
    detector/       the training run of the shared detector, unless --detector is given
    runs/           a training run per experiment and seed
    evaluations/    as `evaluate` writes it on the test split, without pictures, per experiment and seed
    costs.json      parameters, operations and milliseconds, timed in alternation
    logs/           output of the commands
    report.md, report.json, figure_6.png; with --beyond reliability.png
"""

from pathlib import Path

from cspn_tf.console import (
    Parser,
    positive_float,
    positive_int,
    require_extra,
    termination_as_interrupt,
)
from cspn_tf.files import check_writable, locked
from cspn_tf.machine import num_cores
from cspn_tf.reproduction import plan as plans
from cspn_tf.reproduction import steps
from cspn_tf.reproduction.experiments import SCALES
from cspn_tf.reproduction.jobs import JobProgress, run_jobs

# More parallel runs need more memory than most machines have.
_MOST_PARALLEL = 8


def main(argv=None) -> int:
    """Reproduce the paper's tables, see --help."""
    args = _parse(argv)
    require_extra("training")
    from cspn_tf.data import pipeline, samples, tfrecords

    tfrecords.verify(args.data)
    for split in samples.SPLITS:
        pipeline.require_examples(args.data, split, what="garments")
    plan = plans.make_plan_of(args)
    steps.check_detector(plan)
    args.out.mkdir(parents=True, exist_ok=True)
    with termination_as_interrupt(), locked(args.out / "lock", args.out):
        plan = plans.settle_plan(plan, args)
        trainings, evaluations = steps.make_jobs(plan, args.data, args.out)
        progress = JobProgress([*trainings, *evaluations])
        # The detector takes longest: train everything else in parallel, then evaluate.
        run_jobs(trainings, args.jobs, progress)
        steps.derive(plan, args.out)
        run_jobs(evaluations, args.jobs, progress)
        costs = steps.measure_costs(plan, args.data, args.out)
        steps.write_report(plan, args.data, args.out, costs)
    return 0


def _parse(argv):
    parser = Parser(description="Train and evaluate everything for the paper's tables and figure.")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder written by prepare")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="output directory")
    parser.add_argument("--scale", default="cpu", choices=list(SCALES), help="networks and schedule")
    parser.add_argument(
        "--budget",
        type=positive_float,
        metavar="MINUTES",
        help="time budget; all experiments get the same number of epochs (default: the scale's)",
    )
    parser.add_argument("--epochs", type=positive_int, help="passes over the training split, instead of a budget")
    parser.add_argument("--seeds", type=positive_int, default=3, metavar="N", help="number of seeds per experiment")
    parser.add_argument("--beyond", action="store_true", help="also run experiments beyond the paper")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run only these experiments, by folder name")
    parser.add_argument(
        "--detector",
        metavar="DIR",
        help="training directory of a detector to use, instead of training one; `shipped` is the package's",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="override a field of every config"
    )
    parser.add_argument(
        "--jobs", type=positive_int, metavar="N", help="parallel runs (default: cpu one per core, paper 1)"
    )
    args = parser.parse_args(argv)
    if args.budget and args.epochs:
        parser.error("give --budget or --epochs, not both")
    check_writable(args.out)
    args.jobs = args.jobs or (min(num_cores(), _MOST_PARALLEL) if args.scale == "cpu" else 1)
    return args
