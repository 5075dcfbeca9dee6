"""Keypoint metrics: NE, EPE, PCK and AUC, and rates over photos.

Definitions (e is the distance in photo pixels, w and h are the sides of the ground-truth box):

    name          error of one keypoint      keypoints that count              average
    ne_garment    e / sleeve or waist pair   visible, of found garments        pooled
    ne_bbox       |(dx / w, dy / h)|         visible, of found garments        per slot, then over the slots
    ne_longside   e / max(w, h)              visible, of found garments        pooled
    epe           e                          labelled, of found garments       pooled
    pck_02        e / max(w, h) <= 0.2       labelled, a missed garment fails  pooled
    pck_02_found  e / max(w, h) <= 0.2       labelled, of found garments       pooled
    auc           area under pck, 0 to 0.5   labelled, a missed garment fails  pooled

"Labelled" means visible or occluded, "found" means detected, that is matched with a detection. Keypoints without
coordinates never count. A garment without a usable normaliser (its pair is not fully labelled or under 10 pixels apart;
its box is empty) is left out and reported as skipped.

Missed garments are treated alike for every model: their keypoints are failures in pck and auc. The errors, ne and epe,
cover found garments only, so read them together with the miss rate.

`ne_garment` is the paper's equation 3. `ne_bbox` is the measure of the published DeepFashion tables.

Every metric is a function of a `cspn_tf.evaluation.matching.Matched` that returns three arrays `(G, 8)`: the keypoints'
values, float or bool; which of them count; and which are skipped, that is would count if their garment had a usable
normaliser. Values that do not count are arbitrary. Coordinates are float32 as in records and served outputs; the
arithmetic is float64.

Letters in shapes: G labelled garments of all photos, 8 keypoint slots.
"""

import numpy as np

from cspn_tf.evaluation.bootstrap import percentile_interval
from cspn_tf.garments import (
    GARMENT_TYPE_NAMES,
    KEYPOINT_ABBREVIATIONS,
    MIN_NORMALISER_DISTANCE,
    NORMALISER_SLOTS,
    GarmentType,
    Variation,
    Visibility,
)

# Row t is the normalising pair of garment type t; row 0 is unused.
_NORMALISER_SLOTS = np.array([(0, 0), *(NORMALISER_SLOTS[garment_type] for garment_type in GarmentType)])

# Fractions of the box's long side.
PCK_THRESHOLD = 0.2
AUC_THRESHOLDS = np.linspace(0.0, 0.5, 21)


# Keypoints -----------------------------------------------------------------------------------------------------------


def ne_garment(matched):
    """Return the paper's normalised errors: distance over the distance of the garment's sleeve or waistline pair.

    Source: the paper's equation 3. It does not say how to treat a tiny or half-labelled pair; we skip such garments.
    """
    return _errors_of_found(matched, _pair_distances(matched.labels), matched.labels.visible)


def ne_bbox(matched):
    """Return the normalised errors of the published DeepFashion tables: x over box width, y over box height."""
    return _errors_of_found(matched, _box_sides(matched.labels), matched.labels.visible)


def ne_longside(matched):
    """Return the normalised errors over the box's long side."""
    return _errors_of_found(matched, long_sides(matched.labels), matched.labels.visible)


def epe(matched):
    """Return the end-point errors: distances in photo pixels."""
    return _errors_of_found(matched, np.ones((len(matched.labels), 1)), matched.labels.labelled)


def pck(matched):
    """Return which keypoints are correct: within `PCK_THRESHOLD` times the box's long side, inclusive."""
    errors, counted, skipped = _errors(matched, long_sides(matched.labels), matched.labels.labelled)
    return errors <= PCK_THRESHOLD, counted, skipped


def pck_of_found(matched):
    """Return `pck` of the keypoints of found garments only; to be read together with the miss rate."""
    errors, counted, skipped = _errors_of_found(matched, long_sides(matched.labels), matched.labels.labelled)
    return errors <= PCK_THRESHOLD, counted, skipped


