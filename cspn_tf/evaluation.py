"""From labels and predictions of many photos to one dict of numbers, each with the count behind it.

Nothing here reads or writes files, and nothing knows what made the predictions. Coordinates are photo pixels.

Letters in shapes: G labelled garments of a photo, D detections of a photo, N rows of the served outputs.
"""

import contextlib
import dataclasses
import io

import numpy as np

from cspn_tf import metrics
from cspn_tf.garments import GARMENT_TYPE_NAMES, NUM_KEYPOINTS, GarmentType, Variation

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
        image_size: height, width; 0, 0 where the status is not 0.
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


def evaluate_predictions(truths, predictions) -> dict:
    """Measure detections and their keypoints, as they are served.

    Args:
        truths: list of `PhotoTruth`.
        predictions: list of `PhotoPrediction`, one for each of `truths`.

    Returns:
        A JSON-ready dict; a measure of nothing is None.
            num_photos, num_failed_photos (status not 0), num_garments, num_keypoints (labelled), num_detections
            detection_recall_50, miss_rate: shares of the garments that a detection did, did not find
            precision_50: share of the detections that found a garment
            false_positives_per_photo: mean number of detections that found no labelled garment
            pck_02, auc, ne_bbox, ne_garment, ne_longside, epe: see `cspn_tf.metrics`, overall
            ne_garment_skipped: garments left out of `ne_garment`
            detected_boxes: measure to overall, garment_type, variation and visibility, see `evaluate_keypoints`
            box_errors: how far the detections' boxes are off, see `measure_box_errors`
            detection: ap, ap_50, ap_75, ar of COCO, with ap by garment type; recall_50 by garment type and variation
    """
    garments = _concatenate([matched_garments(t, p) for t, p in zip(truths, predictions, strict=True)])
    keypoints = _score_keypoints(garments)
    num_detections = sum(len(prediction.scores) for prediction in predictions)
    num_found = int(garments.matched.sum())
    num_false = num_detections - num_found
    recall = metrics.detection_recall(garments.matched)
    return {
        "num_photos": len(truths),
        "num_failed_photos": sum(prediction.status != 0 for prediction in predictions),
        "num_garments": len(garments),
        "num_keypoints": int(garments.labelled.sum()),
        "num_detections": num_detections,
        "detection_recall_50": recall,
        "miss_rate": None if recall is None else 1.0 - recall,
        "precision_50": num_found / num_detections if num_detections else None,
        "false_positives_per_photo": num_false / len(truths) if truths else None,
        **{name: scores["overall"]["value"] for name, scores in keypoints.items()},
        "ne_garment_skipped": keypoints["ne_garment"]["overall"]["skipped"],
        "detected_boxes": keypoints,
        "box_errors": measure_box_errors(truths, predictions),
        "detection": {**_coco_scores(truths, predictions), "recall_50": _recall_slices(garments)},
    }


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
    pairs = []
    for truth, prediction in zip(truths, predictions, strict=True):
        matches = match_photo(truth, prediction)
        found = matches >= 0
        pairs.append(np.stack([truth.boxes_xyxy[found], prediction.boxes_xyxy[matches[found]]], axis=1))
    boxes = np.concatenate(pairs) if pairs else np.zeros((0, 2, 4))
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


