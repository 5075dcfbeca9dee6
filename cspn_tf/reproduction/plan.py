"""The plan of a reproduction: its experiments, seeds and epochs, from the command line or a plan.json."""

import dataclasses

from cspn_tf import config as configs
from cspn_tf.config import KEYPOINT_TRAINING
from cspn_tf.console import CallError, UserError
from cspn_tf.files import file_sha256, read_json, write_json
from cspn_tf.reproduction.experiments import BEYOND, CSPN, OWN_FIELDS, SCALES, paper_experiments

_PLAN = "plan.json"
# Cost of training the detector on one photo, relative to a keypoint network on one garment.
DETECTOR_WORK = 5.0
# Fraction of a time budget for training; the rest is for validation and evaluation.
_TRAINING_SHARE = 0.7
# Time one run takes before its first step.
_START_SECONDS = 20.0


@dataclasses.dataclass(frozen=True)
class Plan:
    """The experiments to train, their seeds and epochs."""

    scale: str
    overrides: list[str]  # the user's
    experiments: list
    seeds: list[int]
    detector_epochs: int
    keypoint_epochs: int
    detector: str | None = None  # training directory of the detector, or `shipped`; None to train one

    @property
    def preset(self) -> str:
        return SCALES[self.scale].preset

    def config(self, experiment) -> configs.Config:
        """Return the `Config` of one of the experiments."""
        return configs.override(configs.PRESETS[self.preset], self.overrides_of(experiment))

    def overrides_of(self, experiment) -> list[str]:
        """Return all `field=value` overrides of an experiment, the user's last, so that they win."""
        return [*SCALES[self.scale].overrides, *experiment.overrides, *self.overrides]

    def to_dict(self) -> dict:
        """Return a JSON-ready dict, with the names of the experiments."""
        return {**vars(self), "experiments": [experiment.name for experiment in self.experiments]}


def make_plan_of(args) -> Plan:
    """Return the plan of a command line, with the scale's epochs unless --epochs is given.

    Raises:
        CallError: an experiment or an overridden field does not exist, or the experiments vary that field.
    """
    scale = SCALES[args.scale]
    for text in args.set:
        if text.partition("=")[0] in OWN_FIELDS:
            raise CallError(f"--set {text}: the experiments themselves vary this")
    experiments = [*paper_experiments(scale.baseline_overrides), *(BEYOND if args.beyond else ())]
    plan = Plan(
        scale=args.scale,
        overrides=args.set,
        experiments=_chosen(experiments, args.only),
        seeds=list(range(1, args.seeds + 1)),
        detector_epochs=args.epochs or scale.detector_epochs,
        keypoint_epochs=args.epochs or scale.keypoint_epochs,
        detector=args.detector,
    )
    try:
        found = {experiment.name: plan.config(experiment) for experiment in plan.experiments}
    except UserError as error:
        raise CallError(str(error)) from error
    # A derived experiment with the CSPN's own config would only repeat it.
    experiments = [e for e in plan.experiments if not (e.derived and found[e.name] == found[CSPN])]
    return dataclasses.replace(plan, experiments=experiments)


def _chosen(experiments, only):
    if not only:
        return experiments
    names = [experiment.name for experiment in experiments]
    for name in only:
        if name not in names:
            raise CallError(f"--only {name}: no such experiment; choose from {', '.join(names)}")
    # Experiments beyond the paper are compared with the CSPN.
    wanted = {*only, *([CSPN] if any(experiment.name in only for experiment in BEYOND) else [])}
    return [experiment for experiment in experiments if experiment.name in wanted]


def settle_plan(plan, args) -> Plan:
    """Write the plan into --out, with the epochs that --budget allows; an existing plan keeps its epochs.

    Raises:
        UserError: --out holds a plan with another scale, other overrides or other data.
    """
    from cspn_tf.data.tfrecords import MANIFEST

    path = args.out / _PLAN
    # The manifest holds the digests of all shards.
    about = {"data": str(args.data), "data_sha256": file_sha256(args.data / MANIFEST)}
    if path.exists():
        plan = _resumed(plan, path, args, about)
        if args.budget:
            print(f"{path} exists: its {plan.keypoint_epochs} epochs stay, and --budget is ignored", flush=True)
    elif args.budget:
        plan = _within_budget(plan, args)
    write_json(path, {**plan.to_dict(), **about})
    return plan


def _resumed(plan, path, args, about):
    """Return the new plan with the epochs of the existing one, after a check that the two agree."""
    found = read_json(path, "plan")
    try:
        epochs = {name: found[name] for name in ("detector_epochs", "keypoint_epochs")}
        wanted = {**plan.to_dict(), **about}
        found.setdefault("detector", None)  # plans of version 0.2.0 have none
        different = [
            f"{name}: {found[name]} != {wanted[name]}"
            for name in ("scale", "overrides", "detector", "data_sha256", *(epochs if args.epochs else ()))
            if found[name] != wanted[name]
        ]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: not a plan: {error}") from error
    if different:
        raise UserError(f"{args.out} holds another reproduction: {'; '.join(different)}; choose another --out")
    return dataclasses.replace(plan, **epochs)


def _within_budget(plan, args):
    """Return the plan with the epochs that the budget allows, at least one, estimated from a few steps of each network.

    Each network is timed alone on all cores. Networks trained in parallel share the cores, so the sum of these times
    estimates the total.
    """
    from cspn_tf.data import pipeline
    from cspn_tf.reproduction.costs import training_seconds

    trained = [experiment for experiment in plan.experiments if not experiment.derived]
    num_garments = pipeline.num_examples(args.data, "train", what="garments")
    an_epoch = 0.0
    for experiment in trained:
        one = training_seconds(plan.config(experiment), KEYPOINT_TRAINING[plan.preset], args.data)
        an_epoch += one * num_garments * len(plan.seeds)
        print(f"{experiment.title}: {1000 * one:.1f} ms per garment in training", flush=True)
    num_runs = len(trained) * len(plan.seeds)
    if not plan.detector:
        an_epoch += an_epoch / num_runs * DETECTOR_WORK
    available = _TRAINING_SHARE * 60 * args.budget - num_runs * _START_SECONDS
    epochs = max(int(available / an_epoch), 1)
    print(f"one epoch of all networks takes about {an_epoch / 60:.0f} minutes: training {epochs}", flush=True)
    if available < an_epoch:
        print(
            f"a budget of {args.budget:g} minutes is not enough for one epoch; training one anyway",
            flush=True,
        )
    return dataclasses.replace(plan, detector_epochs=epochs, keypoint_epochs=epochs)
