"""Measure a model on a split of a prepared dataset, through the same served contract that is exported.

    python -m training.evaluate --data DIR --split test --detector DIR --keypoints DIR --out DIR
    python -m training.evaluate --data DIR --split test --model SAVED_MODEL_DIR --out DIR
    python -m training.evaluate --data DIR --split test --tflite FILE --out DIR

With training directories beside --model or --tflite, the export finds the boxes and their keypoints, and the training
directories answer for the labelled boxes.

Writes into --out, each file by rename and `metrics.json` last:
    metrics.json        every number, see `cspn_tf.evaluation`; `ground_truth_boxes` holds what training directories
                        do when they are given the labelled boxes instead of the detected ones, else null
    report.md           the same, to read
    predictions.jsonl   a line a photo
    pictures/           worst.jpg and random.jpg: predictions in colour over labels in white
"""

import argparse
import dataclasses
import io
import json
import os
import random
import sys
from pathlib import Path

from cspn_tf.console import CallError, Parser, UserError, positive_int, run
from cspn_tf.files import replaced_file
from cspn_tf.garments import GARMENT_TYPE_NAMES, KEYPOINT_ABBREVIATIONS, KEYPOINT_NAMES, KEYPOINT_SLOTS, GarmentType

SPLITS = ("train", "val", "test")
SHEET_COLUMNS = 4
SHEET_TILE_SIZE = 400

# Measures in the order of the tables: name in metrics.json, name for people, which way is better.
MEASURES = (
    ("pck_02", "PCK@0.2", "higher"),
    ("auc", "AUC", "higher"),
    ("ne_bbox", "NE, box sides", "lower"),
    ("ne_garment", "NE, garment (eq. 3)", "lower"),
    ("ne_longside", "NE, long side", "lower"),
    ("epe", "EPE, pixels", "lower"),
)
BOX_MODES = (("detected_boxes", "Detected boxes"), ("ground_truth_boxes", "Labelled boxes"))


def main(argv=None) -> int:
    """Evaluate a model; see the module's docstring and --help."""
    args = _parse(argv)
    _check_out(args.out)
    photos = Photos(args.data, args.split, args.limit)
    predictor = _make_predictor(args)
    truths, predictions, keypoints_in_truth_boxes = predict_photos(photos, predictor, args.batch_size)
    scores = _evaluate(truths, predictions, keypoints_in_truth_boxes)
    scores = {"data": str(args.data), "split": args.split, "model": predictor.source, **scores}
    sheets = draw_sheets(photos, truths, predictions, args.num_pictures, args.seed)
    try:
        _write_outputs(args.out, scores, predictions, [truth.name for truth in truths], sheets)
    except OSError as error:
        raise UserError(f"{error.filename or args.out}: {error.strerror or error}") from error
    print(main_table(scores))
    print(f"written to {args.out}: metrics.json, report.md, predictions.jsonl" + (", pictures/" if sheets else ""))
    return 0


def _parse(argv):
    parser = Parser(description="Measure a model on a split of a prepared dataset.")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder that training.prepare wrote")
    parser.add_argument("--split", default="test", choices=SPLITS, help="which of its photos")
    parser.add_argument("--detector", type=Path, metavar="DIR", help="detector's training directory")
    parser.add_argument("--keypoints", type=Path, metavar="DIR", help="keypoint network's training directory")
    parser.add_argument("--model", type=Path, metavar="DIR", help="SavedModel: a version, or the folder of versions")
    parser.add_argument("--tflite", type=Path, metavar="FILE", help="TFLite file")
    parser.add_argument("--batch-size", type=positive_int, default=8, help="photos at a time")
    parser.add_argument("--limit", type=positive_int, metavar="N", help="only the first N photos instead of all")
    parser.add_argument("--num-pictures", type=_count, default=12, metavar="N", help="photos on each contact sheet")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of random photos")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write into")
    args = parser.parse_args(argv)
    if (args.detector is None) != (args.keypoints is None):
        parser.error("--detector and --keypoints belong together")
    if args.model and args.tflite:
        parser.error("give --model or --tflite, not both")
    if not (args.detector or args.model or args.tflite):
        parser.error("give a model: --detector with --keypoints, --model, or --tflite")
    return args


def _count(text) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must not be negative, received {value}")
    return value


def _check_out(out):
    """Find out before the work starts whether its results can be written."""
    parent = out.absolute()
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise CallError(f"--out {out}: {parent} is a file")
    if not os.access(parent, os.W_OK):
        raise CallError(f"--out {out}: {parent} is not writable")


def _make_predictor(args):
    from cspn_tf.inference import predictors

    trained = predictors.from_training(args.detector, args.keypoints) if args.detector else None
    if not (args.model or args.tflite):
        return trained
    exported = predictors.from_saved_model(args.model) if args.model else predictors.from_tflite(args.tflite)
    # An export cannot be given boxes; what it was exported from can.
    return dataclasses.replace(exported, keypoints_in_boxes=trained.keypoints_in_boxes) if trained else exported