def evaluate_keypoints(truths, keypoints_xy) -> dict:
    """Measure keypoints that were predicted in the labelled boxes.

    Args:
        truths: list of `PhotoTruth`.
        keypoints_xy: list of float `(G, 8, 2)`, one for each of `truths`, or None for a photo that could not be read:
            its garments are then missed.

    Returns:
        A JSON-ready dict: each name of `metrics.KEYPOINT_METRICS` to `overall` and to the slices by `garment_type`,
        `variation` and `visibility`; each with `value`, `count`, `skipped` and `per_keypoint`.
    """
    parts = []
    for truth, predicted in zip(truths, keypoints_xy, strict=True):
        num = len(truth.garment_types)
        found = np.full(num, predicted is not None)
        parts.append(_garments(truth, np.zeros((num, NUM_KEYPOINTS, 2)) if predicted is None else predicted, found))
    return _score_keypoints(_concatenate(parts))


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
    return metrics.Garments(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _score_keypoints(garments):
    scores = {name: metrics.score_slices(metric, garments) for name, metric in metrics.KEYPOINT_METRICS.items()}
    return {
        name: {
            group: part.to_dict() if group == "overall" else {slice_: score.to_dict() for slice_, score in part.items()}
            for group, part in groups.items()
        }
        for name, groups in scores.items()
    }


def _recall_slices(garments):
    """Return recall with the count of garments, overall, by garment type and by variation."""

    def recall(rows):
        return {"value": metrics.detection_recall(garments.matched[rows]), "count": int(rows.sum())}

    return {
        "overall": recall(np.ones(len(garments), dtype=bool)),
        "garment_type": {name: recall(garments.garment_types == t) for t, name in GARMENT_TYPE_NAMES.items()},
        "variation": {v.name.lower(): recall(garments.variations == v) for v in Variation},
    }


def _coco_scores(truths, predictions):
    """Return COCO's average precision and recall of the boxes: the mean over the garment types that are labelled."""
    counts = [sum(int((truth.garment_types == t).sum()) for truth in truths) for t in GarmentType]
    labelled = [index for index, count in enumerate(counts) if count]
    precision, recall = _coco_precision_and_recall(truths, predictions)
    return {
        "ap": _mean(precision[:, :, labelled]),
        "ap_50": _mean(precision[0][:, labelled]),
        "ap_75": _mean(precision[5][:, labelled]),
        "ar": _mean(recall[:, labelled]),
        "ap_by_garment_type": {
            GARMENT_TYPE_NAMES[t]: {"value": _mean(precision[:, :, [k]]) if count else None, "count": count}
            for k, (t, count) in enumerate(zip(GarmentType, counts, strict=True))
        },
    }


def _mean(values):
    return float(values.mean()) if values.size else None


def _coco_precision_and_recall(truths, predictions):
    """Run pycocotools, whose quirks end here: it prints as it goes and takes no empty list of results.

    Returns:
        precision: float `(10, 101, 3)`, by overlap from 0.5 to 0.95, by recall from 0 to 1, by garment type.
        recall: float `(10, 3)`, by overlap and garment type.
        Both are -1 for a garment type that is not labelled.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    labels, results = _coco_labels(truths), _coco_results(predictions)
    if not labels or not results:
        return np.zeros((10, 101, 3)), np.zeros((10, 3))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": image_id} for image_id in range(1, len(truths) + 1)],
            "annotations": labels,
            "categories": [{"id": int(t), "name": name} for t, name in GARMENT_TYPE_NAMES.items()],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    # The last two axes are the area, of which 0 is all, and the number of detections, of which the last is 100.
    return evaluation.eval["precision"][..., 0, -1], evaluation.eval["recall"][..., 0, -1]


def _coco_labels(truths):
    """Return COCO annotations; ids start at 1 because pycocotools writes 0 for "no match"."""
    rows = [
        (image_id, garment_type, box)
        for image_id, truth in enumerate(truths, start=1)
        for garment_type, box in zip(truth.garment_types, truth.boxes_xyxy, strict=True)
    ]
    return [{**_coco_box(*row), "id": label_id, "iscrowd": 0} for label_id, row in enumerate(rows, start=1)]


def _coco_results(predictions):
    return [
        {**_coco_box(image_id, garment_type, box), "score": float(score)}
        for image_id, photo in enumerate(predictions, start=1)
        for garment_type, box, score in zip(photo.garment_types, photo.boxes_xyxy, photo.scores, strict=True)
    ]


def _coco_box(image_id, garment_type, box_xyxy):
    x_min, y_min, x_max, y_max = (float(side) for side in box_xyxy)
    return {
        "image_id": image_id,
        "category_id": int(garment_type),
        "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
        "area": (x_max - x_min) * (y_max - y_min),
    }