def auc(matched):
    """Return the area under the curve of `pck` over its threshold, by the trapezoid rule, over its maximum.

    A keypoint's curve is a step; the area under the mean curve is the mean of the keypoints' areas.
    """
    errors, counted, skipped = _errors(matched, long_sides(matched.labels), matched.labels.labelled)
    correct = errors[..., np.newaxis] <= AUC_THRESHOLDS
    # The thresholds are equally spaced, so that the trapezoids' mean height is the area over its maximum.
    return (correct[..., 1:].astype(float) + correct[..., :-1]).mean(axis=-1) / 2.0, counted, skipped


KEYPOINT_METRICS = {
    "pck_02": pck,
    "pck_02_found": pck_of_found,
    "auc": auc,
    "ne_bbox": ne_bbox,
    "ne_garment": ne_garment,
    "ne_longside": ne_longside,
    "epe": epe,
}
LOWER_IS_BETTER = ("ne_bbox", "ne_garment", "ne_longside", "epe")


def evaluate_keypoints(matched, bootstrap=None) -> dict:
    """Compute all keypoint metrics, overall and by slice.

    Args:
        matched, bootstrap: as for `score`.

    Returns:
        A JSON-ready dict: each name of `KEYPOINT_METRICS` to `overall`, a score, and to each group of `slices`, slice
        name to score; see `score`.
    """
    groups = slices(matched.labels)
    return {
        name: {
            "overall": score(name, matched, bootstrap),
            **{
                group: {slice_: score(name, matched, bootstrap, mask) for slice_, mask in masks.items()}
                for group, masks in groups.items()
            },
        }
        for name in KEYPOINT_METRICS
    }


def slices(labels) -> dict:
    """Return the masks of the slices by garment type, by variation and by visibility.

    Args:
        labels: `Garments` `(G,)` with visibility and variations.

    Returns:
        A dict of group name to a dict of slice name to mask, bool `(G, 1)` or `(G, 8)`. The names are the same for
        every dataset; a slice may be empty.
    """
    types = labels.types[:, np.newaxis]
    variations = labels.variations[:, np.newaxis]
    return {
        "garment_type": {name: types == garment_type for garment_type, name in GARMENT_TYPE_NAMES.items()},
        "variation": {variation.name.lower(): variations == variation for variation in Variation},
        "visibility": {
            visibility.name.lower(): labels.visibility == visibility
            for visibility in (Visibility.VISIBLE, Visibility.OCCLUDED)
        },
    }


def score(name, matched, bootstrap=None, among=True) -> dict:
    """Average one metric, overall and by keypoint slot.

    Args:
        name: one of `KEYPOINT_METRICS`.
        matched: a `Matched`.
        bootstrap: the `cspn_tf.evaluation.bootstrap.Bootstrap` over the photos for the intervals; None for no
            intervals.
        among: bool, broadcastable to `(G, 8)`: only these keypoints count.

    Returns:
        A JSON-ready dict:
            value: the measure, or None if `count` is 0
            count: number of keypoints in `value`
            skipped: garments left out because they have no usable normaliser, though some of their keypoints would
                count
            interval: low and high of the 95 % interval of `value`; None without a value or without a bootstrap
            per_keypoint: abbreviation to the same four of one slot, where `skipped` counts keypoints
    """
    values, counted, skipped = KEYPOINT_METRICS[name](matched)
    counted, skipped = counted & among, skipped & among
    columns = np.concatenate([np.where(counted, values, 0.0), counted], axis=1)
    intervals = [None] * (1 + len(KEYPOINT_ABBREVIATIONS))
    if bootstrap is not None and counted.any():
        resampled = _averages(name, bootstrap.sums(matched.photo_index, columns))
        intervals = [percentile_interval(values) for values in resampled.T]
    parts = zip(
        _averages(name, columns.sum(axis=0)),
        [counted.sum(), *counted.sum(axis=0)],
        [skipped.any(axis=1).sum(), *skipped.sum(axis=0)],
        intervals,
        strict=True,
    )
    overall, *slots = (
        {"value": float(value) if count else None, "count": int(count), "skipped": int(skips), "interval": interval}
        for value, count, skips, interval in parts
    )
    return {**overall, "per_keypoint": dict(zip(KEYPOINT_ABBREVIATIONS, slots, strict=True))}


