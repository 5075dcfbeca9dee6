"""Keypoint metrics: NE, EPE, PCK and AUC, and rates over photos.

Definitions (e is the distance in photo pixels, w and h are the sides of the ground-truth box):

    name          error of one keypoint      keypoints that count              average
    ne_garment    e / sleeve or waist pair   visible, of found garments        pooled
    ne_bbox       |(dx / w, dy / h)|         visible, of found garments        per slot, then over the slots
    ne_longside   e / max(w, h)              visible, of found garments        pooled
    epe           e                          labelled, of found garments       pooled
    pck           e / max(w, h) <= 0.2       labelled, a missed garment fails  pooled
    pck_found     e / max(w, h) <= 0.2       labelled, of found garments       pooled
    auc           area under pck, 0 to 0.5   labelled, a missed garment fails  pooled

"Labelled" means visible or occluded, "found" means detected, that is matched with a detection. Keypoints without
coordinates never count. A garment without a usable normaliser (its pair is not fully labelled or under 10 pixels apart;
its box is empty) is left out and reported as skipped.

Missed garments are treated alike for every model: their keypoints are failures in pck and auc. The errors, ne and epe,
cover found garments only, so read them together with the miss rate.

`ne_garment` is the paper's equation 3. `ne_bbox` is the measure of the published DeepFashion tables.

Every metric has the arguments of `ne_garment` and returns a `Score`. Coordinates are float32 as in records and served
outputs; the arithmetic is float64.

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

# Row t is the normalising pair of garment type t; row 0 is unused.
_NORMALISER_SLOTS = np.array([(0, 0), *(NORMALISER_SLOTS[garment_type] for garment_type in GarmentType)])

# Fractions of the box's long side.
PCK_THRESHOLD = 0.2
AUC_THRESHOLDS = np.linspace(0.0, 0.5, 21)


@dataclasses.dataclass(frozen=True)
class Score:
    """One measure, overall and by keypoint slot, each value with its count.

    Attributes:
        value: the measure, or None if `count` is 0.
        count: number of keypoints in `value`.
        per_keypoint: 8 values by slot, None where the slot's count is 0.
        per_keypoint_counts: 8 counts by slot.
        skipped: garments left out because they have no usable normaliser, though some of their keypoints would count.
        per_keypoint_skipped: 8 counts by slot: keypoints of those garments that would count.
        interval: low and high of the 95 % interval of `value`; None without a value or without a bootstrap.
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
        """Return the JSON-ready form, with keypoints keyed by their abbreviations."""
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
    """Measure the paper's normalised error: distance over the distance of the garment's sleeve or waistline pair.

    Args:
        matched: a `cspn_tf.evaluation.matching.Matched`.
        among: bool, broadcastable to `(G, 8)`: only these keypoints count; None for all. Normalisers are always
            computed from all labelled keypoints.
        bootstrap: the `cspn_tf.evaluation.bootstrap.Bootstrap` over the photos for the intervals; None for no
            intervals.

    Source: the paper's equation 3. It does not say how to treat a tiny or half-labelled pair; we skip such garments.
    """
    return _mean_error(matched, _pair_distances(matched.labels), matched.labels.visible, among, bootstrap)


def ne_bbox(matched, among=None, bootstrap=None) -> Score:
    """Measure the normalised error of the published DeepFashion tables: x over box width, y over box height."""
    sides = _box_sides(matched.labels)
    return _mean_error(matched, sides, matched.labels.visible, among, bootstrap, _mean_of_slots)


def ne_longside(matched, among=None, bootstrap=None) -> Score:
    """Measure the normalised error over the box's long side."""
    return _mean_error(matched, long_sides(matched.labels), matched.labels.visible, among, bootstrap)


def epe(matched, among=None, bootstrap=None) -> Score:
    """Measure the end-point error: the distance in photo pixels."""
    return _mean_error(matched, np.ones((len(matched.labels), 2)), matched.labels.labelled, among, bootstrap)


def pck(matched, among=None, bootstrap=None) -> Score:
    """Measure the share of correct keypoints: those within `PCK_THRESHOLD` times the box's long side, inclusive."""
    errors, counted, skipped = _errors_with_misses(matched, among)
    return _score(matched, errors <= PCK_THRESHOLD, counted, skipped, bootstrap)


def pck_of_found(matched, among=None, bootstrap=None) -> Score:
    """Measure `pck` over the keypoints of found garments only; to be read together with the miss rate."""
    found = matched.found[:, np.newaxis]
    return pck(matched, found if among is None else found & among, bootstrap)


def auc(matched, among=None, bootstrap=None) -> Score:
    """Measure the area under the curve of `pck` over its threshold, by the trapezoid rule, over its maximum."""
    errors, counted, skipped = _errors_with_misses(matched, among)
    # The area under the mean curve is the mean of the areas under the keypoints' step curves.
    correct = errors[..., np.newaxis] <= AUC_THRESHOLDS
    areas = np.trapz(correct.astype(float), AUC_THRESHOLDS, axis=-1) / AUC_THRESHOLDS[-1]
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
LOWER_IS_BETTER = ("ne_bbox", "ne_garment", "ne_longside", "epe")


