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
import dataclasses
import functools
import json
import sys
from pathlib import Path

from cspn_tf import config as configs
from cspn_tf.config import KEYPOINT_TRAINING
from cspn_tf.console import CallError, Parser, UserError, positive_int, require_extra, run, termination_as_interrupt
from cspn_tf.files import is_newer, locked, replaced_file
from cspn_tf.machine import describe_machine, num_cores
from cspn_tf.models.checkpoints import write_json
from cspn_tf.reproduction.evaluate_runs import is_evaluated
from cspn_tf.reproduction.experiments import BEYOND, CSPN, OWN_FIELDS, SCALES, paper_experiments
from cspn_tf.reproduction.jobs import Job, Progress, run_jobs

_EVALUATE = "cspn_tf.reproduction.evaluate_runs"
_PLAN, _COSTS, _REPORT = "plan.json", "costs.json", "report.json"
# The table of Student's t ends there.
MAX_SEEDS = 10
# Part of a budget that training may take; the rest is for validation and evaluation.
_TRAINING_SHARE = 0.7
# What one run takes before its first step.
_START_SECONDS = 20.0
# More runs side by side need more memory than most machines have.
_MOST_PARALLEL = 8
# Work of the jobs, in garments trained: a photo of the detector, a photo evaluated, the start of a process.
_DETECTOR_WORK, _EVALUATION_WORK, _START_WORK = 5.0, 1.0, 1000.0


def main(argv=None) -> int:
    """Reproduce the paper; see the module's docstring and --help."""
    args = _parse(argv)
    require_extra("training")
    from cspn_tf.data import tfrecords

    tfrecords.verify(args.data)
    plan = make_plan_of(args)
    args.out.mkdir(parents=True, exist_ok=True)
    with termination_as_interrupt(), locked(args.out / "lock", args.out):
        plan = settle_plan(plan, args)
        jobs = make_jobs(plan, args.data, args.out)
        progress = Progress(jobs)
        # The detector is the longest: what has no need of it runs beside it.
        run_jobs([job for job in jobs if job.module != _EVALUATE], args.jobs, progress)
        for experiment in plan.experiments:
            if experiment.derived:
                derive(plan, experiment, args.out)
        run_jobs([job for job in jobs if job.module == _EVALUATE], args.jobs, progress)
        costs = measure_costs(plan, args.data, args.out)
        write_report(plan, args.data, args.out, costs)
    return 0


