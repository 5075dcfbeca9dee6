"""Agreement of predicted and labelled garment lengths, by the Bland-Altman method."""

import numpy as np

from cspn_tf.evaluation.keypoint_metrics import long_sides
from cspn_tf.garments import GARMENT_TYPE_NAMES, NUM_KEYPOINTS
from cspn_tf.lengths import LENGTHS_OF_TYPE, lengths_of


def measure_lengths(matched) -> dict:
    """Compare predicted with labelled lengths, over the detected garments.

    Args:
        matched: a `cspn_tf.evaluation.matching.Matched`.

    Returns:
        A JSON-ready dict, by garment type and name of the length; a measure without data is None.
            count: detected garments whose length is measurable in both label and prediction
            bias: mean of the relative error: predicted minus labelled, over the labelled length
            limits: low and high limit of agreement, bias -+ 1.96 standard deviations
            median_error: median of the absolute relative error
            within_sd: share of the errors within one predicted standard deviation; 0.68 if errors are normal and the
                predicted standard deviations are right
            num_labelled: detected garments whose length is measurable in the label
            not_measurable: share of these whose length is not measurable in the prediction

    Source: Bland and Altman 1986, limits of agreement.
    """
    measured = {}
    for garment_type, type_name in GARMENT_TYPE_NAMES.items():
        rows = np.flatnonzero(matched.found & (matched.labels.types == garment_type))
        pairs = [(lengths_of(matched.labels[row]), lengths_of(matched.predicted[row])) for row in rows]
        measured[type_name] = {
            name: _compare([(label[name], predicted[name]) for label, predicted in pairs])
            for name in LENGTHS_OF_TYPE[garment_type]
        }
    return measured


def _compare(pairs):
    labelled = [(label, predicted) for label, predicted in pairs if label.measurable and label.pixels]
    both = [(label.pixels, found.pixels, found.pixels_sd) for label, found in labelled if found.measurable]
    truth, measured, sds = np.array(both, float).reshape(-1, 3).T
    errors = (measured - truth) / truth
    bias, spread = (float(errors.mean()), float(errors.std())) if len(errors) else (None, None)
    return {
        "count": len(errors),
        "bias": bias,
        "limits": None if bias is None else [bias - 1.96 * spread, bias + 1.96 * spread],
        "median_error": float(np.median(np.abs(errors))) if len(errors) else None,
        "within_sd": _share(np.abs(measured - truth) <= sds),
        "num_labelled": len(labelled),
        "not_measurable": _share([not predicted.measurable for _, predicted in labelled]),
    }


def _share(hits):
    return float(np.mean(hits)) if len(hits) else None


def keypoint_sds(matched) -> dict:
    """Return the error of visible keypoints along one axis, as a robust standard deviation.

    These are the values that `cspn_tf.lengths.KEYPOINT_SDS` holds: the 68.27th percentile of the absolute error. For
    normally distributed errors it equals the standard deviation, but outliers do not inflate it.

    Args:
        matched: a `Matched`.

    Returns:
        A dict: name of the garment type to 8 numbers, one per keypoint slot, as fractions of the long side of the
        ground-truth box; 0 without data.
    """
    labels = matched.labels
    sides = long_sides(labels)
    errors = np.abs(matched.predicted.keypoints_xy - labels.keypoints_xy) / sides[:, np.newaxis]
    counted = labels.visible & (matched.found & np.isfinite(sides[:, 0]))[:, np.newaxis]
    return {
        type_name: [
            round(float(np.percentile(errors[rows, slot], 68.27)), 4) if rows.any() else 0.0
            for slot in range(NUM_KEYPOINTS)
            for rows in [counted[:, slot] & (labels.types == garment_type)]
        ]
        for garment_type, type_name in GARMENT_TYPE_NAMES.items()
    }