def _evaluate(truths, predictions, keypoints_in_truth_boxes):
    from cspn_tf.evaluation import evaluate_keypoints, evaluate_predictions

    scores = evaluate_predictions(truths, predictions)
    given = keypoints_in_truth_boxes is not None
    return {**scores, "ground_truth_boxes": evaluate_keypoints(truths, keypoints_in_truth_boxes) if given else None}


# Photos in, predictions out ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class LabelledPhoto:
    """One photo of a prepared dataset: its file as it is, and its `PhotoTruth`."""

    photo_bytes: bytes
    truth: object


class Photos:
    """The first `limit` labelled photos of a split, read again each time they are iterated over."""

    def __init__(self, data_dir, split, limit=None):
        """Look the dataset up.

        Raises:
            UserError: if it is not a prepared dataset or has no such photos.
        """
        from cspn_tf.data import tfrecords

        tfrecords.verify(data_dir, [split])
        self._paths = [str(path) for path in tfrecords.shard_paths(data_dir, split)]
        self._split, self._limit = split, limit
        num_photos = tfrecords.read_manifest(data_dir)["splits"][split]["num_photos"]
        self.num_photos = min(num_photos, limit or num_photos)

    def __len__(self):
        return self.num_photos

    def __iter__(self):
        import tensorflow as tf

        from cspn_tf.data import tfrecords
        from cspn_tf.evaluation import PhotoTruth

        records = tf.data.TFRecordDataset(self._paths).take(self.num_photos)
        try:
            for example in records.map(tfrecords.parse_example).prefetch(8).as_numpy_iterator():
                truth = PhotoTruth(
                    name=example["photo_name"].decode("utf-8", "replace"),
                    garment_types=example["garment_types"],
                    variations=example["variations"],
                    boxes_xyxy=example["boxes_xyxy_photo"],
                    keypoints_xy=example["keypoints_xy_photo"],
                    visibility=example["visibility"],
                )
                yield LabelledPhoto(example["photo_bytes"], truth)
        except tf.errors.OpError as error:
            raise UserError(f"{self._paths[0]} and its fellows cannot be read: {error.message}") from error


def predict_photos(photos, predictor, batch_size, progress=None):
    """Ask for the predictions of all photos.

    Args:
        photos: iterable of `LabelledPhoto` that knows its length.
        predictor: a `cspn_tf.inference.predictors.Predictor`.
        batch_size: photos at a time.
        progress: function of photos done and photos in all; None to print.

    Returns:
        truths: list of `PhotoTruth`.
        predictions: list of `PhotoPrediction`.
        keypoints_in_truth_boxes: list of float `(G, 8, 2)`, None for a photo that could not be read; or None if the
            predictor has no way to be given boxes.

    Raises:
        UserError: if the predictor answers with something that is not a number.
    """
    from training.progress import Progress

    truths, predictions = [], []
    in_truth_boxes = [] if predictor.keypoints_in_boxes else None
    with Progress("evaluated") as printed:
        progress = progress or printed
        for batch in _batches(photos, batch_size):
            answers = _predict_batch(predictor, batch)
            truths += [photo.truth for photo in batch]
            predictions += answers
            if in_truth_boxes is not None:
                in_truth_boxes += [
                    _keypoints_in_truth_boxes(predictor, p, a) for p, a in zip(batch, answers, strict=True)
                ]
            progress(len(truths), len(photos))
    return truths, predictions, in_truth_boxes


def _batches(items, size):
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _predict_batch(predictor, batch):
    import numpy as np

    from cspn_tf.evaluation import PhotoPrediction

    outputs = predictor.predict([photo.photo_bytes for photo in batch])
    answers = [PhotoPrediction.from_served(outputs, index) for index in range(len(batch))]
    for photo, answer in zip(batch, answers, strict=True):
        if not all(
            np.isfinite(getattr(answer, name)).all()
            for name in ("scores", "boxes_xyxy", "keypoints_xy", "keypoint_scores")
        ):
            raise UserError(f"{predictor.source}: the answer for {photo.truth.name} is not finite")
    return answers


def _keypoints_in_truth_boxes(predictor, photo, answer):
    import numpy as np

    if answer.status != 0:
        return None
    if not len(photo.truth.garment_types):
        return np.zeros_like(photo.truth.keypoints_xy)
    keypoints_xy, _ = predictor.keypoints_in_boxes(photo.photo_bytes, photo.truth.boxes_xyxy, photo.truth.garment_types)
    return keypoints_xy


# Pictures ------------------------------------------------------------------------------------------------------------


