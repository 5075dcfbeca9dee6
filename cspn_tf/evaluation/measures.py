"""From labels and predictions of many photos to one dict of numbers, each with the count behind it.

Nothing here reads or writes files, and nothing knows what made the predictions: every system is measured by the same
rules, those for missed garments among them, see `cspn_tf.evaluation.keypoint_metrics`. Coordinates are photo pixels.

Letters in shapes: G labelled garments of a photo, D detections of a photo, N rows of the served outputs, P photos.
"""

import dataclasses

import numpy as np

from cspn_tf.evaluation import average_precision
from cspn_tf.evaluation import keypoint_metrics as metrics
from cspn_tf.evaluation.calibration import measure_calibration
from cspn_tf.garments import GARMENT_TYPE_NAMES, NUM_KEYPOINTS, Variation, Visibility

MATCH_IOU = 0.5


@dataclasses.dataclass(frozen=True)
class PhotoTruth:
    """The labels of one photo.

    Attributes:
        name: the photo's name, for people.
        garment_types: int `(G,)`, `GarmentType` ids.
        variations: int `(G,)`, `Variation` ids.
        boxes_xyxy: float `(G, 4)`.
        keypoints_xy: float `(G, 8, 2)`; anything where visibility is not above 0.
        visibility: int `(G, 8)`, `Visibility` codes.
    """

    name: str
    garment_types: np.ndarray
    variations: np.ndarray
    boxes_xyxy: np.ndarray
    keypoints_xy: np.ndarray
    visibility: np.ndarray


@dataclasses.dataclass(frozen=True)
class PhotoPrediction:
    """What was predicted for one photo, padding left out.

    Attributes:
        garment_types: int `(D,)`, `GarmentType` ids.
        scores: float `(D,)`.
        boxes_xyxy: float `(D, 4)`.
        keypoints_xy: float `(D, 8, 2)`.
        keypoint_scores: float `(D, 8)`.
        status: the served contract's status; photos whose status is not 0 have no detections.
        image_size: height, width; 0, 0 where the status is not 0 or nobody looked at the photo.
    """

    garment_types: np.ndarray
    scores: np.ndarray
    boxes_xyxy: np.ndarray
    keypoints_xy: np.ndarray
    keypoint_scores: np.ndarray
    status: int = 0
    image_size: tuple[int, int] = (0, 0)

    @classmethod
    def from_served(cls, outputs, index) -> "PhotoPrediction":
        """Take one photo out of a batch of the served outputs.

        Args:
            outputs: dict of arrays, as in the served contract, batch first.
            index: the photo's place in the batch.
        """
        num = int(outputs["num_garments"][index])
        return cls(
            garment_types=np.asarray(outputs["classes"][index][:num], dtype=int),
            scores=np.asarray(outputs["scores"][index][:num], dtype=float),
            boxes_xyxy=np.asarray(outputs["boxes"][index][:num], dtype=float),
            keypoints_xy=np.asarray(outputs["keypoints"][index][:num], dtype=float),
            keypoint_scores=np.asarray(outputs["keypoint_scores"][index][:num], dtype=float),
            status=int(outputs["status"][index]),
            image_size=tuple(int(side) for side in outputs["image_size"][index]),
        )


def match_photo(truth, prediction) -> np.ndarray:
    """Return the detection of each labelled garment of a photo, int `(G,)`, -1 where it was missed."""
    return metrics.match_detections(
        truth.boxes_xyxy,
        truth.garment_types,
        prediction.boxes_xyxy,
        prediction.garment_types,
        prediction.scores,
        iou=MATCH_IOU,
    )


def matched_garments(truth, prediction) -> metrics.Garments:
    """Put the labels of a photo beside the detections that found them."""
    matches = match_photo(truth, prediction)
    predicted = np.zeros((len(matches), NUM_KEYPOINTS, 2))
    predicted[matches >= 0] = prediction.keypoints_xy[matches[matches >= 0]]
    return _garments(truth, predicted, matches >= 0)


