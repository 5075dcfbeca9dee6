"""Evaluate many keypoint networks with one detector, as `evaluate` does each.

    python -m cspn_tf.reproduction.evaluate_runs --data DIR --detector DIR --keypoints DIR... --out DIR

For each network, `metrics.json` and `report.md` are written to a directory of the network's name in --out. Networks
whose metrics are not older than the weights are skipped.
"""

import sys
from pathlib import Path

from cspn_tf.console import Parser, run
from cspn_tf.evaluation.inputs import Photos, predict_photos
from cspn_tf.evaluation.measures import measure
from cspn_tf.evaluation.report import write_scores
from cspn_tf.files import is_newer
from cspn_tf.models.checkpoints import WEIGHTS

_SPLIT, _BATCH_SIZE = "test", 8


def main(argv=None) -> int:
    """Evaluate; see the module's docstring and --help."""
    parser = Parser(description="Evaluate many keypoint networks with one detector.")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="directory that prepare wrote")
    parser.add_argument("--detector", required=True, type=Path, metavar="DIR", help="detector's training directory")
    parser.add_argument("--keypoints", required=True, nargs="+", type=Path, metavar="DIR", help="training directories")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="directory to write into")
    args = parser.parse_args(argv)

    from cspn_tf.inference.model import load

    photos = Photos(args.data, _SPLIT)
    for directory in args.keypoints:
        if is_evaluated(args.out, args.detector, directory):
            continue
        model = load(detector=args.detector, keypoints=directory)
        found = predict_photos(photos, model, _BATCH_SIZE, model.keypoints_in_boxes)
        about = {"data": str(args.data), "split": _SPLIT, "model": model.source}
        write_scores(args.out / directory.name, measure(about, *found, seed=0))
        print(f"{args.out / directory.name}", flush=True)
    return 0


def is_evaluated(out, detector_dir, keypoints_dir) -> bool:
    """Check whether `out` has an evaluation of these networks that is not older than their weights."""
    weights = [directory / WEIGHTS for directory in (detector_dir, keypoints_dir)]
    return is_newer(out / keypoints_dir.name / "metrics.json", weights)


if __name__ == "__main__":
    sys.exit(run(main))
