"""How far predicted keypoints are from labelled ones.

The definitions, side by side (e is the distance in photo pixels, w and h are the sides of the labelled box):

    name          error of one keypoint      keypoints that count              average
    ne_garment    e / sleeve or waist pair   visible, of found garments        pooled
    ne_bbox       |(dx / w, dy / h)|         visible, of found garments        per slot, then over the slots
    ne_longside   e / max(w, h)              visible, of found garments        pooled
    epe           e                          labelled, of found garments       pooled
    pck           e / max(w, h) <= 0.2       labelled, a missed garment fails  pooled
    pck_found     e / max(w, h) <= 0.2       labelled, of found garments       pooled
    auc           area under pck, 0 to 0.5   labelled, a missed garment fails  pooled

"Labelled" is visible or occluded, "found" is matched by a detection; keypoints without coordinates never count. A
garment whose normaliser cannot be used (its pair is not fully labelled or under 10 pixels; its box is empty) is left
out and reported as skipped.

A missed garment counts in the same way whatever made the predictions: its keypoints are failures in pck and auc. The
errors, ne and epe, are of garments that were found, and say nothing without the miss rate beside them.

`ne_garment` is the paper's equation 3. `ne_bbox` is what the published tables of DeepFashion use.

Every metric takes a `cspn_tf.evaluation.matching.Matched`, and a `cspn_tf.evaluation.bootstrap.Bootstrap` if its
intervals are wanted. Coordinates are float32 as in records and served outputs; the arithmetic is float64.

Letters in shapes: G labelled garments of all photos, P photos, 8 keypoint slots.
"""

import dataclasses

import numpy as np

from cspn_tf.evaluation.bootstrap import percentile_interval
from cspn_tf.garments import (
    GARMENT_TYPE_NAMES,
    KEYPOINT_ABBREVIATIONS,
    MIN_NORMALISER_DISTANCE,
    NORMALISER_SLOTS,
    NUM_KEYPOINTS,
    GarmentType,
    Variation,
    Visibility,
)

# Row t is the normalising pair of garment type t; row 0 is no garment's.
_NORMALISER_SLOTS = np.array([(0, 0), *(NORMALISER_SLOTS[garment_type] for garment_type in GarmentType)])

PCK_THRESHOLD = 0.2
AUC_MAX_THRESHOLD = 0.5
AUC_NUM_THRESHOLDS = 21


@dataclasses.dataclass(frozen=True)
class Score:
    """One measure, overall and by keypoint slot, with the count behind every number.

    Attributes:
        value: the measure, or None where `count` is 0.
        count: keypoints behind it.
        per_keypoint: 8 values by slot, None where the slot's count is 0.
        per_keypoint_counts: 8 counts by slot.
        skipped: garments that were left out, with the keypoints that would have counted, for want of a normaliser.
        per_keypoint_skipped: 8 counts by slot: keypoints of those garments that would have counted.
        interval: low and high of the 95 % interval of `value`; None where there is no value or nobody asked.
        per_keypoint_intervals: 8 intervals by slot, likewise.
    """

    value: float | None
    count: int
    per_keypoint: tuple[float | None, ...]
    per_keypoint_counts: tuple[int, ...]
    skipped: int = 0
    per_keypoint_skipped: tuple[int, ...] = (0,) * NUM_KEYPOINTS
    interval: tuple[float, float] | None = None
    per_keypoint_intervals: tuple[tuple[float, float] | None, ...] = (None,) * NUM_KEYPOINTS

    def to_dict(self) -> dict:
        """Return the JSON-ready form, keypoints by their abbreviations."""
        per_keypoint = zip(
            self.per_keypoint,
            self.per_keypoint_counts,
            self.per_keypoint_skipped,
            self.per_keypoint_intervals,
            strict=True,
        )
        return {
            **_entry(self.value, self.count, self.skipped, self.interval),
            "per_keypoint": {
                name: _entry(*entry) for name, entry in zip(KEYPOINT_ABBREVIATIONS, per_keypoint, strict=True)
            },
        }


def _entry(value, count, skipped, interval):
    return {"value": value, "count": count, "skipped": skipped, "interval": interval and list(interval)}


# Keypoints -----------------------------------------------------------------------------------------------------------


def ne_garment(matched, among=None, bootstrap=None) -> Score:
    """Measure the paper's normalised error: distance over the garment's own sleeve or waistline distance.

    Args:
        matched: a `Matched`.
        among: bool, broadcastable to `(G, 8)`: only these keypoints count; None for all. Normalisers are taken from
            all labelled keypoints all the same.
        bootstrap: the `Bootstrap` over the photos that gives the intervals; None for no intervals.

    Returns:
        A `Score`, lower is better; pooled over visible keypoints of matched garments.

    Source: the paper's equation 3. It does not say what to do with a tiny or half-labelled pair; we skip it.
    """
    counted = _counted(among, matched.labels.visible & matched.found[:, np.newaxis])
    return _score(matched, *_normalised(matched, _pair_distances(matched.labels), counted), bootstrap)