def evaluate_predictions(truths, predictions, bootstrap=None) -> dict:
    """Measure detections and their keypoints, as they are served.

    Args:
        truths: list of `PhotoTruth`.
        predictions: list of `PhotoPrediction`, one for each of `truths`.
        bootstrap: the `Bootstrap` over `truths` that gives the intervals; None for no intervals.

    Returns:
        A JSON-ready dict; a measure of nothing is None. "Measured" is a dict of value, count and interval, the last
        low and high, or None without `bootstrap`.
            num_photos, num_failed_photos (status not 0), num_garments, num_keypoints (labelled), num_detections
            detection_recall_50, miss_rate: measured shares of the garments that a detection did, did not find
            precision_50: measured share of the detections that found a garment
            false_positives_per_photo: measured mean number of detections that found no labelled garment
            pck_02, auc, ne_bbox, ne_garment, ne_longside, epe: see `keypoint_metrics`, overall; measured, with skipped
            detected_boxes: measure to overall, garment_type, variation and visibility, see `evaluate_keypoints`
            box_errors: how far the detections' boxes are off, see `measure_box_errors`
            detection: see `average_precision.box_precision`; and recall_50, measured, by garment type and
                variation
            keypoint_detection: see `average_precision.keypoint_precision`
            visibility: see `measure_visibility`
    """
    garments = _concatenate([matched_garments(t, p) for t, p in zip(truths, predictions, strict=True)])
    keypoints = _score_keypoints(garments, bootstrap)
    everything = np.ones(len(garments), dtype=bool)
    num_garments = _count_by_photo(garments, everything, len(truths))
    num_found = _count_by_photo(garments, garments.matched, len(truths))
    num_detections = np.array([len(prediction.scores) for prediction in predictions], dtype=int)
    return {
        "num_photos": len(truths),
        "num_failed_photos": sum(prediction.status != 0 for prediction in predictions),
        "num_garments": len(garments),
        "num_keypoints": int(garments.labelled.sum()),
        "num_detections": int(num_detections.sum()),
        "detection_recall_50": metrics.rate(num_found, num_garments, bootstrap),
        "miss_rate": metrics.rate(num_garments - num_found, num_garments, bootstrap),
        "precision_50": metrics.rate(num_found, num_detections, bootstrap),
        "false_positives_per_photo": metrics.rate(num_detections - num_found, np.ones(len(truths)), bootstrap),
        **{
            name: {key: value for key, value in scores["overall"].items() if key != "per_keypoint"}
            for name, scores in keypoints.items()
        },
        "detected_boxes": keypoints,
        "box_errors": measure_box_errors(truths, predictions),
        "detection": {
            **average_precision.box_precision(truths, predictions),
            "recall_50": _recall_slices(garments, len(truths), bootstrap),
        },
        "keypoint_detection": average_precision.keypoint_precision(truths, predictions),
        "visibility": measure_visibility(truths, predictions),
    }


def measure_visibility(truths, predictions) -> dict:
    """Measure whether the keypoint scores of the garments that were found tell visible keypoints from occluded ones.

    Args:
        truths, predictions: as in `evaluate_predictions`.

    Returns:
        See `cspn_tf.evaluation.calibration.measure_calibration`.
    """
    scores, visible = [], []
    for truth, prediction, found, detections in _found_garments(truths, predictions):
        labelled = truth.visibility[found] > 0
        scores.append(prediction.keypoint_scores[detections][labelled])
        visible.append(truth.visibility[found][labelled] == Visibility.VISIBLE)
    return measure_calibration(np.concatenate(scores or [[]]), np.concatenate(visible or [[]]))


BOX_ERRORS = ("shift_x", "shift_y", "log_width", "log_height")


def measure_box_errors(truths, predictions) -> dict:
    """Measure how far the boxes of the detections that found a garment are off; training jitters its boxes so.

    Args:
        truths, predictions: as in `evaluate_predictions`.

    Returns:
        A JSON-ready dict:
            count: matched garments whose labelled box is not empty
            shift_x, shift_y: of the box's centre, over the long side of the labelled box
            log_width, log_height: natural logarithm of detected over labelled
            each with mean, sd (standard deviation), p5, p50 and p95 (percentiles); None where nothing was matched.
    """
    pairs = [
        np.stack([truth.boxes_xyxy[found], prediction.boxes_xyxy[detections]], axis=1)
        for truth, prediction, found, detections in _found_garments(truths, predictions)
    ]
    boxes = np.concatenate(pairs) if pairs else np.zeros((0, 2, 4))
    centres, sizes = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    usable = (sizes > 0).all(axis=(1, 2))
    centres, sizes = centres[usable], sizes[usable]
    shifts = (centres[:, 1] - centres[:, 0]) / sizes[:, 0].max(axis=-1, keepdims=True)
    errors = np.concatenate([shifts, np.log(sizes[:, 1] / sizes[:, 0])], axis=1)
    return {"count": len(errors), **{name: _spread(errors[:, k]) for k, name in enumerate(BOX_ERRORS)}}


