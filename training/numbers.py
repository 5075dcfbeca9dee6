"""Print the results of several `evaluate` runs side by side, as Markdown tables.

    python -m training.numbers out/report-street out/report-flatlay

One column per report, named after its folder; overall first, then by garment type and by keypoint. Each value is
followed by its 95 % interval in brackets and, after the semicolon, its count.
"""

import sys
from pathlib import Path

from cspn_tf.console import Parser, run
from cspn_tf.evaluation.report import formatted, make_table
from cspn_tf.files import read_json
from cspn_tf.garments import GARMENT_TYPE_NAMES, KEYPOINT_ABBREVIATIONS

_RATES = (
    ("detection_recall_50", "recall at IoU 0.5, same type"),
    ("precision_50", "precision at IoU 0.5, same type"),
    ("false_positives_per_photo", "false positives per photo"),
)
_KEYPOINTS = (
    ("pck_02_found", "PCK@0.2, detected garments"),
    ("pck_02", "PCK@0.2, missed garments count as wrong"),
    ("ne_longside", "NE (long side), visible"),
    ("ne_bbox", "NE (box sides), visible"),
)


def main(argv=None):
    """Print the tables."""
    parser = Parser(any_names=("reports",), description="Print the results of several evaluate runs side by side.")
    parser.add_argument("reports", nargs="+", type=Path, metavar="DIR", help="output folder of evaluate")
    reports = [
        (path.name.removeprefix("report-"), read_json(path / "metrics.json", "report of evaluate"))
        for path in parser.parse_args(argv).reports
    ]
    print("\n\n".join(make_tables(reports)))


def make_tables(reports) -> list[str]:
    """Return the tables of some reports, given as pairs of name and content of metrics.json."""
    names, scores = zip(*reports, strict=True)
    counts = [f"{s['num_photos']} photos, {s['num_garments']} garments" for s in scores]
    overall = [["photos, garments", *counts]]
    overall += [[title, *(_cell(s[name]) for s in scores)] for name, title in (*_RATES, *_KEYPOINTS)]
    for name, title in (("detection_calibration", "garment"), ("visibility", "keypoint")):
        overall.append(
            [f"calibration error, {title} scores", *(formatted(s[name]["calibration_error"], 3) for s in scores)]
        )
    by_type = [
        [f"{title}, {type_name}", *(_cell(of_type(s, type_name)) for s in scores)]
        for type_name in GARMENT_TYPE_NAMES.values()
        for title, of_type in (
            ("recall", lambda s, name: s["detection"]["recall_50"]["garment_type"][name]),
            ("PCK@0.2, detected garments", lambda s, name: s["detected_boxes"]["pck_02_found"]["garment_type"][name]),
            ("NE (long side), visible", lambda s, name: s["detected_boxes"]["ne_longside"]["garment_type"][name]),
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
    if not score["count"] or score["value"] is None:
        return "-"
    low_high = f" ({' to '.join(formatted(end, 3) for end in score['interval'])})" if score["interval"] else ""
    return f"{formatted(score['value'], 3)}{low_high}; {score['count']}"


if __name__ == "__main__":
    sys.exit(run(main))