def ne_bbox(matched, among=None, bootstrap=None) -> Score:
    """Measure the normalised error of published FLD and DeepFashion-C tables: x over box width, y over box height.

    Args:
        matched, among, bootstrap: as for `ne_garment`.

    Returns:
        A `Score`, lower is better; over visible keypoints of matched garments. Its value is the mean of the slots'
        means, over the slots that have any.
    """
    counted = _counted(among, matched.labels.visible & matched.found[:, np.newaxis])
    return _score(matched, *_normalised(matched, _box_sides(matched.labels), counted), bootstrap, _mean_of_slots)


def ne_longside(matched, among=None, bootstrap=None) -> Score:
    """Measure the normalised error over the box's long side.

    Args:
        matched, among, bootstrap: as for `ne_garment`.

    Returns:
        A `Score`, lower is better; pooled over visible keypoints of matched garments.
    """
    counted = _counted(among, matched.labels.visible & matched.found[:, np.newaxis])
    return _score(matched, *_normalised(matched, _long_sides(matched.labels), counted), bootstrap)


def epe(matched, among=None, bootstrap=None) -> Score:
    """Measure the end-point error: the distance in photo pixels.

    Args:
        matched, among, bootstrap: as for `ne_garment`.

    Returns:
        A `Score`, lower is better; pooled over labelled keypoints of matched garments.
    """
    counted = _counted(among, matched.labels.labelled & matched.found[:, np.newaxis])
    return _score(matched, *_normalised(matched, np.ones((len(matched.labels), 2)), counted), bootstrap)


def pck(matched, among=None, bootstrap=None, threshold=PCK_THRESHOLD) -> Score:
    """Measure the share of correct keypoints: those within `threshold` times the box's long side.

    Args:
        matched, among, bootstrap: as for `ne_garment`.
        threshold: a fraction of the box's long side; a keypoint exactly that far away is correct.

    Returns:
        A `Score` in [0, 1], higher is better; pooled over labelled keypoints, those of missed garments as failures.
    """
    errors, counted, skipped = _errors_with_misses(matched, among)
    return _score(matched, errors <= threshold, counted, skipped, bootstrap)


def pck_of_found(matched, among=None, bootstrap=None, threshold=PCK_THRESHOLD) -> Score:
    """Measure `pck` over the keypoints of garments that were found: it says nothing without the miss rate beside it."""
    found = matched.found[:, np.newaxis]
    return pck(matched, found if among is None else found & among, bootstrap, threshold)


def auc(
    matched, among=None, bootstrap=None, max_threshold=AUC_MAX_THRESHOLD, num_thresholds=AUC_NUM_THRESHOLDS
) -> Score:
    """Measure the area under the curve of `pck` over its threshold, by the trapezoid rule, as a share of the most.

    Args:
        matched, among, bootstrap: as for `ne_garment`.
        max_threshold: the last threshold, a fraction of the box's long side; the first is 0.
        num_thresholds: evenly spaced thresholds, both ends included.

    Returns:
        A `Score` in [0, 1], higher is better; pooled over labelled keypoints, those of missed garments as failures.
    """
    errors, counted, skipped = _errors_with_misses(matched, among)
    thresholds = np.linspace(0.0, max_threshold, num_thresholds)
    # The area under a mean of curves is the mean of the areas under each keypoint's own step curve.
    correct = errors[..., np.newaxis] <= thresholds
    areas = np.trapz(correct.astype(float), thresholds, axis=-1) / max_threshold
    return _score(matched, areas, counted, skipped, bootstrap)


KEYPOINT_METRICS = {
    "pck_02": pck,
    "pck_02_found": pck_of_found,
    "auc": auc,
    "ne_bbox": ne_bbox,
    "ne_garment": ne_garment,
    "ne_longside": ne_longside,
    "epe": epe,
}


def slices(labels) -> dict:
    """Return which keypoints belong to each slice by garment type, by variation and by visibility.

    Args:
        labels: `Garments` `(G,)` with visibility and variations.

    Returns:
        group name to slice name to a mask for a metric's `among`: bool `(G, 1)` or `(G, 8)`. The names are the same
        for every dataset; a slice may be empty.
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


def score_slices(metric, matched, bootstrap=None) -> dict:
    """Apply one metric to all garments and to every slice of them.

    Args:
        metric: a function of `(matched, among, bootstrap)` that returns a `Score`, as those of `KEYPOINT_METRICS`.
        matched: a `Matched`.
        bootstrap: as for `ne_garment`.

    Returns:
        `{"overall": Score}` and, for each group of `slices`, slice name to `Score`.
    """
    groups = {
        group: {name: metric(matched, mask, bootstrap) for name, mask in masks.items()}
        for group, masks in slices(matched.labels).items()
    }
    return {"overall": metric(matched, None, bootstrap), **groups}


def _counted(among, eligible):
    return eligible if among is None else eligible & np.broadcast_to(among, eligible.shape)


def _pair_distances(labels):
    """Return the distance of each garment's normalising pair, `(G, 2)` for x and y; NaN where it cannot be used."""
    slots = _NORMALISER_SLOTS[labels.types]
    pair_xy = np.take_along_axis(labels.keypoints_xy.astype(float), slots[..., np.newaxis], axis=1)
    distances = np.linalg.norm(pair_xy[:, 0] - pair_xy[:, 1], axis=-1)
    usable = np.take_along_axis(labels.labelled, slots, axis=1).all(axis=1) & (distances >= MIN_NORMALISER_DISTANCE)
    return np.repeat(np.where(usable, distances, np.nan)[:, np.newaxis], 2, axis=1)