def _found_garments(truths, predictions):
    """Yield each photo's labels and predictions, with which garments were found, bool `(G,)`, and by which detections.

    The last is the index of each found garment's detection, in the order of the garments.
    """
    for truth, prediction in zip(truths, predictions, strict=True):
        matches = match_photo(truth, prediction)
        yield truth, prediction, matches >= 0, matches[matches >= 0]


def _spread(values):
    if not len(values):
        return dict.fromkeys(("mean", "sd", "p5", "p50", "p95"))
    p5, p50, p95 = (float(value) for value in np.percentile(values, (5, 50, 95)))
    return {"mean": float(values.mean()), "sd": float(values.std()), "p5": p5, "p50": p50, "p95": p95}


def evaluate_keypoints(truths, keypoints_xy, bootstrap=None) -> dict:
    """Measure keypoints that were predicted in the labelled boxes.

    Args:
        truths: list of `PhotoTruth`.
        keypoints_xy: list of float `(G, 8, 2)`, one for each of `truths`, or None for a photo that could not be read:
            its garments are then missed.
        bootstrap: as for `evaluate_predictions`.

    Returns:
        A JSON-ready dict: each name of `metrics.KEYPOINT_METRICS` to `overall` and to the slices by `garment_type`,
        `variation` and `visibility`; each with `value`, `count`, `skipped`, `interval`, and the same `per_keypoint`.
    """
    parts = []
    for truth, predicted in zip(truths, keypoints_xy, strict=True):
        num = len(truth.garment_types)
        found = np.full(num, predicted is not None)
        parts.append(_garments(truth, np.zeros((num, NUM_KEYPOINTS, 2)) if predicted is None else predicted, found))
    return _score_keypoints(_concatenate(parts), bootstrap)


def _garments(truth, predicted_xy, matched):
    return metrics.Garments(
        garment_types=truth.garment_types,
        variations=truth.variations,
        boxes_xyxy=truth.boxes_xyxy,
        keypoints_xy=truth.keypoints_xy,
        visibility=truth.visibility,
        predicted_xy=predicted_xy,
        matched=matched,
    )


def _concatenate(parts):
    """Return the rows of all photos as one `Garments`; with no photos, an empty one."""
    empty = PhotoTruth("", *(np.zeros(shape) for shape in ((0,), (0,), (0, 4), (0, NUM_KEYPOINTS, 2), (0, 8))))
    parts = parts or [_garments(empty, np.zeros((0, NUM_KEYPOINTS, 2)), np.zeros(0))]
    names = [field.name for field in dataclasses.fields(metrics.Garments)]
    rows = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return metrics.Garments(**{**rows, "photo_index": np.repeat(np.arange(len(parts)), [len(part) for part in parts])})


def _score_keypoints(garments, bootstrap):
    scores = {
        name: metrics.score_slices(metric, garments, bootstrap) for name, metric in metrics.KEYPOINT_METRICS.items()
    }
    return {
        name: {
            group: part.to_dict() if group == "overall" else {slice_: score.to_dict() for slice_, score in part.items()}
            for group, part in groups.items()
        }
        for name, groups in scores.items()
    }


def _count_by_photo(garments, rows, num_photos):
    """Count the garments of each photo among `rows`, bool `(G,)`; int `(P,)`."""
    return np.bincount(garments.photo_index[rows], minlength=num_photos)


def _recall_slices(garments, num_photos, bootstrap):
    """Return recall with the count of garments, overall, by garment type and by variation."""

    def recall(rows):
        num_found = _count_by_photo(garments, rows & garments.matched, num_photos)
        return metrics.rate(num_found, _count_by_photo(garments, rows, num_photos), bootstrap)

    return {
        "overall": recall(np.ones(len(garments), dtype=bool)),
        "garment_type": {name: recall(garments.garment_types == t) for t, name in GARMENT_TYPE_NAMES.items()},
        "variation": {v.name.lower(): recall(garments.variations == v) for v in Variation},
    }
