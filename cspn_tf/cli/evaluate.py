"""Measure a model on a split of a prepared dataset, or any system's predictions against labels.

    python -m training.evaluate --data DIR --split test --detector DIR --keypoints DIR --out DIR
    python -m training.evaluate --data DIR --split test --model SAVED_MODEL_DIR --out DIR
    python -m training.evaluate --data DIR --split test --tflite FILE --out DIR
    python -m training.evaluate --truth COCO.json --predictions RESULTS.json --out DIR

A model is measured through the same served contract that is exported. With training directories beside --model or
--tflite, the export finds the boxes and their keypoints, and the training directories answer for the labelled boxes.

--truth takes COCO keypoints, as `cspn_tf.data.coco` reads and writes them, and --predictions COCO's results format, see
`cspn_tf.data.coco_results`; no photos are needed. Both ways measure by the same code and the same rules: a garment that
was missed fails all its keypoints in PCK and AUC, and NE and EPE are of the garments that were found.

Writes into --out, each file by rename and `metrics.json` last:
    metrics.json        every number, see `cspn_tf.evaluation`; `ground_truth_boxes` holds what training directories
                        do when they are given the labelled boxes instead of the detected ones, else null
    report.md           the same, to read
and with --data:
    predictions.jsonl   a line a photo
    pictures/           worst.jpg and random.jpg: predictions in colour over labels in white; reliability.png: how
                        often keypoints of a score are visible
"""

import dataclasses
import io
import json
import os
import sys
from pathlib import Path

from cspn_tf.console import CallError, Parser, UserError, non_negative_int, positive_int, run
from cspn_tf.evaluation.bootstrap import Bootstrap
from cspn_tf.evaluation.inputs import Photos, predict_photos, read_coco_files
from cspn_tf.evaluation.measures import evaluate_keypoints, evaluate_predictions
from cspn_tf.evaluation.pictures import draw_reliability, draw_sheets
from cspn_tf.evaluation.report import main_table, make_report
from cspn_tf.files import replaced_file
from cspn_tf.garments import GARMENT_TYPE_NAMES, KEYPOINT_NAMES, KEYPOINT_SLOTS, GarmentType

SPLITS = ("train", "val", "test")

# What only --data takes, and what it is where it is not given.
_PHOTO_DEFAULTS = {
    "data": None,
    "split": "test",
    "detector": None,
    "keypoints": None,
    "model": None,
    "tflite": None,
    "batch_size": 8,
    "limit": None,
    "num_pictures": 12,
}


def main(argv=None) -> int:
    """Evaluate a model or predictions; see the module's docstring and --help."""
    args = _parse(argv)
    _check_out(args.out)
    scores, files = _evaluate_files(args) if args.truth else _evaluate_photos(args)
    files = write_scores(args.out, scores, files)
    print(main_table(scores))
    print(f"\nwritten to {args.out}: {', '.join(files)}")
    return 0


# The call ------------------------------------------------------------------------------------------------------------


def _parse(argv):
    parser = Parser(description="Measure a model on a split of a prepared dataset, or predictions in COCO's format.")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write into")
    parser.add_argument(
        "--seed", type=non_negative_int, default=0, help="of the resamples behind intervals, of random photos"
    )
    photos = parser.add_argument_group("a model on photos")
    photos.add_argument("--data", type=Path, metavar="DIR", help="folder that training.prepare wrote")
    photos.add_argument("--split", choices=SPLITS, help="which of its photos (default: test)")
    photos.add_argument("--detector", type=Path, metavar="DIR", help="detector's training directory")
    photos.add_argument("--keypoints", type=Path, metavar="DIR", help="keypoint network's training directory")
    photos.add_argument("--model", type=Path, metavar="DIR", help="SavedModel: a version, or the folder of versions")
    photos.add_argument("--tflite", type=Path, metavar="FILE", help="TFLite file")
    photos.add_argument("--batch-size", type=positive_int, metavar="N", help="photos at a time (default: 8)")
    photos.add_argument("--limit", type=positive_int, metavar="N", help="only the first N photos instead of all")
    text = "photos on each contact sheet (default: 12)"
    photos.add_argument("--num-pictures", type=non_negative_int, metavar="N", help=text)
    results = parser.add_argument_group("any system's predictions, without photos")
    text = "COCO keypoints: the labels, of one or more files"
    results.add_argument("--truth", type=Path, nargs="+", metavar="FILE", help=text)
    results.add_argument("--predictions", type=Path, metavar="FILE", help="COCO's results format: what was found")
    args = parser.parse_args(argv)
    _check_options(parser, args)
    return args


def _check_options(parser, args):
    """Refuse options that do not go together, and fill in those that were not given."""
    if (args.truth is None) != (args.predictions is None):
        parser.error("--truth and --predictions belong together")
    for name, default in _PHOTO_DEFAULTS.items():
        if args.truth and getattr(args, name) is not None:
            parser.error(f"--{name.replace('_', '-')} is for a model on photos, not for --truth")
        if getattr(args, name) is None:
            setattr(args, name, default)
    if args.truth:
        return
    if args.data is None:
        parser.error("give --data with a model, or --truth with --predictions")
    if (args.detector is None) != (args.keypoints is None):
        parser.error("--detector and --keypoints belong together")
    if args.model and args.tflite:
        parser.error("give --model or --tflite, not both")
    if not (args.detector or args.model or args.tflite):
        parser.error("give a model: --detector with --keypoints, --model, or --tflite")


