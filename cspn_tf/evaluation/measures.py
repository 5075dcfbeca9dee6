"""Compute all measures of an evaluation from matched labels and predictions, as one dict.

This module reads and writes no files and does not depend on the model: all predictions are measured by the same rules,
including those for missed garments, see `cspn_tf.evaluation.keypoint_metrics`. Coordinates are photo pixels.

Letters in shapes: G labelled garments of all photos, P photos.
"""

import numpy as np

from cspn_tf.evaluation import average_precision
from cspn_tf.evaluation import keypoint_metrics as metrics
from cspn_tf.evaluation.bootstrap import Bootstrap
from cspn_tf.evaluation.calibration import measure_calibration
from cspn_tf.evaluation.lengths import keypoint_sds, measure_lengths

BOX_ERRORS = ("shift_x", "shift_y", "log_width", "log_height")


def measure(about, matched, in_labelled_boxes, seed) -> dict:
    """Return the content of `metrics.json`: a description of the evaluation, then all measures.

    Args:
        about: JSON-ready dict that describes model and data.
        matched: a `cspn_tf.evaluation.matching.Matched`.
        in_labelled_boxes: the `Matched` of the same photos by `matching.match_given_boxes`, or None.
        seed: random seed of the bootstrap.
    """
    bootstrap = Bootstrap(matched.num_photos, seed=seed)
    scores = {**about, "intervals": bootstrap.about(), **evaluate_predictions(matched, bootstrap)}
    given = in_labelled_boxes is not None
    return {**scores, "ground_truth_boxes": metrics.evaluate_keypoints(in_labelled_boxes, bootstrap) if given else None}


def evaluate_predictions(matched, bootstrap=None) -> dict:
    """Measure detections and their keypoints.

    Args:
        matched: a `Matched`.
        bootstrap: the `Bootstrap` over the photos for the intervals; None for no intervals.

    Returns:
        A JSON-ready dict; a measure without data is None. Entries marked "measured" are dicts of value, count and
        interval, which is low and high, or None without `bootstrap`.
            num_photos, num_failed_photos (status not 0), num_garments, num_keypoints (labelled), num_detections
            detection_recall_50, miss_rate, precision_50, false_positives_per_photo: measured, see `measure_rates`
            pck_02, pck_02_found, auc, ne_bbox, ne_garment, ne_longside, epe: measured, with skipped; overall, see
                `keypoint_metrics`
            detected_boxes: see `keypoint_metrics.evaluate_keypoints`
            box_errors: see `measure_box_errors`
            detection: see `average_precision.box_precision`; and recall_50, measured, by garment type and variation
            keypoint_detection: see `average_precision.keypoint_precision`
            visibility, detection_calibration: see `calibration.measure_calibration`; of the keypoint scores of detected
                garments, where visible keypoints are positive and occluded ones negative; of the detections' scores,
                where matched detections are positive
            lengths, keypoint_sds: see `cspn_tf.evaluation.lengths`
    """
    keypoints = metrics.evaluate_keypoints(matched, bootstrap)
    seen = matched.labels.labelled & matched.found[:, np.newaxis]
    return {
        "num_photos": matched.num_photos,
        "num_failed_photos": sum(not result.ok for result in matched.results),
        "num_garments": len(matched.labels),
        "num_keypoints": int(matched.labels.labelled.sum()),
        "num_detections": len(matched.detections),
        **measure_rates(matched, bootstrap),
        **{
            name: {key: value for key, value in scores["overall"].items() if key != "per_keypoint"}
            for name, scores in keypoints.items()
        },
        "detected_boxes": keypoints,
        "box_errors": measure_box_errors(matched),
        "detection": {**average_precision.box_precision(matched), "recall_50": _recall_slices(matched, bootstrap)},
        "keypoint_detection": average_precision.keypoint_precision(matched),
        "visibility": measure_calibration(matched.predicted.keypoint_scores[seen], matched.labels.visible[seen]),
        "detection_calibration": measure_calibration(matched.detections.scores, matched.is_hit),
        "lengths": measure_lengths(matched),
        "keypoint_sds": keypoint_sds(matched),
    }


def measure_rates(matched, bootstrap=None) -> dict:
    """Measure recall and precision of the detections.

    Args:
        matched, bootstrap: as for `evaluate_predictions`.

    Returns:
        A JSON-ready dict, each entry as returned by `keypoint_metrics.rate`:
            detection_recall_50, miss_rate: shares of the labelled garments with and without a matched detection
            precision_50: share of the detections matched with a garment
            false_positives_per_photo: mean number of unmatched detections
    """
    photos = np.arange(matched.num_photos)
    of_detections = np.repeat(photos, [len(result.garments) for result in matched.results])
    num_false = np.bincount(of_detections[~matched.is_hit], minlength=len(photos))
    return {
        "detection_recall_50": metrics.rate(matched.photo_index, matched.found, bootstrap),
        "miss_rate": metrics.rate(matched.photo_index, ~matched.found, bootstrap),
        "precision_50": metrics.rate(of_detections, matched.is_hit, bootstrap),
        "false_positives_per_photo": metrics.rate(photos, num_false, bootstrap),
    }


def measure_box_errors(matched) -> dict:
    """Measure the errors of matched boxes; the box jitter in training follows their distribution.

    Args:
        matched: a `Matched`.

    Returns:
        A JSON-ready dict:
            count: matched garments whose ground-truth box is not empty
            shift_x, shift_y: shift of the box's centre, over the long side of the ground-truth box
            log_width, log_height: natural logarithm of the ratio of detected to ground-truth side
            each with mean, sd (standard deviation), p5, p50 and p95 (percentiles); None without matches.
    """
    boxes = np.stack([matched.labels.boxes_xyxy, matched.predicted.boxes_xyxy], axis=1, dtype=float)[matched.found]
    centres, sizes = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    usable = (sizes > 0).all(axis=(1, 2))
    centres, sizes = centres[usable], sizes[usable]
    shifts = (centres[:, 1] - centres[:, 0]) / sizes[:, 0].max(axis=-1, keepdims=True)
    errors = np.concatenate([shifts, np.log(sizes[:, 1] / sizes[:, 0])], axis=1)
    return {"count": len(errors), **{name: _spread(errors[:, k]) for k, name in enumerate(BOX_ERRORS)}}


def _spread(values):
    if not len(values):
        return dict.fromkeys(("mean", "sd", "p5", "p50", "p95"))
    p5, p50, p95 = (float(value) for value in np.percentile(values, (5, 50, 95)))
    return {"mean": float(values.mean()), "sd": float(values.std()), "p5": p5, "p50": p50, "p95": p95}


def _recall_slices(matched, bootstrap):
    """Return recall overall, by garment type and by variation."""

    def recall(rows):
        return metrics.rate(matched.photo_index[rows], matched.found[rows], bootstrap)

    groups = metrics.slices(matched.labels)
    return {
        "overall": recall(slice(None)),
        **{
            group: {name: recall(mask[:, 0]) for name, mask in groups[group].items()}
            for group in ("garment_type", "variation")
        },
    }
