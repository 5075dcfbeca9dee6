"""Learning curve of fine-tuning on a few labelled photos of a new source: `python -m training.learning_curve`.

    python -m training.learning_curve --photos DIR --labels NEW.json --test TEST.json --out DIR \\
        --start shipped imagenet --num-photos 20 50 100 200

For each number of photos, a random subset of that size is drawn from --labels (COCO keypoints). A fifth of it selects
the epoch, the rest trains both networks, once from each starting point: DIR, a trained pair in the subfolders
`detector/` and `keypoints/`; `shipped`, the pair in the package; or `imagenet`, pretrained backbones only. The
fine-tuned pairs, and the trained starting points, are evaluated on --test with detected boxes. Writes `curve.md`, a
table; `curve.png`; and a folder for each training. An interrupted run resumes where it stopped.
"""

import random
import sys
from pathlib import Path

import numpy as np

from cspn_tf.config import DETECTOR_TRAINING, KEYPOINT_TRAINING
from cspn_tf.console import CallError, Parser, UserError, positive_int, run, seed_number, termination_as_interrupt
from cspn_tf.data.coco_file import CocoFile, reference
from cspn_tf.evaluation.report import make_table as make_markdown_table
from cspn_tf.evaluation.report import with_interval
from cspn_tf.files import file_sha256, read_json, write_json, write_text
from cspn_tf.models.checkpoints import SHIPPED
from cspn_tf.plots import saved_plot
from cspn_tf.reproduction.jobs import CSPN_TF, Job, JobProgress, run_jobs
from cspn_tf.train.fitting import read_history
from training.numbers import TITLES

MEASURES = {name: TITLES[name] for name in ("detection_recall_50", "pck_02_found", "ne_longside")}
# With so few photos an epoch is a few steps: enough epochs for the validation curve of the largest subset to flatten.
_EPOCHS = {"detector": 30, "keypoints": 40}
# Learning rates, by whether the heads start from random weights: the rate for these would make trained heads forget.
_RATES = {"detector": {True: 1e-3, False: 3e-4}, "keypoints": {True: 2e-3, False: 7e-4}}
IMAGENET = "imagenet"


def main(argv=None):
    """Train, evaluate, and write the table and the plot."""
    parser = Parser(any_names=("start",), description="Fine-tune with few photos, and draw the learning curve.")
    parser.add_argument(
        "--photos", type=Path, required=True, metavar="DIR", help="folder that the file names are relative to"
    )
    parser.add_argument("--labels", type=Path, required=True, metavar="FILE", help="COCO keypoints of the new source")
    parser.add_argument("--test", type=Path, required=True, metavar="FILE", help="COCO keypoints to test on")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    parser.add_argument("--start", nargs="+", default=[SHIPPED, IMAGENET], metavar="DIR", help="weights to start from")
    parser.add_argument(
        "--num-photos",
        nargs="+",
        type=positive_int,
        default=[20, 50, 100, 200],
        metavar="N",
        help="sizes of the subsets",
    )
    parser.add_argument("--seed", type=seed_number, default=1, help="seed of the subsets and of the training")
    args = parser.parse_args(argv)
    for start in args.start:
        others = [other for other in args.start if other != start and Path(other).name == Path(start).name]
        if others:
            raise CallError(f"--start: {start} and {others[0]} have the same folder name: rename one")
    for path in (args.labels, args.test):
        CocoFile(path, {})  # which names what is wrong
    labels = read_json(args.labels)
    if max(args.num_photos) > len(labels["images"]):
        raise UserError(f"--num-photos: {args.labels} has {len(labels['images'])} photos")
    made_of = {"labels": file_sha256(args.labels), "test": file_sha256(args.test), "seed": args.seed}
    for start in args.start:
        # Curves of one name share folders, whatever directory they are of.
        is_name = start in (SHIPPED, IMAGENET)
        made_of[f"start {Path(start).name}"] = start if is_name else str(Path(start).resolve())
    if (record := args.out / "made-of.json").exists():
        earlier = read_json(record)
        if any(earlier.get(name, value) != value for name, value in made_of.items()):
            raise UserError(f"{args.out} has curves of other labels, weights or another seed: choose another --out")
        made_of = {**earlier, **made_of}
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(record, made_of)
    for num in args.num_photos:
        write_splits(labels, num, args.seed, args.out / f"{num}")
    (args.out / "test").mkdir(exist_ok=True)
    write_json(args.out / "test" / "labels.test.json", read_json(args.test))
    jobs = make_jobs(args)
    with termination_as_interrupt():
        run_jobs(jobs, 1, JobProgress(jobs))
    rows = read_rows(args)
    table = make_table(rows)
    write_text(args.out / "curve.md", table + "\n")
    draw_curve(rows, args.out / "curve.png")
    print(table)


