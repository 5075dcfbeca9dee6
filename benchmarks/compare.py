"""Compare our models with alternatives, end to end: from JPEG bytes in memory to keypoints in photo pixels.

Every runner is a separate process. Runners take turns on the same machine, and all others are suspended meanwhile. The
peers (YOLO11n-pose, YOLO26n-pose, Keypoint R-CNN, a detector with HRNet or SimpleBaseline) run in their own
environment, see benchmarks/peers/requirements.txt; `make bench` creates it. They have random weights, so only their
latency is measured.
"""

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.comparison import runners as known
from benchmarks.comparison.turns import take_turns
from benchmarks.workers.process import WorkerProcess
from cspn_tf.console import CallError, Parser, UserError, positive_float, positive_int, run, termination_as_interrupt
from cspn_tf.contract import DEFAULT_MODEL_NAME
from cspn_tf.files import write_json, write_text
from cspn_tf.inference.versions import latest_version
from cspn_tf.machine import describe_machine, num_cores

PEERS_PYTHON = ".venv-peers/bin/python"
# Load average from which the machine counts as busy. It lags: on a machine that has just become idle it still falls.
_BUSY_LOAD = 1.0
# Number of photo sizes that the report lists.
_NUM_SIZES = 4


def main(argv=None):
    """Measure, and write the report."""
    args = _parse(argv)
    ours = _our_models(args)
    accuracies = {name: _read_accuracy(path) for name, path in _named(args.accuracy, "--accuracy").items()}
    with tempfile.TemporaryDirectory() as work_dir, termination_as_interrupt():
        load = os.getloadavg()[0]  # before this command adds to it
        photos, described = _photo_files(args.photos, Path(work_dir))
        runners, notes = _choose_runners(args, ours, work_dir)
        notes += _note_of_load(load)
        facts, turns = _measure(args, runners, photos, work_dir)
    _warn_of_empty_photos(runners, turns, notes)
    _write(args, runners, turns, facts, accuracies, {"load": load, "photos": described, "notes": notes})


def _parse(argv):
    parser = Parser(any_names=("photos",), description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n")[1])
    parser.add_argument("--model", metavar="DIR", help="model directory with numbered version subdirectories")
    parser.add_argument("--tflite", metavar="FILE", help="the same model as a TFLite file (default: none)")
    parser.add_argument(
        "--ours",
        action="append",
        default=[],
        metavar="NAME=PATH[,PATH]",
        help="another model of ours, with a name: its directory, its .tflite file or both; repeatable",
    )
    parser.add_argument("--photos", nargs="*", default=[], metavar="FILE", help="photos (default: a synthesised one)")
    parser.add_argument("--peers-python", default=PEERS_PYTHON, metavar="FILE", help="Python interpreter for the peers")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="TEXT", help="only runners whose name contains one of these"
    )
    parser.add_argument("--rounds", type=positive_int, default=4, help="turns of each runner")
    parser.add_argument("--repeats", type=positive_int, default=15, help="timed single-photo calls per turn")
    parser.add_argument(
        "--seconds", type=positive_float, default=4.0, help="time limit per turn, for single photos and for batches"
    )
    parser.add_argument("--threads", type=positive_int, default=num_cores(), help="threads of each runner")
    parser.add_argument(
        "--intra-threads",
        type=positive_int,
        nargs="+",
        metavar="N",
        help="intra-op threads of our SavedModel, one runner for each number (default: 1, and --threads)",
    )
    parser.add_argument("--garments", type=positive_int, default=1, help="garments per photo for two-stage peers")
    for name, meaning in (("detector", "train_detector"), ("keypoints", "train_keypoints")):
        parser.add_argument(
            f"--{name}",
            action="append",
            default=[],
            metavar="[NAME=]DIR",
            help=f"training directory of training.{meaning} of one of our models, to count parameters and FLOP",
        )
    parser.add_argument(
        "--accuracy",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="metrics.json of training.evaluate for a model, ours or a peer, by its name; repeatable",
    )
    parser.add_argument("--out", default="out/compare", metavar="DIR", help="output folder of the report")
    return parser.parse_args(argv)


# What is compared ----------------------------------------------------------------------------------------------------


def _our_models(args) -> dict:
    """Return, by name, the directory of the latest version and the TFLite file; either is None if not given."""
    given = {DEFAULT_MODEL_NAME: (args.model, args.tflite)} if args.model else {}
    for name, value in _named(args.ours, "--ours").items():
        paths = value.split(",")
        tflites = [path for path in paths if path.endswith(".tflite")]
        directories = [path for path in paths if path not in tflites]
        if max(len(tflites), len(directories)) > 1:
            raise CallError(f"--ours {name} must have one directory, one .tflite file or both, received {paths}")
        given[name] = (directories or [None])[0], (tflites or [None])[0]
    if args.tflite and not args.model:
        raise CallError("--tflite needs --model")
    if not given:
        raise CallError("give a model of ours: --model or --ours")
    models = {}
    for name, (model, tflite) in given.items():
        if tflite and not Path(tflite).is_file():
            raise UserError(f"{name}: {tflite} is not a file")
        models[name] = latest_version(model)[1] if model else None, tflite
    return models


def _named(values, option) -> dict:
    """Parse the values of a repeatable NAME=VALUE option."""
    pairs = [value.partition("=")[::2] for value in values]
    for value, (name, path) in zip(values, pairs, strict=True):
        if not name or not path:
            raise CallError(f"{option} must be NAME=VALUE, received {value!r}")
    return dict(pairs)


