"""Evaluate many keypoint networks behind one detector, with the same results as `evaluate` on each.

    python -m cspn_tf.reproduction.evaluate_runs --data DIR --detector DIR --keypoints DIR... --out DIR

Reading a photo and detecting its garments costs more than a small keypoint network, so it is done once for all of them.
The code that runs is the served pipeline's. For each network, `metrics.json` and `report.md` are written to a directory
of the network's name in --out. Networks whose metrics are not older than the weights are skipped.
"""

import itertools
import sys
from pathlib import Path

from cspn_tf.console import Parser, run
from cspn_tf.evaluation.inputs import Photos
from cspn_tf.evaluation.matching import match_given_boxes, match_photos
from cspn_tf.evaluation.measures import measure
from cspn_tf.evaluation.report import write_scores
from cspn_tf.files import is_newer
from cspn_tf.models.checkpoints import WEIGHTS
from cspn_tf.progress import Progress
from cspn_tf.result import results_of_outputs

_SPLIT, _BATCH_SIZE = "test", 8


def main(argv=None) -> int:
    """Evaluate; see the module's docstring and --help."""
    parser = Parser(description="Evaluate many keypoint networks behind one detector.")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="directory that prepare wrote")
    parser.add_argument("--detector", required=True, type=Path, metavar="DIR", help="detector's training directory")
    parser.add_argument("--keypoints", required=True, nargs="+", type=Path, metavar="DIR", help="training directories")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="directory to write into")
    args = parser.parse_args(argv)

    from cspn_tf.inference.shared import SharedDetector

    wanted = [path for path in args.keypoints if not is_evaluated(args.out, args.detector, path)]
    if not wanted:
        return 0
    photos = Photos(args.data, _SPLIT)
    shared = SharedDetector(args.detector, wanted)
    # Of each network: the results as served, and the keypoints in ground-truth boxes.
    truths, answers = [], [([], []) for _ in wanted]
    with Progress("evaluated") as progress:
        remaining = iter(photos)
        while batch := list(itertools.islice(remaining, _BATCH_SIZE)):
            labels = [photo.garments for photo in batch]
            boxes_xyxy, types = [of_photo.boxes_xyxy for of_photo in labels], [of_photo.types for of_photo in labels]
            truths += labels
            seen = shared.detect([photo.photo_bytes for photo in batch])
            for index, (results, in_boxes) in enumerate(answers):
                results += results_of_outputs(shared.keypoints(index, seen), [photo.name for photo in batch])
                in_boxes += shared.keypoints_in_boxes(index, seen, boxes_xyxy, types)
            progress(len(truths), len(photos))
    for directory, (results, in_boxes) in zip(wanted, answers, strict=True):
        about = {"data": str(args.data), "split": _SPLIT, "model": f"{args.detector} and {directory}"}
        scores = measure(about, match_photos(truths, results), match_given_boxes(truths, in_boxes), seed=0)
        write_scores(args.out / directory.name, scores)
        print(f"{args.out / directory.name}", flush=True)
    return 0


def is_evaluated(out, detector_dir, keypoints_dir) -> bool:
    """Check whether `out` has an evaluation of these networks that is not older than their weights."""
    weights = [directory / WEIGHTS for directory in (detector_dir, keypoints_dir)]
    return is_newer(out / keypoints_dir.name / "metrics.json", weights)


if __name__ == "__main__":
    sys.exit(run(main))