def draw_sheets(photos, truths, predictions, num_pictures, seed) -> dict:
    """Draw contact sheets of the photos with the lowest AUC and of random ones.

    Args:
        photos: iterable of `LabelledPhoto`, in the order of `truths`.
        truths: list of `PhotoTruth`.
        predictions: list of `PhotoPrediction`.
        num_pictures: photos on a sheet; 0 for no sheets.
        seed: of the random choice.

    Returns:
        File name to picture; no entry for a sheet without photos.
    """
    from cspn_tf import drawing

    chosen = {
        "worst.jpg": worst_photos(truths, predictions, num_pictures),
        "random.jpg": sorted(random.Random(seed).sample(range(len(truths)), min(num_pictures, len(truths)))),
    }
    wanted = {index for indices in chosen.values() for index in indices}
    tiles = {
        index: _draw_tile(photo.photo_bytes, truths[index], predictions[index])
        for index, photo in enumerate(photos)
        if index in wanted
    }
    return {
        name: drawing.contact_sheet(
            [tiles[index][0] for index in indices],
            SHEET_COLUMNS,
            SHEET_TILE_SIZE,
            [tiles[index][1] for index in indices],
        )
        for name, indices in chosen.items()
        if indices
    }


def worst_photos(truths, predictions, num_photos) -> list[int]:
    """Return the photos whose labelled keypoints have the lowest AUC, worst first; photos with none are left out."""
    from cspn_tf import metrics
    from cspn_tf.evaluation import matched_garments

    values = [metrics.auc(matched_garments(*pair)).value for pair in zip(truths, predictions, strict=True)]
    rated = [index for index, value in enumerate(values) if value is not None]
    return sorted(rated, key=lambda index: values[index])[:num_photos]


def _draw_tile(photo_bytes, truth, prediction):
    """Return the picture of one photo and its caption, which counts the keypoints that are right."""
    from PIL import Image

    from cspn_tf import decoding, drawing, metrics
    from cspn_tf.config import Config
    from cspn_tf.data.samples import Garment
    from cspn_tf.evaluation import match_photo, matched_garments

    photo, _, status = decoding.decode_photo(photo_bytes, Config.max_pixels)
    if int(status) != 0:
        return Image.new("RGB", (SHEET_TILE_SIZE, SHEET_TILE_SIZE)), f"unreadable  {truth.name}"
    image = Image.fromarray(photo.numpy())
    labels = zip(truth.garment_types, truth.boxes_xyxy, truth.keypoints_xy, truth.visibility, strict=True)
    picture = drawing.draw_comparison(
        image,
        [Garment(*label) for label in labels],
        prediction.boxes_xyxy,
        prediction.garment_types,
        prediction.scores,
        prediction.keypoints_xy,
        prediction.keypoint_scores,
        match_photo(truth, prediction),
        scale=SHEET_TILE_SIZE / max(image.size),
    )
    pck = metrics.pck(matched_garments(truth, prediction))
    num_right = round((pck.value or 0.0) * pck.count)
    return picture, f"{num_right}/{pck.count}  {Path(truth.name).name}"


# Report --------------------------------------------------------------------------------------------------------------


def main_table(scores) -> str:
    """Return the headline numbers as lines of text for the console."""
    lines = [
        f"{scores['num_photos']} photos of split {scores['split']}, {scores['num_garments']} garments, "
        f"{scores['num_keypoints']} labelled keypoints; photos that could not be read: {scores['num_failed_photos']}",
        "",
        f"{'measure':<26}{'detected boxes':>16}{'keypoints':>11}{'labelled boxes':>16}{'keypoints':>11}",
    ]
    for row in _headline_rows(scores):
        lines.append(f"{row[0]:<26}{row[1]:>16}{row[2]:>11}{row[3]:>16}{row[4]:>11}")
    lines.append("")
    lines += [f"{name:<26}{value:>16}   of {count}" for name, value, count in _detection_rows(scores)]
    return "\n".join(lines)


def _headline_rows(scores):
    rows = []
    for name, title, _ in MEASURES:
        cells = []
        for mode, _ in BOX_MODES:
            score = scores[mode][name]["overall"] if scores[mode] else None
            cells += [_number(score["value"]), str(score["count"])] if score else ["-", "-"]
        rows.append([title, *cells])
    return rows


def _detection_rows(scores):
    detection, num_garments = scores["detection"], f"{scores['num_garments']} garments"
    return [
        ("recall at IoU 0.5", _number(scores["detection_recall_50"]), num_garments),
        ("miss rate", _number(scores["miss_rate"]), num_garments),
        ("precision at IoU 0.5", _number(scores["precision_50"]), f"{scores['num_detections']} detections"),
        ("false positives a photo", _number(scores["false_positives_per_photo"]), f"{scores['num_photos']} photos"),
        ("AP", _number(detection["ap"]), num_garments),
        ("AP50", _number(detection["ap_50"]), num_garments),
        ("AP75", _number(detection["ap_75"]), num_garments),
        ("AR", _number(detection["ar"]), num_garments),
    ]