def _averages(name, sums_and_counts):
    """Return the average of all slots and then of each, `(..., 9)`, from their sums and counts, `(..., 16)`."""
    sums, counts = np.split(sums_and_counts, 2, axis=-1)
    of_slots = _ratio(sums, counts)
    if name == "ne_bbox":
        overall = _ratio(np.nansum(of_slots, axis=-1), (counts > 0).sum(axis=-1))
    else:
        overall = _ratio(sums.sum(axis=-1), counts.sum(axis=-1))
    return np.concatenate([overall[..., np.newaxis], of_slots], axis=-1)


def _pair_distances(labels):
    """Return the distance of each garment's normalising pair, `(G, 1)`; NaN where it is unusable."""
    slots = _NORMALISER_SLOTS[labels.types]
    pair_xy = np.take_along_axis(labels.keypoints_xy.astype(float), slots[..., np.newaxis], axis=1)
    distances = np.linalg.norm(pair_xy[:, 0] - pair_xy[:, 1], axis=-1)
    usable = np.take_along_axis(labels.labelled, slots, axis=1).all(axis=1) & (distances >= MIN_NORMALISER_DISTANCE)
    return np.where(usable, distances, np.nan)[:, np.newaxis]


def _box_sides(labels):
    """Return width and height of each ground-truth box, `(G, 2)`; both NaN if either is not positive."""
    boxes = labels.boxes_xyxy.astype(float)
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.where((sides > 0).all(axis=1, keepdims=True), sides, np.nan)


def long_sides(labels):
    """Return the long side of each ground-truth box, `(G, 1)`; NaN for an empty box."""
    return _box_sides(labels).max(axis=1, keepdims=True)


def _errors(matched, normalisers, eligible):
    """Return a metric's arrays for errors over normalisers, `(G, 2)` for x and y or `(G, 1)`; infinite if missed."""
    usable = np.isfinite(normalisers).all(axis=1, keepdims=True)
    difference = matched.predicted.keypoints_xy.astype(float) - matched.labels.keypoints_xy
    # Coordinates that do not count may be NaN: keep them out of the arithmetic.
    difference = np.where((eligible & usable)[..., np.newaxis], difference, 0.0)
    errors = np.linalg.norm(difference / np.where(usable, normalisers, 1.0)[:, np.newaxis], axis=-1)
    return np.where(matched.found[:, np.newaxis], errors, np.inf), eligible & usable, eligible & ~usable


def _errors_of_found(matched, normalisers, eligible):
    return _errors(matched, normalisers, eligible & matched.found[:, np.newaxis])


def _ratio(sums, counts):
    """Divide, elementwise; NaN where the count is 0."""
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


# Rates ---------------------------------------------------------------------------------------------------------------


def rate(photo_index, hits, bootstrap=None) -> dict:
    """Measure a rate, such as recall: the mean of `hits` over garments, detections or photos.

    Args:
        photo_index: int `(N,)`, the photo of each of them.
        hits: bool or float `(N,)`.
        bootstrap: as for `score`.

    Returns:
        A JSON-ready dict: value, the mean, or None if N is 0; count, N; interval, low and high of the 95 % interval of
        value, or None without a value or without a bootstrap.
    """
    interval = None
    if bootstrap is not None and len(hits):
        resampled = bootstrap.sums(photo_index, np.stack([hits, np.ones(len(hits))], axis=1))
        interval = percentile_interval(_ratio(*resampled.T))
    return {"value": float(np.mean(hits)) if len(hits) else None, "count": len(hits), "interval": interval}
