"""The measures of `evaluate` as tables: a summary for the console, and the full report in Markdown."""

import json
import textwrap

from cspn_tf.evaluation.keypoint_metrics import LOWER_IS_BETTER
from cspn_tf.evaluation.measures import BOX_ERRORS
from cspn_tf.files import write_bytes
from cspn_tf.garments import GARMENT_TYPE_NAMES, KEYPOINT_ABBREVIATIONS

# Measures in the order of the tables: key in metrics.json, title.
MEASURES = (
    ("pck_02", "PCK@0.2"),
    ("pck_02_found", "PCK@0.2, detected garments"),
    ("auc", "AUC"),
    ("ne_bbox", "NE (box sides)"),
    ("ne_garment", "NE (garment pair, eq. 3)"),
    ("ne_longside", "NE (long side)"),
    ("epe", "EPE, pixels"),
)
# Keys of the two kinds of boxes in metrics.json.
DETECTED, LABELLED = "detected_boxes", "ground_truth_boxes"

MISSED_GARMENTS = (
    "A missed garment counts in the same way for every method: its keypoints are failures in PCK and AUC, and are left "
    "out of NE and EPE. As NE and EPE cover detected garments only, read them together with the miss rate."
)


# The console ---------------------------------------------------------------------------------------------------------


def main_table(scores) -> str:
    """Return the summary table as lines of text for the console.

    Args:
        scores: the content of `metrics.json`.
    """
    header, rows = _headline(scores)
    columns = [0, *range(2, len(header))]  # without the column "better", which only the report has
    headline = _aligned([[row[column] for column in columns] for row in (header, *rows)])
    notes = [textwrap.fill(text, len(headline.partition("\n")[0])) for text in (MISSED_GARMENTS, *_cautions(scores))]
    return "\n\n".join([_contents(scores), headline, _aligned(_detection_rows(scores)), *notes])


def _cautions(scores):
    """Return warnings about data that distorts the numbers."""
    cautions = []
    visible = scores["detected_boxes"]["pck_02"]["visibility"]["visible"]
    if scores["num_keypoints"] and not visible["count"] + visible["skipped"]:
        cautions.append(
            "No labelled keypoint is marked visible: NE, which counts visible keypoints only, has no value. "
            "Some tools write visibility 1 for every labelled keypoint, which in COCO means occluded."
        )
    if "predictions" not in scores:
        return cautions
    if scores["num_boxes_from_keypoints"]:
        cautions.append(
            f"{scores['num_boxes_from_keypoints']} results have no box: the extent of their keypoints is used instead. "
            "Where a garment's keypoints lie close together, that extent overlaps little with the ground-truth box, "
            "and the garment counts as missed."
        )
    num_without = scores["num_photos_without_results"]
    if 2 * num_without > scores["num_photos"]:
        cautions.append(
            f"{num_without} of {scores['num_photos']} labelled photos have no results, and their garments count as "
            "missed: are the predictions for these photos?"
        )
    if scores["num_detections"] and scores["miss_rate"]["value"] == 1.0:
        ids = ", ".join(f"{int(garment_type)} {name}" for garment_type, name in GARMENT_TYPE_NAMES.items())
        cautions.append(
            f"No garment was detected. Category ids of results are {ids}, regardless of the ids in the labels; boxes "
            "are x, y, width and height in pixels of the photo."
        )
    return cautions


def _contents(scores):
    photos = f"photos of split {scores['split']}" if "split" in scores else "images"
    text = f"{scores['num_photos']} {photos}, {scores['num_garments']} garments, "
    text += f"{scores['num_keypoints']} labelled keypoints"
    if "split" in scores:
        text += f"; photos that could not be read: {scores['num_failed_photos']}"
    return text