def slices(labels) -> dict:
    """Return the masks of the slices by garment type, by variation and by visibility.

    Args:
        labels: `Garments` `(G,)` with visibility and variations.

    Returns:
        A dict of group name to a dict of slice name to mask, bool `(G, 1)` or `(G, 8)`, for a metric's `among`. The
        names are the same for every dataset; a slice may be empty.
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
    """Apply one metric to all garments and to every slice.

    Args:
        metric: a function of `(matched, among, bootstrap)` that returns a `Score`, such as in `KEYPOINT_METRICS`.
        matched: a `Matched`.
        bootstrap: as for `ne_garment`.

    Returns:
        A JSON-ready dict: `overall`, and for each group of `slices` slice name to score, see `Score.to_dict`.
    """
    groups = {
        group: {name: metric(matched, mask, bootstrap).to_dict() for name, mask in masks.items()}
        for group, masks in slices(matched.labels).items()
    }
    return {"overall": metric(matched, None, bootstrap).to_dict(), **groups}


def _counted(among, eligible):
    return eligible if among is None else eligible & np.broadcast_to(among, eligible.shape)


def _pair_distances(labels):
    """Return the distance of each garment's normalising pair, `(G, 2)` for x and y; NaN where it is unusable."""
    slots = _NORMALISER_SLOTS[labels.types]
    pair_xy = np.take_along_axis(labels.keypoints_xy.astype(float), slots[..., np.newaxis], axis=1)
    distances = np.linalg.norm(pair_xy[:, 0] - pair_xy[:, 1], axis=-1)
    usable = np.take_along_axis(labels.labelled, slots, axis=1).all(axis=1) & (distances >= MIN_NORMALISER_DISTANCE)
    return np.repeat(np.where(usable, distances, np.nan)[:, np.newaxis], 2, axis=1)


def _box_sides(labels):
    """Return width and height of each ground-truth box, `(G, 2)`; both NaN if either is not positive."""
    boxes = labels.boxes_xyxy.astype(float)
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.where((sides > 0).all(axis=1, keepdims=True), sides, np.nan)


def long_sides(labels):
    """Return the long side of each ground-truth box, `(G, 2)` for x and y; NaN for an empty box."""
    return np.repeat(_box_sides(labels).max(axis=1, keepdims=True), 2, axis=1)


def _normalised(matched, normalisers, counted):
    """Return errors over normalisers `(G, 2)`, the mask of counted keypoints and that of skipped ones, all `(G, 8)`."""
    usable = np.isfinite(normalisers).all(axis=1)
    skipped = counted & ~usable[:, np.newaxis]
    counted = counted & usable[:, np.newaxis]
    difference = matched.predicted.keypoints_xy.astype(float) - matched.labels.keypoints_xy
    # Coordinates that do not count may be NaN: keep them out of the arithmetic.
    difference = np.where(counted[..., np.newaxis], difference, 0.0)
    errors = np.linalg.norm(difference / np.where(usable[:, np.newaxis], normalisers, 1.0)[:, np.newaxis], axis=-1)
    return errors, counted, skipped


def _errors_with_misses(matched, among):
    """Return `_normalised` by long side for all labelled keypoints, with an infinite error for missed garments."""
    counted = _counted(among, matched.labels.labelled)
    errors, counted, skipped = _normalised(matched, long_sides(matched.labels), counted)
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
        values: float or bool `(G, 8)`; ignored where `counted` is False.
        counted, skipped: bool `(G, 8)`.
        bootstrap: a `Bootstrap` or None.
        average: function of sums and counts, `(..., 8)` each, that returns the average over the slots, `(...)`, NaN
            without data.
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


def _mean_error(matched, normalisers, counted, among, bootstrap, average=_pooled) -> Score:
    """Average the errors over normalisers `(G, 2)` of the keypoints of found garments in `counted` and `among`."""
    counted = _counted(among, counted & matched.found[:, np.newaxis])
    return _score(matched, *_normalised(matched, normalisers, counted), bootstrap, average)


# Rates ---------------------------------------------------------------------------------------------------------------


def rate(hits, trials, bootstrap=None) -> dict:
    """Measure a rate over photos, such as recall: garments found, out of garments.

    Args:
        hits: float `(P,)`, by photo.
        trials: float `(P,)`, likewise.
        bootstrap: as for `ne_garment`.

    Returns:
        A JSON-ready dict: value, hits over trials, or None without trials; count, the number of trials; interval, low
        and high of the 95 % interval of value, or None without a value or without a bootstrap.
    """
    columns = np.stack([hits, trials], axis=1)
    hits, trials = columns.sum(axis=0)
    interval = None
    if bootstrap is not None and trials:
        resampled = bootstrap.sums(np.arange(len(columns)), columns)
        interval = percentile_interval(_ratio(*resampled.T))
    return {"value": _or_none(_ratio(hits, trials)), "count": int(trials), "interval": interval and list(interval)}
