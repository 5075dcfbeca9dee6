"""COCO average precision of boxes and of keypoints, computed by pycocotools.

A detection is a true positive if its overlap with an unmatched labelled garment of the same type reaches the threshold.
The overlap is intersection over union for boxes, and object keypoint similarity (OKS) for keypoints:

    OKS = mean over the labelled keypoints of  exp(-d^2 / (2 area (2 sigma)^2))

with d the distance in pixels. Labelled keypoints are the visible and the occluded ones; garments without any are left
out. `area` is that of the ground-truth box: COCO uses the area of the mask, and garments have no masks.

COCO's sigmas are for the body keypoints of a person, and none have been published for these eight keypoints. We use one
for all, 0.05 of the square root of the box's area. It equals the mean of COCO's sigmas, 0.067, on a mask that fills a
little over half of its box. An OKS of 0.5 is then a distance of 12 % of that square root, an OKS of 0.75 one of 8 %.
"""

import contextlib
import io

import numpy as np

from cspn_tf.garments import GARMENT_TYPE_NAMES, NUM_KEYPOINTS, GarmentType

OKS_SIGMA = 0.05


def box_precision(matched) -> dict:
    """Measure average precision and recall of the boxes.

    Args:
        matched: a `cspn_tf.evaluation.matching.Matched`; pycocotools does its own matching.

    Returns:
        A JSON-ready dict; a measure without data is None.
            ap: average precision, averaged over the thresholds 0.5, 0.55, ..., 0.95; best 100 detections per photo
            ap_50, ap_75: average precision at threshold 0.5, 0.75
            ar: recall, averaged over the same thresholds
            each of these is the mean over the labelled garment types
            ap_by_garment_type: for each type, value and count of labelled garments
    """
    return _summary(matched, matched.labels.types, "bbox")


def keypoint_precision(matched) -> dict:
    """Measure average precision and recall of the keypoints, by OKS.

    Args:
        matched: as for `box_precision`.

    Returns:
        As `box_precision`, with the 20 highest-scoring detections of each photo; counts are of garments with labelled
        keypoints. Also oks_sigma, the constant.
    """
    types = matched.labels.types[matched.labels.labelled.any(axis=1)]
    return {"oks_sigma": OKS_SIGMA, **_summary(matched, types, "keypoints")}


def _summary(matched, types, overlap):
    """Return the means over the garment types in `types`, the types of all garments that are evaluated."""
    counts = [int((types == t).sum()) for t in GarmentType]
    labelled = np.flatnonzero(counts)
    precision, recall = _precision_and_recall(matched, overlap)
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


def _precision_and_recall(matched, overlap):
    """Run pycocotools, and hide two of its quirks: it prints to stdout and rejects an empty list of results.

    Args:
        matched: as for `box_precision`.
        overlap: "bbox" or "keypoints".

    Returns:
        precision: float `(10, 101, 3)`, by threshold from 0.5 to 0.95, recall from 0 to 1, and garment type.
        recall: float `(10, 3)`, by threshold and garment type.
        Both are -1 for a garment type without labels.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    labels, results = [], []
    for image_id, (truth, result) in enumerate(zip(matched.truths, matched.results, strict=True), start=1):
        # Ids start at 1 because pycocotools writes 0 for "no match".
        labels += truth.to_coco_annotations(image_id, first_id=len(labels) + 1)
        results += result.garments.to_coco_results(image_id)
    if not results:
        return np.zeros((10, 101, len(GarmentType))), np.zeros((10, len(GarmentType)))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": image_id} for image_id in range(1, matched.num_photos + 1)],
            "annotations": labels,
            "categories": [{"id": int(t), "name": name} for t, name in GARMENT_TYPE_NAMES.items()],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), overlap)
        parameters = evaluation.params
        parameters.kpt_oks_sigmas = np.full(NUM_KEYPOINTS, OKS_SIGMA)
        # Only the first area range, which is all sizes.
        parameters.areaRng, parameters.areaRngLbl = parameters.areaRng[:1], parameters.areaRngLbl[:1]
        evaluation.evaluate()
        evaluation.accumulate()
    # The last two axes are the area range, of which there is one, and the detection limit, the last being the highest.
    return evaluation.eval["precision"][..., 0, -1], evaluation.eval["recall"][..., 0, -1]
