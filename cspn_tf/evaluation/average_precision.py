"""COCO's average precision of boxes and of keypoints, as pycocotools measures it.

A detection is right if it overlaps a free labelled garment of its own type enough. Boxes overlap by intersection over
union, keypoints by object keypoint similarity, OKS:

    OKS = mean over the labelled keypoints of  exp(-d^2 / (2 area (2 sigma)^2))

with d the distance in pixels. Labelled keypoints are the visible and the occluded ones; a garment without any takes no
part. `area` is the labelled box's: COCO's is the mask's, and garments have no masks.

COCO's sigmas are those of a person's joints, and nobody has published any for these eight keypoints. Ours is one for
all, 0.05 of the square root of the box's area: what the mean of COCO's, 0.067, is for a mask that fills a little over
half of its box. An OKS of 0.5 is then a distance of 12 % of that root, and one of 0.75 a distance of 8 %.

Letters in shapes: G labelled garments of a photo, D detections of a photo.
"""

import contextlib
import io

import numpy as np

from cspn_tf.garments import GARMENT_TYPE_NAMES, NUM_KEYPOINTS, GarmentType, Visibility

OKS_SIGMA = 0.05


def box_precision(truths, predictions) -> dict:
    """Measure average precision and recall of the boxes.

    Args:
        truths: list of `cspn_tf.evaluation.measures.PhotoTruth`.
        predictions: list of `cspn_tf.evaluation.measures.PhotoPrediction`, one for each of `truths`.

    Returns:
        A JSON-ready dict; a measure of nothing is None.
            ap: mean of the precisions at overlaps 0.5, 0.55, ..., 0.95, of the best 100 detections of a photo
            ap_50, ap_75: precision at the overlap 0.5, 0.75
            ar: recall, likewise the mean over the overlaps
            each the mean over the garment types that are labelled
            ap_by_garment_type: type to value, and count of labelled garments
    """
    counts = [sum(int((truth.garment_types == t).sum()) for truth in truths) for t in GarmentType]
    return _summary(counts, truths, predictions, "bbox")


def keypoint_precision(truths, predictions) -> dict:
    """Measure average precision and recall of the keypoints, by OKS.

    Args:
        truths, predictions: as for `box_precision`.

    Returns:
        As `box_precision`, of the best 20 detections of a photo; counts are of garments with labelled keypoints. And
        oks_sigma: the constant.
    """
    counts = [
        sum(int(((truth.garment_types == t) & (truth.visibility > 0).any(axis=1)).sum()) for truth in truths)
        for t in GarmentType
    ]
    return {"oks_sigma": OKS_SIGMA, **_summary(counts, truths, predictions, "keypoints")}


def _summary(counts, truths, predictions, overlap):
    """Return the means over the garment types with a count."""
    labelled = [index for index, count in enumerate(counts) if count]
    precision, recall = _precision_and_recall(truths, predictions, overlap) if labelled else _nothing_found()
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


def _nothing_found():
    return np.zeros((10, 101, len(GarmentType))), np.zeros((10, len(GarmentType)))


def _precision_and_recall(truths, predictions, overlap):
    """Run pycocotools, whose quirks end here: it prints as it goes and takes no empty list of results.

    Args:
        truths, predictions: as for `box_precision`.
        overlap: "bbox" or "keypoints".

    Returns:
        precision: float `(10, 101, 3)`, by overlap from 0.5 to 0.95, by recall from 0 to 1, by garment type.
        recall: float `(10, 3)`, by overlap and garment type.
        Both are -1 for a garment type that is not labelled.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    results = _results(predictions)
    if not results:
        return _nothing_found()
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": image_id} for image_id in range(1, len(truths) + 1)],
            "annotations": _labels(truths),
            "categories": [{"id": int(t), "name": name} for t, name in GARMENT_TYPE_NAMES.items()],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), overlap)
        parameters = evaluation.params
        parameters.kpt_oks_sigmas = np.full(NUM_KEYPOINTS, OKS_SIGMA)
        # Garments of all sizes: the first of the ranges of areas.
        parameters.areaRng, parameters.areaRngLbl = parameters.areaRng[:1], parameters.areaRngLbl[:1]
        evaluation.evaluate()
        evaluation.accumulate()
    # The last two axes are the area, of which there is one, and the number of detections, of which the last is most.
    return evaluation.eval["precision"][..., 0, -1], evaluation.eval["recall"][..., 0, -1]


def _labels(truths):
    """Return COCO annotations; ids start at 1 because pycocotools writes 0 for "no match"."""
    rows = [
        (image_id, *row)
        for image_id, truth in enumerate(truths, start=1)
        for row in zip(truth.garment_types, truth.boxes_xyxy, truth.keypoints_xy, truth.visibility, strict=True)
    ]
    return [
        {
            **_entry(image_id, garment_type, box_xyxy, keypoints_xy, np.maximum(visibility, Visibility.ABSENT)),
            "id": label_id,
            "iscrowd": 0,
            "num_keypoints": int((visibility > 0).sum()),
        }
        for label_id, (image_id, garment_type, box_xyxy, keypoints_xy, visibility) in enumerate(rows, start=1)
    ]


def _results(predictions):
    return [
        {**_entry(image_id, garment_type, box_xyxy, keypoints_xy, keypoint_scores), "score": float(score)}
        for image_id, photo in enumerate(predictions, start=1)
        for garment_type, box_xyxy, keypoints_xy, keypoint_scores, score in zip(
            photo.garment_types,
            photo.boxes_xyxy,
            photo.keypoints_xy,
            photo.keypoint_scores,
            photo.scores,
            strict=True,
        )
    ]


def _entry(image_id, garment_type, box_xyxy, keypoints_xy, third):
    """Return what annotations and results share; `third` `(8,)` is a keypoint's third number."""
    x_min, y_min, x_max, y_max = (float(side) for side in box_xyxy)
    return {
        "image_id": image_id,
        "category_id": int(garment_type),
        "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
        "area": (x_max - x_min) * (y_max - y_min),
        "keypoints": np.concatenate([keypoints_xy, np.reshape(third, (-1, 1))], axis=1).ravel().tolist(),
    }