def _choose_runners(args, ours, work_dir):
    """Return the runners and notes for the report."""
    intra_threads = sorted(set(args.intra_threads or [1, args.threads]))
    runners = []
    for name, (version_dir, tflite) in ours.items():
        runners += known.our_runners(name, version_dir, tflite, args.threads, intra_threads)
    notes = []
    if Path(args.peers_python).is_file():
        runners += known.peer_runners(work_dir, args.threads, args.garments)
    elif args.peers_python != PEERS_PYTHON:
        raise UserError(f"there is no interpreter {args.peers_python}")
    else:
        notes = [f"There is no {PEERS_PYTHON}: only our own runners were measured."]
        print(notes[0], file=sys.stderr)
    chosen = [r for r in runners if not args.only or any(text.lower() in r.name.lower() for text in args.only)]
    if not chosen:
        names = "; ".join(runner.name for runner in runners)
        raise CallError(f"--only {' '.join(args.only)} leaves no runner of {names}")
    return chosen, notes


# Photos --------------------------------------------------------------------------------------------------------------


def _photo_files(paths, work_dir) -> tuple:
    """Write the photos, or a synthesised one, to the work directory; return their paths and a description."""
    from benchmarks.photos import photo_sizes, read_photos

    photos = read_photos(paths)
    files = [work_dir / f"photo-{number}" for number in range(len(photos))]
    for file, photo in zip(files, photos, strict=True):
        file.write_bytes(photo)
    sizes = photo_sizes(photos)
    shown = ", ".join(f"{width}x{height}" for width, height in sizes[:_NUM_SIZES])
    more = f", {len(sizes) - _NUM_SIZES} more" if len(sizes) > _NUM_SIZES else ""
    return [str(path) for path in files], f"{len(files)}{'' if paths else ', synthesised'}, {shown}{more}"


def _note_of_load(load) -> list[str]:
    """Return a warning if the machine is busy: other work slows runners by different factors."""
    if load < _BUSY_LOAD:
        return []
    note = f"**The machine was busy with other work (load average {load:.2f}): measure again when it is idle.**"
    _say(note.strip("*"))
    return [note]


# Measuring -----------------------------------------------------------------------------------------------------------


def _measure(args, runners, photos, work_dir):
    """Measure all runners; return the facts that each reports and its `Turns`, both by name."""
    export = known.export_runner(runners, work_dir, args.threads)
    if export:
        _load_alone(export, args.peers_python, photos)
    costs = _count_costs(args, runners, photos)
    facts = {}
    with contextlib.ExitStack() as stack:
        workers = {}
        for runner in runners:
            _say(f"loading {runner.name}")
            worker = stack.enter_context(WorkerProcess(runner.name, **known.command_of(runner, args.peers_python)))
            found = worker.ask("load", photos=photos, **runner.options)["facts"]
            worker.pause()
            workers[runner.name] = worker
            facts[runner.name] = {**found, **(costs.get(runner.model, {}) if runner.is_ours else {})}
        rounds = {"rounds": args.rounds, "repeats": args.repeats, "seconds": args.seconds}
        return facts, take_turns(workers, **rounds, say=_say)


def _load_alone(runner, peers_python, photos) -> dict:
    """Run a script that does all its work in `load`, and return its facts."""
    _say(runner.name)
    with WorkerProcess(runner.name, **known.command_of(runner, peers_python)) as worker:
        return worker.ask("load", photos=photos, **runner.options)["facts"]


def _count_costs(args, runners, photos):
    """Return parameters and FLOP of our models whose training directories are given, by name."""
    detectors, keypoints = (
        _named([v if "=" in v else f"{DEFAULT_MODEL_NAME}={v}" for v in values], option)
        for values, option in ((args.detector, "--detector"), (args.keypoints, "--keypoints"))
    )
    if detectors.keys() != keypoints.keys():
        raise CallError("--detector and --keypoints go together, for the same names")
    unknown = detectors.keys() - {runner.model for runner in runners if runner.is_ours}
    if unknown:
        raise CallError(f"--detector: there is no model of ours called {', '.join(sorted(unknown))}")
    return {
        name: _load_alone(known.costs_runner(name, detectors[name], keypoints[name], args.threads), "", photos)
        for name in detectors
    }


def _say(text):
    print(text, file=sys.stderr, flush=True)


# Results -------------------------------------------------------------------------------------------------------------


def _warn_of_empty_photos(runners, turns, notes):
    for runner in runners:
        if runner.is_ours and not all(turns[runner.name].garments):
            found = turns[runner.name].garments
            missed = sum(not num for num in found) / len(found)
            notes.append(
                f"**{runner.name} found no garment in {missed:.0%} of the photos it was timed on. Without garments the "
                "keypoint stage has nothing to do: its times are too short for photos of clothes.**"
            )


def _read_accuracy(path) -> float:
    """Return `ne_bbox` from a metrics.json of training.evaluate."""
    try:
        return float(json.loads(Path(path).read_text())["ne_bbox"]["value"])
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a metrics.json of training.evaluate: it has no ne_bbox") from error


def _write(args, runners, turns, facts, accuracies, setting):
    from benchmarks.comparison import report

    figures = report.figures_of(runners, turns, facts, accuracies)
    setting = {
        "machine": describe_machine(),
        **{name: getattr(args, name) for name in ("threads", "rounds", "repeats", "seconds", "garments")},
        **setting,
    }
    text = report.to_markdown(figures, setting)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "figures.json", {**setting, "runners": figures})
    write_text(out / "report.md", text)
    report.draw(figures, out / "latency.png")
    print(text)
    print(f"written to {out}: figures.json, report.md, latency.png")


if __name__ == "__main__":
    sys.exit(run(main))