def _check_out(out):
    """Find out before the work starts whether its results can be written."""
    parent = out.absolute()
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise CallError(f"--out {out}: {parent} is a file")
    if not os.access(parent, os.W_OK):
        raise CallError(f"--out {out}: {parent} is not writable")


# Measuring -----------------------------------------------------------------------------------------------------------


def _evaluate_files(args):
    """Measure predictions of a file; return the scores, and the files to write beside them, name to content."""
    truths, predictions, notes = read_coco_files(args.truth, args.predictions)
    about = {"truth": [str(path) for path in args.truth], "predictions": str(args.predictions), **notes}
    return measure(about, truths, predictions, None, args.seed), {}


def _evaluate_photos(args):
    """Measure a model on photos; return what `_evaluate_files` does."""
    photos = Photos(args.data, args.split, args.limit)
    predictor = _make_predictor(args)
    truths, predictions, keypoints_in_truth_boxes = predict_photos(photos, predictor, args.batch_size)
    about = {"data": str(args.data), "split": args.split, "model": predictor.source}
    scores = measure(about, truths, predictions, keypoints_in_truth_boxes, args.seed)
    files = {}
    for name, sheet in draw_sheets(photos, truths, predictions, args.num_pictures, args.seed).items():
        content = io.BytesIO()
        sheet.save(content, "JPEG", quality=90)
        files[f"pictures/{name}"] = content.getvalue()
    if args.num_pictures:
        content = io.BytesIO()
        draw_reliability({"keypoint scores": scores["visibility"]}, content)
        files["pictures/reliability.png"] = content.getvalue()
    lines = [prediction_line(truth.name, answer) for truth, answer in zip(truths, predictions, strict=True)]
    files["predictions.jsonl"] = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines).encode()
    return scores, files


def _make_predictor(args):
    from cspn_tf.inference import predictors

    trained = predictors.from_training(args.detector, args.keypoints) if args.detector else None
    if not (args.model or args.tflite):
        return trained
    exported = predictors.from_saved_model(args.model) if args.model else predictors.from_tflite(args.tflite)
    # An export cannot be given boxes; what it was exported from can.
    return dataclasses.replace(exported, keypoints_in_boxes=trained.keypoints_in_boxes) if trained else exported


def measure(about, truths, predictions, keypoints_in_truth_boxes, seed):
    """Return all numbers of an evaluation, after what they are about.

    Args:
        about: JSON-ready dict of what was measured.
        truths, predictions: as `cspn_tf.evaluation.measures.evaluate_predictions` takes them.
        keypoints_in_truth_boxes: as `cspn_tf.evaluation.measures.evaluate_keypoints` takes them, or None.
        seed: of the resamples behind the intervals.
    """
    bootstrap = Bootstrap(len(truths), seed=seed)
    scores = {**about, "intervals": bootstrap.about(), **evaluate_predictions(truths, predictions, bootstrap)}
    given = keypoints_in_truth_boxes is not None
    in_truth_boxes = evaluate_keypoints(truths, keypoints_in_truth_boxes, bootstrap) if given else None
    return {**scores, "ground_truth_boxes": in_truth_boxes}


# Files ---------------------------------------------------------------------------------------------------------------


def write_scores(out, scores, files=None) -> dict:
    """Write the report of an evaluation, and last its numbers.

    Args:
        out: folder to write into.
        scores: what `measure` returned.
        files: further files, name to content, which are written first.

    Returns:
        All that was written, name to content.

    Raises:
        UserError: if the folder cannot be written.
    """
    metrics = json.dumps(scores, indent=2, allow_nan=False) + "\n"
    files = {**(files or {}), "report.md": make_report(scores).encode(), "metrics.json": metrics.encode()}
    try:
        _write(out, files)
    except OSError as error:
        raise UserError(f"{error.filename or out}: {error.strerror or error}") from error
    return files


def _write(out, files):
    """Write files into a folder, in their order."""
    for name, content in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(path) as temporary:
            temporary.write_bytes(content)


def prediction_line(name, prediction) -> dict:
    """Return one photo's prediction as a JSON-ready dict: pixels to a hundredth, scores to four digits."""
    height, width = prediction.image_size
    return {
        "photo": name,
        "status": prediction.status,
        "image_size": {"height": height, "width": width},
        "garments": [_garment_line(prediction, row) for row in range(len(prediction.scores))],
    }


def _garment_line(prediction, row):
    garment_type = GarmentType(prediction.garment_types[row])
    points = zip(prediction.keypoints_xy[row].tolist(), prediction.keypoint_scores[row].tolist(), strict=True)
    points = [{"x": round(x, 2), "y": round(y, 2), "score": round(score, 4)} for (x, y), score in points]
    return {
        "type": GARMENT_TYPE_NAMES[garment_type],
        "class_id": int(garment_type),
        "score": round(float(prediction.scores[row]), 4),
        "box_xyxy": [round(side, 2) for side in prediction.boxes_xyxy[row].tolist()],
        "keypoints": {KEYPOINT_NAMES[slot]: points[slot] for slot in KEYPOINT_SLOTS[garment_type]},
    }


if __name__ == "__main__":
    sys.exit(run(main))