def _aligned(rows):
    """Return the rows as text in aligned columns, the first left-aligned and the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "   ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


# The report ----------------------------------------------------------------------------------------------------------


def make_report(scores) -> str:
    """Return the full report as Markdown, with the count behind every number.

    Args:
        scores: as for `main_table`.
    """
    skipped = " and ".join(
        f"{scores[mode]['ne_garment']['overall']['skipped']} with {title.lower()}" for mode, title in _modes(scores)
    )
    box_errors = [[_words(name), *map(formatted, scores["box_errors"][name].values())] for name in BOX_ERRORS]
    parts = [
        *_origin(scores),
        MISSED_GARMENTS,
        *_cautions(scores),
        "Square brackets give the 95 % interval of the number before them, from "
        f"{scores['intervals']['num_resamples']} bootstrap resamples of the photos (seed "
        f"{scores['intervals']['seed']}). Round brackets give its count. The intervals of all slices are in "
        "`metrics.json`.",
        "Garments without a usable normaliser are skipped. For NE (garment pair) these are the garments whose sleeve "
        f"or waistline pair is not fully labelled or is under 10 pixels: {skipped}.",
        "## Keypoints",
        make_table(*_headline(scores)),
        "## Detection",
        make_table(["measure", "value (95 %)", "of"], _detection_rows(scores)),
        "A detection that matches no labelled garment counts as a false positive, even if it shows a garment that was "
        "not labelled. AP of keypoints uses object keypoint similarity with one sigma for all keypoints, "
        f"{scores['keypoint_detection']['oks_sigma']:g} of the square root of the ground-truth box's area.",
        make_table(["slice", "recall at IoU 0.5", "AP of boxes", "AP of keypoints"], _detection_slices(scores)),
        f"Box errors of the {scores['box_errors']['count']} detected garments: shift of the centre over the long side "
        "of the ground-truth box, and natural logarithm of the ratio of detected to ground-truth side.",
        make_table(["box error", "mean", "sd", "5 %", "50 %", "95 %"], box_errors),
    ]
    parts += ["## Scores", _calibration(scores), "## Lengths", _LENGTHS, make_table(*_length_rows(scores["lengths"]))]
    for mode, title in _modes(scores):
        parts += [f"## {title}", *_slice_tables(scores[mode])]
    return "\n\n".join(parts) + "\n"


_LENGTHS = (
    "Predicted minus labelled lengths of the detected garments, relative to the labelled length: bias, and the "
    "limits of agreement, between which 95 % of the differences lie if they are normal. 68 % of the differences should "
    "be within the standard deviation that the model states. A length is not measurable if the model says that one of "
    "its keypoints is not visible, although the labels say that it is."
)


def _length_rows(lengths):
    header = ["garment", "length", "count", "bias", "limits", "median error", "within one sd", "not measurable"]
    return header, [
        [
            *(type_name, _words(name), str(measured["count"]), _percent(measured["bias"])),
            " to ".join(_percent(limit) for limit in measured["limits"] or []) or "-",
            *(_percent(measured[key]) for key in ("median_error", "within_sd", "not_measurable")),
        ]
        for type_name, of_type in lengths.items()
        for name, measured in of_type.items()
    ]


def _percent(value):
    return "-" if value is None else f"{100 * value:.1f} %"


def _calibration(scores):
    of_garments, of_keypoints = scores["detection_calibration"], scores["visibility"]
    return (
        f"Scores of {scores['num_detections']} detections: {_calibration_error(of_garments)}, AUROC of true against "
        f"false positives {formatted(of_garments['auroc'])}. Keypoint scores of the detected garments, "
        f"{of_keypoints['num_positive']} visible and {of_keypoints['num_negative']} occluded keypoints: "
        f"{_calibration_error(of_keypoints)}, AUROC of visible against occluded {formatted(of_keypoints['auroc'])}. "
        "In brackets: what exact probabilities, of the garment's existence or the keypoint's visibility, would give on "
        "average, because the scores are few."
    )


def _calibration_error(measured):
    error, by_chance = (formatted(measured[name]) for name in ("calibration_error", "calibration_error_by_chance"))
    return f"calibration error {error} ({by_chance})"


def _modes(scores):
    """Return key and title of each kind of boxes that was measured."""
    modes = ((DETECTED, "Detected boxes"), (LABELLED, "Ground-truth boxes"))
    return [(mode, title) for mode, title in modes if scores[mode]]


def _origin(scores):
    """Return the title, and the list of model and data."""
    if "split" in scores:
        title = f"# Evaluation on split `{scores['split']}`"
        lines = [f"model: `{scores['model']}`", f"dataset: `{scores['data']}`"]
        if num_turns := scores.get("quarter_turns"):
            lines.append(f"photos turned by {90 * num_turns} degrees counter-clockwise")
    else:
        title = f"# Evaluation of `{scores['predictions']}`"
        lines = [
            "labels: " + ", ".join(f"`{path}`" for path in scores["truth"]),
            f"{scores['num_detections']} detections; boxes computed as the extent of the keypoints, because the "
            f"result has none: {scores['num_boxes_from_keypoints']}",
            f"duplicate annotations within an image, left out: {scores['num_repeated_annotations']}",
            f"labelled photos without results: {scores['num_photos_without_results']}",
        ]
    return title, "\n".join(f"- {line}" for line in [*lines, _contents(scores)])


def _headline(scores):
    """Return the header and the rows of the summary table; the last row is the miss rate."""
    header, rows = (
        ["measure", "better"],
        [[title, "lower" if name in LOWER_IS_BETTER else "higher"] for name, title in MEASURES],
    )
    miss_rate = ["miss rate", "lower"]
    for mode, title in _modes(scores):
        header += [f"{title.lower()} (95 %)", "keypoints", "skipped"]
        for row, (name, _) in zip(rows, MEASURES, strict=True):
            score = scores[mode][name]["overall"]
            row += [with_interval(score), str(score["count"]), str(score["skipped"])]
        detected = mode == DETECTED
        miss_rate += [with_interval(scores["miss_rate"]), _of_garments(scores), "-"] if detected else ["-", "-", "-"]
    return header, [*rows, miss_rate]


def _of_garments(scores):
    return f"{scores['num_garments']} garments"


def _detection_rows(scores):
    boxes, keypoints = scores["detection"], scores["keypoint_detection"]
    num_with_keypoints = sum(score["count"] for score in keypoints["ap_by_garment_type"].values())
    with_keypoints = f"{num_with_keypoints} garments with keypoints"
    return [
        ["recall at IoU 0.5", with_interval(scores["detection_recall_50"]), _of_garments(scores)],
        ["precision at IoU 0.5", with_interval(scores["precision_50"]), f"{scores['num_detections']} detections"],
        [
            "false positives per photo",
            with_interval(scores["false_positives_per_photo"]),
            f"{scores['num_photos']} photos",
        ],
        *([f"{title} of boxes", formatted(boxes[name]), _of_garments(scores)] for name, title in _PRECISIONS),
        *([f"{title} of keypoints", formatted(keypoints[name]), with_keypoints] for name, title in _PRECISIONS),
    ]


_PRECISIONS = (("ap", "AP"), ("ap_50", "AP50"), ("ap_75", "AP75"), ("ar", "AR"))


def _detection_slices(scores):
    precisions = [scores[kind]["ap_by_garment_type"] for kind in ("detection", "keypoint_detection")]
    return [
        [_words(name), _with_count(score), *(_with_count(p[name]) if name in p else "-" for p in precisions)]
        for group in ("garment_type", "variation")
        for name, score in scores["detection"]["recall_50"][group].items()
        if score["count"]
    ]


def _slice_tables(measures):
    """Return the tables for one kind of boxes: by keypoint, then one for each group of slices."""
    by_keypoint = [
        [title, *(_with_count(measures[name]["overall"]["per_keypoint"][k]) for k in KEYPOINT_ABBREVIATIONS)]
        for name, title in MEASURES
    ]
    tables = ["### By keypoint", make_table(["measure", *KEYPOINT_ABBREVIATIONS], by_keypoint)]
    titles = [title for _, title in MEASURES]
    for group in ("garment_type", "variation", "visibility"):
        rows = [["all", *(_with_count(measures[name]["overall"]) for name, _ in MEASURES)]]
        rows += [
            [_words(slice_), *(_with_count(measures[name][group][slice_]) for name, _ in MEASURES)]
            for slice_ in measures["pck_02"][group]
            if measures["pck_02"][group][slice_]["count"]
        ]
        tables += [f"### By {_words(group)}", make_table([_words(group), *titles], rows)]
    return tables


def _words(key):
    return key.replace("_", " ")


def make_table(header, rows):
    """Return a Markdown table of text cells."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *rows))


