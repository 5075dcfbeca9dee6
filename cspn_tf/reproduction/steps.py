"""The steps of a reproduction, from its plan to its report; results that already exist are not computed again.

The docstring of `cspn_tf.cli.reproduce` lists the contents of the directory `out`.
"""

import functools
import itertools
import shutil
from pathlib import Path

from cspn_tf.evaluation.pictures import draw_reliability
from cspn_tf.files import is_newer, read_json, replaced_file, write_json, write_text
from cspn_tf.machine import describe_machine
from cspn_tf.models import checkpoints
from cspn_tf.reproduction import report, results
from cspn_tf.reproduction.experiments import CSPN, SCALES
from cspn_tf.reproduction.jobs import CSPN_TF, Job
from cspn_tf.reproduction.plan import DETECTOR_WORK
from cspn_tf.train.fitting import read_history

_COSTS, _REPORT = "costs.json", "report.json"
# Work of evaluating one photo, and of starting a process, in units of one garment trained.
_EVALUATION_WORK, _START_WORK = 2.0, 1000.0


def run_name(name, seed) -> str:
    """Return the name of the directories of one training of an experiment."""
    return f"{name}-seed{seed}"


def detector_directory(plan, out) -> Path:
    """Return the training directory of the detector of all experiments."""
    return checkpoints.located(plan.detector, checkpoints.DETECTOR) if plan.detector else out / "detector"


def check_detector(plan) -> None:
    """Check that the plan's detector, if it has one, is trained and fits its experiments; raises `UserError`."""
    if plan.detector:
        config, _ = checkpoints.load_detector(plan.detector)
        for experiment in plan.experiments:
            checkpoints.joint_config(config, plan.config(experiment))


def make_jobs(plan, data, out) -> tuple[list[Job], list[Job]]:
    """Return the commands that train and those that evaluate, by seed: an interrupted run has complete seeds."""
    from cspn_tf.data import pipeline

    num_photos, num_test = (pipeline.num_examples(data, split) for split in ("train", "test"))
    common = ("--data", data, "--preset", plan.preset, "--resume")

    def trained(network, directory, epochs, *arguments, title, work):
        return Job(
            title=f"trained {title}",
            command=(CSPN_TF, f"train-{network}", *common, *arguments, "--epochs", epochs, "--out", directory),
            log=out / "logs" / f"train-{directory.name}.log",
            is_done=lambda: len(read_history(directory)) >= epochs,
            work=work * epochs * num_photos + _START_WORK,
        )

    def evaluated(directory, title):
        found = out / "evaluations" / directory.name
        networks = ("--detector", detector, "--keypoints", directory)
        weights = [detector / checkpoints.WEIGHTS, directory / checkpoints.WEIGHTS]
        return Job(
            title=f"evaluated {title}",
            command=(CSPN_TF, "evaluate", "--data", data, *networks, "--num-pictures", 0, "--out", found),
            log=out / "logs" / f"evaluate-{directory.name}.log",
            is_done=lambda: is_newer(found / "metrics.json", weights),
            work=_EVALUATION_WORK * num_test + _START_WORK,
        )

    overrides = _set_flags((*SCALES[plan.scale].overrides, *plan.overrides))
    detector = detector_directory(plan, out)
    trainings, evaluations = [], []
    if not plan.detector:
        trainings.append(
            trained("detector", detector, plan.detector_epochs, *overrides, title="the detector", work=DETECTOR_WORK)
        )
    for seed, experiment in itertools.product(plan.seeds, plan.experiments):
        directory = out / "runs" / run_name(experiment.name, seed)
        title = f"{experiment.title}, seed {seed}"
        if not experiment.derived:
            arguments = (*_set_flags(plan.overrides_of(experiment)), *experiment.flags, "--seed", seed)
            trainings.append(trained("keypoints", directory, plan.keypoint_epochs, *arguments, title=title, work=1.0))
        evaluations.append(evaluated(directory, title))
    return trainings, evaluations


def _set_flags(overrides):
    return [part for override in overrides for part in ("--set", override)]


def derive(plan, out) -> None:
    """Write the checkpoints of the derived experiments: the trained CSPN's weights with another config."""
    derived = [experiment for experiment in plan.experiments if experiment.derived]
    for experiment, seed in itertools.product(derived, plan.seeds):
        source, target = (out / "runs" / run_name(name, seed) for name in (CSPN, experiment.name))
        _, details = checkpoints.read_description(source, checkpoints.KEYPOINTS)
        if is_newer(target / checkpoints.WEIGHTS, [source / checkpoints.WEIGHTS]):
            continue
        target.mkdir(parents=True, exist_ok=True)
        checkpoints.write_description(target, checkpoints.KEYPOINTS, plan.config(experiment), details)
        with replaced_file(target / checkpoints.WEIGHTS) as temporary:
            shutil.copyfile(source / checkpoints.WEIGHTS, temporary)


def measure_costs(plan, data, out) -> dict:
    """Return the costs of the first seed's networks, measured unless `out` already has them; see `costs.measure`."""
    from cspn_tf.reproduction import costs

    path = out / _COSTS
    directories = {e.name: out / "runs" / run_name(e.name, plan.seeds[0]) for e in plan.experiments}
    if is_newer(path, [directory / checkpoints.WEIGHTS for directory in directories.values()]):
        found = read_json(path)
        if set(directories) <= set(found["networks"]):
            return found
    print("measuring parameters, operations and latency", flush=True)
    found = costs.measure(directories, detector_directory(plan, out), data)
    write_json(path, found)
    return found


def write_report(plan, data, out, costs) -> None:
    """Write `report.json`, `report.md` and the figures, and print the claims' answers and the files' names."""
    from cspn_tf.data.tfrecords import read_manifest

    evaluations = {
        experiment.name: [
            read_json(out / "evaluations" / run_name(experiment.name, seed) / "metrics.json") for seed in plan.seeds
        ]
        for experiment in plan.experiments
    }
    found = results.summarise(plan, evaluations, costs, read_manifest(data))
    found["machine"] = describe_machine()
    write_text(out / "report.md", report.make_report(found))
    write_json(out / _REPORT, found)
    written = ["report.md", _REPORT]
    reliability = {
        e.title: evaluations[e.name][0]["visibility"] for e in plan.experiments if e.name in (CSPN, "visibility")
    }
    for name, wanted, draw in (
        ("figure_6.png", len(found["stages"]) > 1, functools.partial(report.draw_stages, found["stages"])),
        ("reliability.png", len(reliability) > 1, functools.partial(draw_reliability, reliability)),
    ):
        (out / name).unlink(missing_ok=True)
        if wanted:
            draw(out / name)
            written.append(name)
    for claim in found["claims"]:
        print(f"{claim['claim']}: {claim['answer']}")
    print(f"written to {out}: {', '.join(written)}")