# The plan ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is trained, and for how long."""

    scale: str
    overrides: tuple[str, ...]  # the user's
    experiments: tuple
    seeds: tuple[int, ...]
    detector_epochs: int
    keypoint_epochs: int

    @property
    def preset(self) -> str:
        return SCALES[self.scale].preset

    def config(self, experiment) -> configs.Config:
        """Return the `Config` of one of the experiments."""
        return configs.override(configs.preset(self.preset), self.overrides_of(experiment))

    def overrides_of(self, experiment) -> list[str]:
        """Return all `field=value` texts of an experiment; what the user asked for goes before what the scale says."""
        return [*SCALES[self.scale].overrides, *experiment.overrides, *self.overrides]

    def to_dict(self) -> dict:
        """Return the JSON-ready form, experiments by their names."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            **{name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()},
            "experiments": [experiment.name for experiment in self.experiments],
        }


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
    parser.add_argument(
        "--seeds",
        type=int,
        choices=range(1, MAX_SEEDS + 1),
        metavar="N",
        help=f"trainings of each experiment, at most {MAX_SEEDS} (default: 3)",
    )
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


def make_plan_of(args) -> Plan:
    """Return what a call asks for, with the epochs of its scale or its own.

    Raises:
        CallError: an experiment or an override does not exist, or an override is of what the experiments vary.
    """
    scale = SCALES[args.scale]
    for text in args.set:
        if text.partition("=")[0] in OWN_FIELDS:
            raise CallError(f"--set {text}: the experiments themselves vary this")
    plan = Plan(
        scale=args.scale,
        overrides=tuple(args.set),
        experiments=_chosen([*paper_experiments(scale), *(BEYOND if args.beyond else ())], args.only),
        seeds=tuple(range(1, (args.seeds or scale.num_seeds) + 1)),
        detector_epochs=args.epochs or scale.detector_epochs,
        keypoint_epochs=args.epochs or scale.keypoint_epochs,
    )
    try:
        found = {experiment.name: plan.config(experiment) for experiment in plan.experiments}
    except UserError as error:
        raise CallError(str(error)) from error
    # A way of decoding that the preset has already is the CSPN itself.
    experiments = [e for e in plan.experiments if not (e.derived and found[e.name] == found[CSPN])]
    return dataclasses.replace(plan, experiments=tuple(experiments))


def _chosen(experiments, only):
    if not only:
        return tuple(experiments)
    names = [experiment.name for experiment in experiments]
    for name in only:
        if name not in names:
            raise CallError(f"--only {name}: no such experiment, choose of {', '.join(names)}")
    # What goes beyond the paper is compared with the CSPN.
    wanted = {*only, *([CSPN] if any(experiment.name in only for experiment in BEYOND) else [])}
    return tuple(experiment for experiment in experiments if experiment.name in wanted)


def settle_plan(plan, args) -> Plan:
    """Write the plan into --out, with the epochs that its budget allows; if one stands there, its epochs stay.

    Raises:
        UserError: --out holds a plan of another scale, of other overrides, or of other data.
    """
    path = args.out / _PLAN
    about = {"data": str(args.data), "data_sha256": _data_digest(args.data)}
    if path.exists():
        plan = _resumed(plan, path, args, about)
        if args.budget:
            print(f"{path} stands: its {plan.keypoint_epochs} epochs stay, whatever the budget", flush=True)
    elif args.budget:
        plan = _within_budget(plan, args)
    write_json(path, {**plan.to_dict(), **about})
    return plan


def _data_digest(data) -> str:
    from cspn_tf.data import tfrecords

    # It holds the digests of all shards.
    return tfrecords.file_sha256(Path(data) / tfrecords.MANIFEST)


def _resumed(plan, path, args, about):
    """Return the plan that stands, with the experiments that are asked for now; its epochs stay."""
    try:
        found = json.loads(path.read_text())
        epochs = {name: found[name] for name in ("detector_epochs", "keypoint_epochs")}
        wanted = {**plan.to_dict(), **about}
        different = [
            f"{name}: {found[name]} != {wanted[name]}"
            for name in ("scale", "overrides", "data_sha256", *(epochs if args.epochs else ()))
            if found[name] != wanted[name]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a plan: {error}") from error
    if different:
        raise UserError(f"{args.out} holds another reproduction: {'; '.join(different)}; choose another --out")
    return dataclasses.replace(plan, **epochs)


def _within_budget(plan, args):
    """Return the plan with the epochs that the budget allows, at least one, after a few steps of every network.

    A network that is timed has all cores for itself. Several side by side share them: their sum is what counts.
    """
    from cspn_tf.data import pipeline
    from cspn_tf.reproduction.costs import training_seconds

    trained = [experiment for experiment in plan.experiments if not experiment.derived]
    num_garments = pipeline.num_examples(args.data, "train", what="garments")
    an_epoch = 0.0
    for experiment in trained:
        one = training_seconds(plan.config(experiment), KEYPOINT_TRAINING[plan.preset], args.data)
        an_epoch += one * num_garments * len(plan.seeds)
        print(f"{experiment.title}: {1000 * one:.1f} ms a garment in training", flush=True)
    num_runs = len(trained) * len(plan.seeds)
    an_epoch += an_epoch / num_runs * _DETECTOR_WORK
    available = _TRAINING_SHARE * 60 * args.budget - num_runs * _START_SECONDS
    epochs = max(int(available / an_epoch), 1)
    print(f"an epoch of everything takes about {an_epoch / 60:.0f} minutes: {epochs} of them", flush=True)
    if available < an_epoch:
        print(
            f"a budget of {args.budget:g} minutes is not enough for one epoch, which is trained all the same",
            flush=True,
        )
    return dataclasses.replace(plan, detector_epochs=epochs, keypoint_epochs=epochs)


# The jobs ------------------------------------------------------------------------------------------------------------


def run_name(experiment, seed) -> str:
    """Return the name of the folders of one training."""
    return f"{experiment.name}-seed{seed}"


def make_jobs(plan, data, out) -> list[Job]:
    """Return every command that has to run; seeds are the outer loop, so that what is cut off has a whole table."""
    from cspn_tf.data import pipeline

    num_photos, num_test = (pipeline.num_examples(data, split) for split in ("train", "test"))
    common = ("--data", data, "--preset", plan.preset, "--resume")

    def trained(network, directory, epochs, *arguments, title, work):
        return Job(
            title=f"trained {title}",
            module=f"cspn_tf.cli.train_{network}",
            arguments=(*common, *arguments, "--epochs", epochs, "--out", directory),
            log=out / "logs" / f"train-{directory.name}.log",
            is_done=lambda: _num_epochs(directory) >= epochs,
            work=work * epochs * num_photos + _START_WORK,
        )

    jobs = [
        trained(
            "detector",
            out / "detector",
            plan.detector_epochs,
            *_flags("--set", (*SCALES[plan.scale].overrides, *plan.overrides)),
            title="the detector",
            work=_DETECTOR_WORK,
        ),
    ]
    runs = [(experiment, seed) for seed in plan.seeds for experiment in plan.experiments]
    for experiment, seed in runs:
        if not experiment.derived:
            arguments = (*_flags("--set", plan.overrides_of(experiment)), *experiment.flags, "--seed", seed)
            title = f"{experiment.title}, seed {seed}"
            directory = out / "runs" / run_name(experiment, seed)
            jobs.append(trained("keypoints", directory, plan.keypoint_epochs, *arguments, title=title, work=1.0))
    folder = out / "evaluations"
    for seed in plan.seeds:
        names = [run_name(experiment, seed) for experiment in plan.experiments]
        jobs.append(
            Job(
                title=f"evaluated seed {seed}",
                module=_EVALUATE,
                arguments=(
                    *("--data", data, "--detector", out / "detector", "--out", folder),
                    *("--keypoints", *(out / "runs" / name for name in names)),
                ),
                log=out / "logs" / f"evaluate-seed{seed}.log",
                is_done=lambda names=names: all(
                    is_evaluated(folder, out / "detector", out / "runs" / name) for name in names
                ),
                work=_EVALUATION_WORK * num_test * len(names) + _START_WORK,
            )
        )
    return jobs


def _flags(flag, values):
    return [part for value in values for part in (flag, value)]


def _num_epochs(directory):
    from cspn_tf.train.fitting import read_history

    return len(read_history(directory))


def derive(plan, experiment, out) -> None:
    """Make the run of a derived experiment: the weights of the trained CSPN with another config."""
    import shutil

    from cspn_tf.models import checkpoints

    for seed in plan.seeds:
        source, target = (out / "runs" / f"{name}-seed{seed}" for name in (CSPN, experiment.name))
        _, details = checkpoints.read_description(source, checkpoints.KEYPOINTS)
        if is_newer(target / checkpoints.WEIGHTS, [source / checkpoints.WEIGHTS]):
            continue
        target.mkdir(parents=True, exist_ok=True)
        checkpoints.write_description(target, checkpoints.KEYPOINTS, plan.config(experiment), details)
        with replaced_file(target / checkpoints.WEIGHTS) as temporary:
            shutil.copyfile(source / checkpoints.WEIGHTS, temporary)


# Costs and report ----------------------------------------------------------------------------------------------------


def measure_costs(plan, data, out) -> dict:
    """Measure what the networks of the first seed cost, unless that stands in --out already; see `costs.measure`."""
    from cspn_tf.models.checkpoints import WEIGHTS
    from cspn_tf.reproduction import costs

    path = out / _COSTS
    directories = {e.name: out / "runs" / run_name(e, plan.seeds[0]) for e in plan.experiments}
    if is_newer(path, [directory / WEIGHTS for directory in directories.values()]):
        found = json.loads(path.read_text())
        if set(directories) <= set(found["networks"]):
            return found
    print("measuring parameters, operations and milliseconds", flush=True)
    found = costs.measure(directories, out / "detector", data)
    write_json(path, found)
    return found


def write_report(plan, data, out, costs) -> None:
    """Write `report.json`, `report.md` and the figure from the evaluations, and print where they are."""
    from cspn_tf.data.tfrecords import read_manifest
    from cspn_tf.evaluation.pictures import draw_reliability
    from cspn_tf.reproduction import figures, report, results

    evaluations = {
        experiment.name: [
            json.loads((out / "evaluations" / run_name(experiment, seed) / "metrics.json").read_text())
            for seed in plan.seeds
        ]
        for experiment in plan.experiments
    }
    found = results.summarise(plan, evaluations, costs, read_manifest(data))
    found["machine"] = describe_machine()
    with replaced_file(out / "report.md") as temporary:
        temporary.write_text(report.make_report(found))
    write_json(out / _REPORT, found)
    written = ["report.md", _REPORT]
    reliability = {
        e.title: evaluations[e.name][0]["visibility"] for e in plan.experiments if e.name in (CSPN, "visibility")
    }
    for name, wanted, draw in (
        ("figure_6.png", len(found["stages"]) > 1, functools.partial(figures.draw_stages, found["stages"])),
        ("reliability.png", len(reliability) > 1, functools.partial(draw_reliability, reliability)),
    ):
        (out / name).unlink(missing_ok=True)
        if wanted:
            with replaced_file(out / name) as temporary:
                draw(temporary)
            written.append(name)
    print(report.claims_text(found["claims"]))
    print(f"written to {out}: {', '.join(written)}")


if __name__ == "__main__":
    sys.exit(run(main))
