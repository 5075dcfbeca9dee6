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
from cspn_tf.files import is_newer
from cspn_tf.models.checkpoints import WEIGHTS

_SPLIT, _BATCH_SIZE = "test", 8


def main(argv=None) -> int:
    """Evaluate; see the module's docstring and --help."""
    parser = Parser(description="Evaluate many keypoint networks behind one detector.")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="directory that prepare wrote")
    parser.add_argument("--detector", required=True, type=Path, metavar="DIR", help="detector's training directory")
    parser.add_argument("--keypoints", required=True, nargs="+", type=Path, metavar="DIR", help="training directories")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="directory to write into")
    args = parser.parse_args(argv)

    from cspn_tf.evaluation.inputs import Photos
    from cspn_tf.evaluation.measures import measure
    from cspn_tf.evaluation.report import write_scores

    wanted = [path for path in args.keypoints if not is_evaluated(args.out, args.detector, path)]
    if not wanted:
        return 0
    photos = Photos(args.data, _SPLIT)
    answers = predict_all(photos, args.detector, wanted)
    for directory, (matched, in_labelled_boxes) in zip(wanted, answers, strict=True):
        about = {"data": str(args.data), "split": _SPLIT, "model": f"{args.detector} and {directory}"}
        scores = measure(about, matched, in_labelled_boxes, seed=0)
        write_scores(args.out / directory.name, scores)
        print(f"{args.out / directory.name}", flush=True)
    return 0


def is_evaluated(out, detector_dir, keypoints_dir) -> bool:
    """Check whether `out` has an evaluation of these networks that is not older than their weights."""
    weights = [directory / WEIGHTS for directory in (detector_dir, keypoints_dir)]
    return is_newer(out / keypoints_dir.name / "metrics.json", weights)


def predict_all(photos, detector_dir, keypoints_dirs):
    """Predict garments and keypoints in photos with every keypoint network.

    Args:
        photos: iterable of `cspn_tf.evaluation.inputs.LabelledPhoto` with a length.
        detector_dir: the detector's training directory.
        keypoints_dirs: the keypoint networks' training directories.

    Returns:
        For each network two `cspn_tf.evaluation.matching.Matched`: one of detected garments, as served, and one of
        keypoints in ground-truth boxes.
    """
    from cspn_tf.evaluation.matching import match_given_boxes, match_photos
    from cspn_tf.inference.shared import SharedDetector
    from cspn_tf.progress import Progress
    from cspn_tf.result import results_of_outputs

    shared = SharedDetector(detector_dir, keypoints_dirs)
    truths, answers = [], [([], []) for _ in keypoints_dirs]
    with Progress("evaluated") as progress:
        remaining = iter(photos)
        while batch := list(itertools.islice(remaining, _BATCH_SIZE)):
            labels = [photo.garments for photo in batch]
            truths += labels
            seen = shared.detect([photo.photo_bytes for photo in batch])
            for index, (results, in_boxes) in enumerate(answers):
                results += results_of_outputs(shared.keypoints(index, seen), [photo.name for photo in batch])
                in_boxes += shared.keypoints_in_boxes(
                    index, seen, [of_photo.boxes_xyxy for of_photo in labels], [of_photo.types for of_photo in labels]
                )
            progress(len(truths), len(photos))
    return [(match_photos(truths, results), match_given_boxes(truths, in_boxes)) for results, in_boxes in answers]


if __name__ == "__main__":
    sys.exit(run(main))
