"""COCO's average precision of boxes and of keypoints, as pycocotools measures it.

A detection is right if it overlaps a free labelled garment of its own type enough. Boxes overlap by intersection over
union, keypoints by object keypoint similarity, OKS:

    OKS = mean over the labelled keypoints of  exp(-d^2 / (2 area (2 sigma)^2))

with d the distance in pixels. Labelled keypoints are the visible and the occluded ones; a garment without any takes no
part. `area` is the labelled box's: COCO's is the mask's, and garments have no masks.

COCO's sigmas are those of a person's joints, and nobody has published any for these eight keypoints. Ours is one for
all, 0.05 of the square root of the box's area: what the mean of COCO's, 0.067, is for a mask that fills a little over
half of its box. An OKS of 0.5 is then a distance of 12 % of that root, and one of 0.75 a distance of 8 %.
"""

import contextlib
import io

import numpy as np

from cspn_tf.garments import GARMENT_TYPE_NAMES, NUM_KEYPOINTS, GarmentType

OKS_SIGMA = 0.05


def box_precision(matched) -> dict:
    """Measure average precision and recall of the boxes.

    Args:
        matched: a `cspn_tf.evaluation.matching.Matched`; COCO pairs labels and detections itself.

    Returns:
        A JSON-ready dict; a measure of nothing is None.
            ap: mean of the precisions at overlaps 0.5, 0.55, ..., 0.95, of the best 100 detections of a photo
            ap_50, ap_75: precision at the overlap 0.5, 0.75
            ar: recall, likewise the mean over the overlaps
            each the mean over the garment types that are labelled
            ap_by_garment_type: type to value, and count of labelled garments
    """
    return _summary(matched, matched.labels.types, "bbox")


def keypoint_precision(matched) -> dict:
    """Measure average precision and recall of the keypoints, by OKS.

    Args:
        matched: as for `box_precision`.

    Returns:
        As `box_precision`, of the best 20 detections of a photo; counts are of garments with labelled keypoints. And
        oks_sigma: the constant.
    """
    types = matched.labels.types[matched.labels.labelled.any(axis=1)]
    return {"oks_sigma": OKS_SIGMA, **_summary(matched, types, "keypoints")}


def _summary(matched, types, overlap):
    """Return the means over the garment types that are among `types`, those of the garments that take part."""
    counts = [int((types == t).sum()) for t in GarmentType]
    labelled = [index for index, count in enumerate(counts) if count]
    precision, recall = _precision_and_recall(matched, overlap) if labelled else _nothing_found()
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


def _precision_and_recall(matched, overlap):
    """Run pycocotools, whose quirks end here: it prints as it goes and takes no empty list of results.

    Args:
        matched: as for `box_precision`.
        overlap: "bbox" or "keypoints".

    Returns:
        precision: float `(10, 101, 3)`, by overlap from 0.5 to 0.95, by recall from 0 to 1, by garment type.
        recall: float `(10, 3)`, by overlap and garment type.
        Both are -1 for a garment type that is not labelled.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    labels, results = [], []
    for image_id, (truth, result) in enumerate(zip(matched.truths, matched.results, strict=True), start=1):
        # Ids start at 1 because pycocotools writes 0 for "no match".
        labels += truth.to_coco_annotations(image_id, first_id=len(labels) + 1)
        results += result.garments.to_coco_results(image_id)
    if not results:
        return _nothing_found()
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
        # Garments of all sizes: the first of the ranges of areas.
        parameters.areaRng, parameters.areaRngLbl = parameters.areaRng[:1], parameters.areaRngLbl[:1]
        evaluation.evaluate()
        evaluation.accumulate()
    # The last two axes are the area, of which there is one, and the number of detections, of which the last is most.
    return evaluation.eval["precision"][..., 0, -1], evaluation.eval["recall"][..., 0, -1]