def _box_sides(labels):
    """Return width and height of each labelled box, `(G, 2)`; NaN where one is not above zero."""
    boxes = labels.boxes_xyxy.astype(float)
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.where((sides > 0).all(axis=1, keepdims=True), sides, np.nan)


def _long_sides(labels):
    """Return the long side of each labelled box, `(G, 2)` for x and y; NaN for an empty box."""
    return np.repeat(_box_sides(labels).max(axis=1, keepdims=True), 2, axis=1)


def _normalised(matched, normalisers, counted):
    """Return errors over normalisers `(G, 2)`, the keypoints that still count and those skipped, all `(G, 8)`."""
    usable = np.isfinite(normalisers).all(axis=1)
    skipped = counted & ~usable[:, np.newaxis]
    counted = counted & usable[:, np.newaxis]
    difference = matched.predicted.keypoints_xy.astype(float) - matched.labels.keypoints_xy
    # Where nothing counts there may be anything, even NaN: keep it out of the arithmetic.
    difference = np.where(counted[..., np.newaxis], difference, 0.0)
    errors = np.linalg.norm(difference / np.where(usable[:, np.newaxis], normalisers, 1.0)[:, np.newaxis], axis=-1)
    return errors, counted, skipped


def _errors_with_misses(matched, among):
    """Return what `_normalised` does over long sides, for all labelled keypoints, with an endless error if missed."""
    counted = _counted(among, matched.labels.labelled)
    errors, counted, skipped = _normalised(matched, _long_sides(matched.labels), counted)
    return np.where(matched.found[:, np.newaxis], errors, np.inf), counted, skipped


def _pooled(sums, counts):
    return _ratio(sums.sum(axis=-1), counts.sum(axis=-1))


def _mean_of_slots(sums, counts):
    means, has_any = _ratio(sums, counts), counts > 0
    return _ratio(np.where(has_any, means, 0.0).sum(axis=-1), has_any.sum(axis=-1))


def _ratio(sums, counts):
    """Divide, elementwise; NaN where the count is 0."""
    sums, counts = np.asarray(sums, dtype=float), np.asarray(counts, dtype=float)
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def _or_none(value):
    return None if np.isnan(value) else float(value)


def _score(matched, values, counted, skipped, bootstrap, average=_pooled) -> Score:
    """Average values over the counted keypoints, overall and by slot.

    Args:
        matched: a `Matched`.
        values: float or bool `(G, 8)`; anything where `counted` is False.
        counted, skipped: bool `(G, 8)`.
        bootstrap: a `Bootstrap` or None.
        average: function of sums and counts, `(..., 8)` each, that returns the average over the slots `(...)`, NaN
            where there is nothing.
    """
    columns = np.concatenate([np.where(counted, values, 0.0), counted], axis=1)
    sums, counts = np.split(columns.sum(axis=0), 2)
    score = Score(
        value=_or_none(average(sums, counts)),
        count=int(counts.sum()),
        per_keypoint=tuple(_or_none(value) for value in _ratio(sums, counts)),
        per_keypoint_counts=tuple(int(count) for count in counts),
        skipped=int(skipped.any(axis=1).sum()),
        per_keypoint_skipped=tuple(int(count) for count in skipped.sum(axis=0)),
    )
    if bootstrap is None or not score.count:
        return score
    sums, counts = np.split(bootstrap.sums(matched.photo_index, columns), 2, axis=1)
    return dataclasses.replace(
        score,
        interval=percentile_interval(average(sums, counts)),
        per_keypoint_intervals=tuple(percentile_interval(values) for values in _ratio(sums, counts).T),
    )


# Rates ---------------------------------------------------------------------------------------------------------------


def rate(hits, trials, bootstrap=None) -> dict:
    """Measure a rate over photos, such as recall: garments found, out of garments.

    Args:
        hits: float `(P,)`, by photo.
        trials: float `(P,)`, likewise.
        bootstrap: as for `ne_garment`.

    Returns:
        A JSON-ready dict: value, hits over trials, or None without trials; count, the trials; interval, low and high
        of its 95 % interval, or None where there is no value or nobody asked.
    """
    columns = np.stack([hits, trials], axis=1)
    hits, trials = columns.sum(axis=0)
    interval = None
    if bootstrap is not None and trials:
        resampled = bootstrap.sums(np.arange(len(columns)), columns)
        interval = percentile_interval(_ratio(*resampled.T))
    return {"value": _or_none(_ratio(hits, trials)), "count": int(trials), "interval": interval and list(interval)}