def make_report(scores) -> str:
    """Return the whole evaluation as Markdown, with the count behind every number."""
    skipped = " and ".join(
        f"{scores[mode]['ne_garment']['overall']['skipped']} with {title.lower()}"
        for mode, title in BOX_MODES
        if scores[mode]
    )
    parts = [
        f"# Evaluation on split `{scores['split']}`",
        f"- model: `{scores['model']}`\n"
        f"- dataset: `{scores['data']}`\n"
        f"- {scores['num_photos']} photos (not readable: {scores['num_failed_photos']}), "
        f"{scores['num_garments']} garments, {scores['num_keypoints']} labelled keypoints",
        "A number in brackets is the count behind the number before it. With detected boxes, keypoints of missed "
        "garments count as wrong in PCK and AUC and are left out of NE and EPE: read those beside the miss rate. "
        f"NE by garment leaves out garments whose sleeve or waistline pair is not fully labelled or is under 10 "
        f"pixels: {skipped}.",
        "## Keypoints",
        _table(
            ["measure", "better", "detected boxes", "keypoints", "labelled boxes", "keypoints"],
            [[row[0], better, *row[1:]] for row, (_, _, better) in zip(_headline_rows(scores), MEASURES, strict=True)],
        ),
        "## Detection",
        _table(["measure", "value", "of"], _detection_rows(scores)),
        "A detection that finds no labelled garment counts as a false positive, also where the garment is there but "
        "nobody labelled it.",
        _table(["slice", "recall at IoU 0.5", "AP"], _detection_slices(scores["detection"])),
        f"Boxes of the {scores['box_errors']['count']} garments that were found, against the labelled ones: shift of "
        "the centre over the long side of the labelled box, and logarithm of the ratio of the sides.",
        _table(["box error", "mean", "sd", "5 %", "50 %", "95 %"], _box_error_rows(scores["box_errors"])),
    ]
    for mode, title in BOX_MODES:
        if scores[mode]:
            parts += [f"## {title}", *_slice_tables(scores[mode])]
    return "\n\n".join(parts) + "\n"


def _detection_slices(detection):
    precision = detection["ap_by_garment_type"]
    return [
        [name, _with_count(score), _with_count(precision[name]) if name in precision else "-"]
        for group in ("garment_type", "variation")
        for name, score in detection["recall_50"][group].items()
        if score["count"]
    ]


def _box_error_rows(box_errors):
    return [
        [name, *(_number(score[key]) for key in ("mean", "sd", "p5", "p50", "p95"))]
        for name, score in box_errors.items()
        if name != "count"
    ]


def _slice_tables(measures):
    """Return the tables of one kind of boxes: by keypoint, then one for each group of slices."""
    by_keypoint = [
        [title, *(_with_count(measures[name]["overall"]["per_keypoint"][k]) for k in KEYPOINT_ABBREVIATIONS)]
        for name, title, _ in MEASURES
    ]
    tables = ["### By keypoint", _table(["measure", *KEYPOINT_ABBREVIATIONS], by_keypoint)]
    titles = [title for _, title, _ in MEASURES]
    for group in ("garment_type", "variation", "visibility"):
        rows = [["all", *(_with_count(measures[name]["overall"]) for name, _, _ in MEASURES)]]
        rows += [
            [slice_, *(_with_count(measures[name][group][slice_]) for name, _, _ in MEASURES)]
            for slice_ in measures["pck_02"][group]
            if measures["pck_02"][group][slice_]["count"]
        ]
        tables += [f"### By {group.replace('_', ' ')}", _table([group.replace("_", " "), *titles], rows)]
    return tables


def _table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("_", " ") for cell in line) + " |" for line in lines)


def _with_count(score):
    return f"{_number(score['value'])} ({score['count']})" if score["count"] else "-"


def _number(value):
    return "-" if value is None else f"{value:.4f}"


# Files ---------------------------------------------------------------------------------------------------------------


def _write_outputs(out, scores, predictions, names, sheets):
    out.mkdir(parents=True, exist_ok=True)
    for name, sheet in sheets.items():
        (out / "pictures").mkdir(exist_ok=True)
        content = io.BytesIO()
        sheet.save(content, "JPEG", quality=90)
        _write(out / "pictures" / name, content.getvalue())
    lines = [
        json.dumps(prediction_line(*pair), allow_nan=False) + "\n" for pair in zip(names, predictions, strict=True)
    ]
    _write(out / "predictions.jsonl", "".join(lines).encode())
    _write(out / "report.md", make_report(scores).encode())
    _write(out / "metrics.json", (json.dumps(scores, indent=2, allow_nan=False) + "\n").encode())


def _write(path, content):
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
