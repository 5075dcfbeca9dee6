"""Evaluate a model on a split of a prepared dataset, or any system's predictions against labels.

    cspn-tf evaluate --data DIR --split test --detector DIR --keypoints DIR --out DIR
    cspn-tf evaluate --data DIR --split test --model SAVED_MODEL_DIR --out DIR
    cspn-tf evaluate --data DIR --split test --tflite FILE --out DIR
    cspn-tf evaluate --truth COCO.json --predictions RESULTS.json --out DIR

A model is evaluated through the served contract, exactly as it is exported. If training directories are given together
with --model or --tflite, the exported model is evaluated on detected boxes, and the training directories on
ground-truth boxes.

--truth takes COCO keypoints, see `cspn_tf.data.coco`, and --predictions COCO's results format, see
`cspn_tf.data.coco_results`; no photos are needed. Both modes use the same code and rules: all keypoints of a missed
garment count as wrong in PCK and AUC; NE and EPE are computed over detected garments.

--quarter-turns turns all photos with their labels first: photos from above are often sideways.

Writes into --out, each file by atomic rename, `metrics.json` last:
    metrics.json        all numbers, see `cspn_tf.evaluation`; `ground_truth_boxes` has the metrics of the training
                        directories on ground-truth boxes instead of detected ones, or null
    report.md           the same, for reading
and with --data:
    predictions.jsonl   one line per photo, see `cspn_tf.result.Result.to_dict`
    pictures/           worst.jpg and random.jpg: predictions in colour over labels in white; reliability.png: share of
                        visible keypoints by score
"""

import io
from pathlib import Path

from cspn_tf.console import Parser, non_negative_int, positive_int, require_extra
from cspn_tf.data.samples import SPLITS
from cspn_tf.evaluation.inputs import Photos, predict_photos, read_coco_files
from cspn_tf.evaluation.measures import measure
from cspn_tf.evaluation.pictures import draw_reliability, draw_sheets
from cspn_tf.evaluation.report import PREDICTIONS, main_table, write_scores
from cspn_tf.files import check_writable, picture_bytes
from cspn_tf.models.checkpoints import SHIPPED

# On one sheet: a JPEG has at most 65,500 rows.
_MOST_PICTURES = 500
_OPTIONS_OF_PHOTOS = (
    *("data", "split", "detector", "keypoints", "model", "tflite"),
    *("batch_size", "limit", "quarter_turns", "num_pictures"),
)


def main(argv=None) -> int:
    """Evaluate a model or predictions, see --help."""
    args = _parse(argv)
    require_extra("training", with_tensorflow=not args.truth)
    check_writable(args.out)
    scores, files = _evaluate_files(args) if args.truth else _evaluate_photos(args)
    files = write_scores(args.out, scores, files)
    print(main_table(scores))
    print(f"\nwritten to {args.out}: {', '.join(files)}")
    return 0


# The call ------------------------------------------------------------------------------------------------------------


def _parse(argv):
    parser = Parser(
        description="Evaluate a model on a split of a prepared dataset, or predictions in COCO's results format."
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write into")
    parser.add_argument(
        "--seed", type=non_negative_int, default=0, help="seed for bootstrap resampling and random photos"
    )
    photos = parser.add_argument_group("a model on photos")
    photos.add_argument("--data", type=Path, metavar="DIR", help="folder written by prepare")
    photos.add_argument("--split", default="test", choices=SPLITS, help="split to evaluate")
    photos.add_argument("--detector", metavar="DIR", help="detector's training directory (default of both: shipped)")
    photos.add_argument("--keypoints", metavar="DIR", help="keypoint network's training directory")
    photos.add_argument("--model", type=Path, metavar="DIR", help="SavedModel: one version, or the folder of versions")
    photos.add_argument("--tflite", type=Path, metavar="FILE", help="TFLite file")
    photos.add_argument("--batch-size", type=positive_int, default=8, metavar="N", help="photos per batch")
    photos.add_argument("--limit", type=positive_int, metavar="N", help="evaluate only the first N photos")
    text = "turn all photos by N times 90 degrees counter-clockwise"
    photos.add_argument("--quarter-turns", type=int, default=0, choices=range(4), metavar="N", help=text)
    text = "photos on each contact sheet"
    photos.add_argument("--num-pictures", type=non_negative_int, default=12, metavar="N", help=text)
    results = parser.add_argument_group("any system's predictions, without photos")
    text = "labels: one or more files of COCO keypoints"
    results.add_argument("--truth", type=Path, nargs="+", metavar="FILE", help=text)
    results.add_argument("--predictions", type=Path, metavar="FILE", help="predictions in COCO's results format")
    args = parser.parse_args(argv)
    _check_options(parser, args)
    return args


def _check_options(parser, args):
    """Reject incompatible options, and fill in the shipped networks."""
    if (args.truth is None) != (args.predictions is None):
        parser.error("--truth and --predictions belong together")
    for name in _OPTIONS_OF_PHOTOS:
        if args.truth and getattr(args, name) != parser.get_default(name):
            parser.error(f"--{name.replace('_', '-')} applies to a model on photos, not to --truth")
    if args.truth:
        return
    if args.data is None:
        parser.error("give --data with a model, or --truth with --predictions")
    if (args.detector is None) != (args.keypoints is None):
        parser.error("--detector and --keypoints belong together")
    if args.model and args.tflite:
        parser.error("give --model or --tflite, not both")
    if not (args.detector or args.model or args.tflite):
        args.detector = args.keypoints = SHIPPED
    if args.num_pictures > _MOST_PICTURES:
        parser.error(f"--num-pictures must be at most {_MOST_PICTURES}: a JPEG has no room for more on one sheet")


# Evaluation ----------------------------------------------------------------------------------------------------------


def _evaluate_files(args):
    """Evaluate a predictions file; return the scores, and further files to write, name to content."""
    matched, notes = read_coco_files(args.truth, args.predictions)
    about = {"truth": [str(path) for path in args.truth], "predictions": str(args.predictions), **notes}
    return measure(about, matched, None, args.seed), {}


def _evaluate_photos(args):
    """Evaluate a model on photos; return the same as `_evaluate_files`."""
    photos = Photos(args.data, args.split, args.limit, args.quarter_turns)
    model, keypoints_in_boxes = _load(args)
    matched, in_labelled_boxes = predict_photos(photos, model, args.batch_size, keypoints_in_boxes)
    about = {"data": str(args.data), "split": args.split, "model": model.source, "quarter_turns": args.quarter_turns}
    scores = measure(about, matched, in_labelled_boxes, args.seed)
    files = {}
    for name, sheet in draw_sheets(photos, matched, args.num_pictures, args.seed).items():
        files[f"pictures/{name}"] = picture_bytes(sheet, "JPEG", quality=90)
    if args.num_pictures:
        content = io.BytesIO()
        draw_reliability({"keypoint scores": scores["visibility"]}, content)
        files["pictures/reliability.png"] = content.getvalue()
    files[PREDICTIONS] = "".join(result.to_json() + "\n" for result in matched.results).encode()
    return scores, files


def _load(args):
    """Return the model to evaluate, and the function that predicts keypoints in given boxes, or None."""
    from cspn_tf.inference.model import load

    trained = load(detector=args.detector, keypoints=args.keypoints) if args.detector else None
    # Exported models do not accept boxes; the networks they were exported from do.
    model = load(args.model or args.tflite) if args.model or args.tflite else trained
    return model, trained.keypoints_in_boxes if trained else None