# Numbers -------------------------------------------------------------------------------------------------------------


def with_interval(score, digits=4) -> str:
    """Return a measure's value with its interval, such as "0.51 (0.40 to 0.60)"; "-" for no value.

    Args:
        score: an entry of `metrics.json` with value and interval.
        digits: decimals.
    """
    if score["interval"] is None:
        return formatted(score["value"], digits)
    return f"{formatted(score['value'], digits)} ({' to '.join(formatted(end, digits) for end in score['interval'])})"


def _with_count(score):
    return f"{formatted(score['value'])} ({score['count']})" if score["count"] else "-"


def formatted(value, digits=4) -> str:
    """Return a number with that many decimals; "-" for None."""
    return "-" if value is None else f"{value:.{digits}f}"


# Files ---------------------------------------------------------------------------------------------------------------

PREDICTIONS = "predictions.jsonl"
PICTURES = ("pictures/worst.jpg", "pictures/random.jpg", "pictures/reliability.png")


def write_scores(out, scores, files=None) -> dict:
    """Write the files of an evaluation, `metrics.json` last, and remove the further files of an earlier one of photos.

    Args:
        out: folder to write into.
        scores: the result of `cspn_tf.evaluation.measures.measure`.
        files: further files, of `PICTURES` and `PREDICTIONS`, name to content.

    Returns:
        All files written, name to content.
    """
    metrics = json.dumps(scores, indent=2, allow_nan=False) + "\n"
    files = {**(files or {}), "report.md": make_report(scores).encode(), "metrics.json": metrics.encode()}
    # Without such an evaluation, they are not its files: `predict` writes predictions of the same name.
    earlier = out / "metrics.json"
    if earlier.is_file() and '"split"' in earlier.read_text(errors="replace"):
        for name in {*PICTURES, PREDICTIONS} - set(files):
            (out / name).unlink(missing_ok=True)
    for name, content in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
    return files
