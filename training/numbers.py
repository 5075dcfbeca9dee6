"""Print the results of several `evaluate` runs side by side, as Markdown tables.

    python -m training.numbers out/report-street out/report-flatlay

One column per report, named after its folder; overall first, then by garment type and by keypoint. Each value is
followed by its 95 % interval in brackets and, after the semicolon, its count.
"""

import sys
from pathlib import Path

from cspn_tf.console import Parser, UserError, run
from cspn_tf.evaluation.report import formatted, make_table, with_interval
from cspn_tf.files import read_json
from cspn_tf.garments import GARMENT_TYPE_NAMES, KEYPOINT_ABBREVIATIONS

# Measures of the first table: key in metrics.json, title.
TITLES = {
    "detection_recall_50": "recall at IoU 0.5, same type",
    "precision_50": "precision at IoU 0.5, same type",
    "false_positives_per_photo": "false positives per photo",
    "pck_02_found": "PCK@0.2, detected garments",
    "pck_02": "PCK@0.2, missed garments count as wrong",
    "ne_longside": "NE (long side), visible",
    "ne_bbox": "NE (box sides), visible",
}


def main(argv=None):
    """Print the tables."""
    parser = Parser(any_names=("reports",), description="Print the results of several evaluate runs side by side.")
    parser.add_argument("reports", nargs="+", type=Path, metavar="DIR", help="output folder of evaluate")
    reports = [
        (path.name.removeprefix("report-"), _read(path / "metrics.json")) for path in parser.parse_args(argv).reports
    ]
    print("\n\n".join(make_tables(reports)))


def _read(path):
    scores = read_json(path, "report of evaluate")
    if not isinstance(scores, dict) or not {"num_photos", "detected_boxes"} <= set(scores):
        raise UserError(f"{path}: not a report of evaluate")
    return scores


def make_tables(reports) -> list[str]:
    """Return the tables of some reports, given as pairs of name and content of metrics.json."""
    names, scores = zip(*reports, strict=True)
    counts = [f"{s['num_photos']} photos, {s['num_garments']} garments" for s in scores]
    overall = [["photos, garments", *counts]]
    overall += [[title, *(_cell(s[name]) for s in scores)] for name, title in TITLES.items()]
    for name, title in (("detection_calibration", "garment"), ("visibility", "keypoint")):
        rows = {"calibration_error": "", "calibration_error_by_chance": ", if they were exact probabilities"}
        for measure, condition in rows.items():
            values = [formatted(s[name].get(measure), 3) for s in scores]
            overall.append([f"calibration error, {title} scores{condition}", *values])
    by_type = [
        [f"{title}, {type_name}", *(_cell(s[part][measure]["garment_type"][type_name]) for s in scores)]
        for type_name in GARMENT_TYPE_NAMES.values()
        for title, part, measure in (
            ("recall", "detection", "recall_50"),
            (TITLES["pck_02_found"], "detected_boxes", "pck_02_found"),
            (TITLES["ne_longside"], "detected_boxes", "ne_longside"),
        )
    ]
    by_keypoint = [
        [keypoint, *(_cell(s["detected_boxes"]["ne_longside"]["overall"]["per_keypoint"][keypoint]) for s in scores)]
        for keypoint in KEYPOINT_ABBREVIATIONS
    ]
    return [
        make_table([title, *names], rows)
        for title, rows in (("measure", overall), ("by type", by_type), ("NE (long side), visible", by_keypoint))
    ]


def _cell(score):
    return "-" if score["value"] is None else f"{with_interval(score, 3)}; {score['count']}"


if __name__ == "__main__":
    sys.exit(run(main))