def make_jobs(args):
    """Return the commands as jobs, each after those that it depends on."""
    jobs, presets = [], {"detector": DETECTOR_TRAINING, "keypoints": KEYPOINT_TRAINING}

    def add(command, name, *arguments, work, is_done=Path.exists):
        folder, log = args.out / name, args.out / "logs" / f"{name.replace('/', '-')}.log"
        jobs.append(Job(name, (CSPN_TF, command, *arguments, "--out", folder), log, lambda: is_done(folder), work))

    def prepare(folder, *files):
        add("prepare", f"{folder}/data", "--source", "coco", "--root", args.photos, "--annotations", *files, work=20)

    prepare("test", args.out / "test" / "labels.test.json")
    for num in args.num_photos:
        prepare(f"{num}", *(args.out / f"{num}" / f"labels.{split}.json" for split in ("train", "val")))
    for start, num, name in points(args):
        given = {network: start if start == SHIPPED else Path(start, network) for network in _EPOCHS}
        pair = {network: args.out / name / network for network in _EPOCHS} if num else given
        for network, epochs in _EPOCHS.items() if num else ():
            is_random = start == IMAGENET
            arguments = ["--data", args.out / f"{num}" / "data", "--resume", "--seed", args.seed, "--epochs", epochs]
            arguments += ["--learning-rate", _RATES[network][is_random]]
            # The preset's batches, or smaller ones, so that an epoch of a small subset has two.
            most = presets[network]["mobile"].batch_size
            arguments += ["--batch-size", min(most, max((num - num_validation(num)) // 2, 1))]
            arguments += [] if is_random else ["--init", given[network]]
            add(
                f"train-{network}",
                f"{name}/{network}",
                *arguments,
                work=epochs * (num + 20),
                is_done=lambda folder, epochs=epochs: len(read_history(folder)) >= epochs,
            )
        networks = [part for network in pair for part in (f"--{network}", pair[network])]
        arguments = ["--data", args.out / "test" / "data", *networks]
        add("evaluate", f"{name}/report", *arguments, work=200, is_done=lambda out: (out / "metrics.json").exists())
    return jobs


def points(args) -> list:
    """Return start, number of photos and folder name of each point of the curves; 0 photos means no fine-tuning."""
    return [
        (start, num, f"{num}/{Path(start).name}" if num else f"0-{Path(start).name}")
        for num in (0, *args.num_photos)
        for start in args.start
        if num or start != IMAGENET
    ]


def read_rows(args) -> list:
    """Return a dict for each point of the curves: start, num_photos that it was trained on, and `MEASURES`."""
    metrics = [read_json(args.out / name / "report" / "metrics.json") for _, _, name in points(args)]
    return [
        {"start": Path(start).name, "num_photos": num, **{name: found[name] for name in MEASURES}}
        for (start, num, _), found in zip(points(args), metrics, strict=True)
    ]


def num_validation(num) -> int:
    """Return how many of a subset's photos select the epoch."""
    return max(num // 5, 1)


def write_splits(labels, num, seed, folder) -> None:
    """Write a random subset of a COCO document: a fifth as `labels.val.json`, the rest as `labels.train.json`."""
    images = random.Random(seed).sample(labels["images"], len(labels["images"]))[:num]
    num_val = num_validation(num)
    folder.mkdir(parents=True, exist_ok=True)
    for split, chosen in (("val", images[:num_val]), ("train", images[num_val:])):
        ids = {reference(image, "id") for image in chosen} - {None}
        annotations = [annotation for annotation in labels["annotations"] if reference(annotation, "image_id") in ids]
        write_json(folder / f"labels.{split}.json", {**labels, "images": chosen, "annotations": annotations})


def make_table(rows) -> str:
    """Return the scores of each start and number of photos as a Markdown table, 95 % intervals in brackets."""
    cells = [
        [row["start"], str(row["num_photos"]), *(with_interval(row[name], 3) for name in MEASURES)] for row in rows
    ]
    return make_markdown_table(["start", "photos", *MEASURES.values()], cells)


def draw_curve(rows, path) -> None:
    """Plot each measure against the number of photos, one line per start, with 95 % intervals."""
    with saved_plot(path, 1, len(MEASURES), size=(12, 3.4)) as axes:
        for axis, (name, title) in zip(axes, MEASURES.items(), strict=True):
            for start in dict.fromkeys(row["start"] for row in rows):
                scored = [row for row in rows if row["start"] == start and row[name]["value"] is not None]
                numbers = [row["num_photos"] for row in scored]
                values = [row[name]["value"] for row in scored]
                margins = np.abs(np.array([row[name]["interval"] for row in scored]).reshape(-1, 2).T - values)
                axis.errorbar(numbers, values, yerr=margins, marker="o", capsize=3, label=f"from {start}")
            axis.set(title=title, xlabel="labelled photos of the new source")
            axis.grid(alpha=0.3)
            axis.legend(fontsize=8)


if __name__ == "__main__":
    sys.exit(run(main))
