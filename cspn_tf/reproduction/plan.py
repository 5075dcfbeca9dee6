"""What a call of the reproduction asks for, and what of it is settled: experiments, seeds and epochs."""

import dataclasses
import json
from pathlib import Path

from cspn_tf import config as configs
from cspn_tf.config import KEYPOINT_TRAINING
from cspn_tf.console import CallError, UserError
from cspn_tf.models.checkpoints import write_json
from cspn_tf.reproduction.experiments import BEYOND, CSPN, OWN_FIELDS, SCALES, paper_experiments

_PLAN = "plan.json"
# Work of training the detector, in that of keypoints: a photo of the one for a garment of the other.
DETECTOR_WORK = 5.0
# Part of a budget that training may take; the rest is for validation and evaluation.
_TRAINING_SHARE = 0.7
# What one run takes before its first step.
_START_SECONDS = 20.0


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
    an_epoch += an_epoch / num_runs * DETECTOR_WORK
    available = _TRAINING_SHARE * 60 * args.budget - num_runs * _START_SECONDS
    epochs = max(int(available / an_epoch), 1)
    print(f"an epoch of everything takes about {an_epoch / 60:.0f} minutes: {epochs} of them", flush=True)
    if available < an_epoch:
        print(
            f"a budget of {args.budget:g} minutes is not enough for one epoch, which is trained all the same",
            flush=True,
        )
    return dataclasses.replace(plan, detector_epochs=epochs, keypoint_epochs=epochs)
