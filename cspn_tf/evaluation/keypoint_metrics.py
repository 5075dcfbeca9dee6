"""How far predicted keypoints are from labelled ones, and which detection found which garment.

The definitions, side by side (e is the distance in photo pixels, w and h are the sides of the labelled box):

    name          error of one keypoint      keypoints that count              average
    ne_garment    e / sleeve or waist pair   visible, of found garments        pooled
    ne_bbox       |(dx / w, dy / h)|         visible, of found garments        per slot, then over the slots
    ne_longside   e / max(w, h)              visible, of found garments        pooled
    epe           e                          labelled, of found garments       pooled
    pck           e / max(w, h) <= 0.2       labelled, a missed garment fails  pooled
    auc           area under pck, 0 to 0.5   labelled, a missed garment fails  pooled

"Labelled" is visible or occluded, "found" is matched by a detection; keypoints without coordinates never count. A
garment whose normaliser cannot be used (its pair is not fully labelled or under 10 pixels; its box is empty) is left
out and reported as skipped.

A missed garment counts in the same way whatever made the predictions: its keypoints are failures in pck and auc. The
errors, ne and epe, are of garments that were found, and say nothing without the miss rate beside them.

`ne_garment` is the paper's equation 3. `ne_bbox` is what the published tables of DeepFashion use.

Every metric takes a `cspn_tf.evaluation.bootstrap.Bootstrap` if its intervals are wanted.

Letters in shapes: G labelled garments, D detections, P photos, 8 keypoint slots.
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
    Variation,
    Visibility,
)

PCK_THRESHOLD = 0.2
AUC_MAX_THRESHOLD = 0.5
AUC_NUM_THRESHOLDS = 21


@dataclasses.dataclass(frozen=True)
class Garments:
    """Labelled garments beside what was predicted for them, one row each; coordinates are photo pixels.

    Attributes:
        garment_types: int `(G,)`, `GarmentType` ids.
        variations: int `(G,)`, `Variation` ids.
        boxes_xyxy: float `(G, 4)`, the labelled boxes.
        keypoints_xy: float `(G, 8, 2)`, the labelled keypoints; anything where visibility is not above 0.
        visibility: int `(G, 8)`, `Visibility` codes.
        predicted_xy: float `(G, 8, 2)`, the predicted keypoints; anything where `matched` is False.
        matched: bool `(G,)`, whether a detection found the garment.
        photo_index: int `(G,)`, the place of each garment's photo among all photos; None for one photo a garment.
    """

    garment_types: np.ndarray
    variations: np.ndarray
    boxes_xyxy: np.ndarray
    keypoints_xy: np.ndarray
    visibility: np.ndarray
    predicted_xy: np.ndarray
    matched: np.ndarray
    photo_index: np.ndarray | None = None

    def __post_init__(self):
        num = len(self.garment_types)
        if self.photo_index is None:
            object.__setattr__(self, "photo_index", np.arange(num))
        for name, kind, shape in (
            ("garment_types", int, (num,)),
            ("variations", int, (num,)),
            ("boxes_xyxy", float, (num, 4)),
            ("keypoints_xy", float, (num, NUM_KEYPOINTS, 2)),
            ("visibility", int, (num, NUM_KEYPOINTS)),
            ("predicted_xy", float, (num, NUM_KEYPOINTS, 2)),
            ("matched", bool, (num,)),
            ("photo_index", int, (num,)),
        ):
            array = np.asarray(getattr(self, name), dtype=kind)
            if array.shape != shape:
                raise ValueError(f"{name} must have the shape {shape}, received {array.shape}")
            object.__setattr__(self, name, array)

    def __len__(self):
        return len(self.garment_types)

    @property
    def labelled(self) -> np.ndarray:
        """Keypoints with coordinates, bool `(G, 8)`."""
        return self.visibility > 0

    @property
    def visible(self) -> np.ndarray:
        """Keypoints with coordinates that nothing hides, bool `(G, 8)`."""
        return self.visibility == Visibility.VISIBLE


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


def ne_garment(garments, among=None, bootstrap=None) -> Score:
    """Measure the paper's normalised error: distance over the garment's own sleeve or waistline distance.

    Args:
        garments: a `Garments`.
        among: bool, broadcastable to `(G, 8)`: only these keypoints count; None for all. Normalisers are taken from
            all labelled keypoints all the same.
        bootstrap: the `Bootstrap` over the photos of `photo_index` that gives the intervals; None for no intervals.

    Returns:
        A `Score`, lower is better; pooled over visible keypoints of matched garments.

    Source: the paper's equation 3. It does not say what to do with a tiny or half-labelled pair; we skip it.
    """
    counted = _counted(garments, among, garments.visible & garments.matched[:, np.newaxis])
    return _score(garments, *_normalised(garments, _pair_distances(garments), counted), bootstrap)


def ne_bbox(garments, among=None, bootstrap=None) -> Score:
    """Measure the normalised error of published FLD and DeepFashion-C tables: x over box width, y over box height.

    Args:
        garments, among, bootstrap: as for `ne_garment`.

    Returns:
        A `Score`, lower is better; over visible keypoints of matched garments. Its value is the mean of the slots'
        means, over the slots that have any.
    """
    counted = _counted(garments, among, garments.visible & garments.matched[:, np.newaxis])
    return _score(garments, *_normalised(garments, _box_sides(garments), counted), bootstrap, _mean_of_slots)


def ne_longside(garments, among=None, bootstrap=None) -> Score:
    """Measure the normalised error over the box's long side.

    Args:
        garments, among, bootstrap: as for `ne_garment`.

    Returns:
        A `Score`, lower is better; pooled over visible keypoints of matched garments.
    """
    counted = _counted(garments, among, garments.visible & garments.matched[:, np.newaxis])
    return _score(garments, *_normalised(garments, _long_sides(garments), counted), bootstrap)


def epe(garments, among=None, bootstrap=None) -> Score:
    """Measure the end-point error: the distance in photo pixels.

    Args:
        garments, among, bootstrap: as for `ne_garment`.

    Returns:
        A `Score`, lower is better; pooled over labelled keypoints of matched garments.
    """
    counted = _counted(garments, among, garments.labelled & garments.matched[:, np.newaxis])
    return _score(garments, *_normalised(garments, np.ones((len(garments), 2)), counted), bootstrap)


def pck(garments, among=None, bootstrap=None, threshold=PCK_THRESHOLD) -> Score:
    """Measure the share of correct keypoints: those within `threshold` times the box's long side.

    Args:
        garments, among, bootstrap: as for `ne_garment`.
        threshold: a fraction of the box's long side; a keypoint exactly that far away is correct.

    Returns:
        A `Score` in [0, 1], higher is better; pooled over labelled keypoints, those of missed garments as failures.
    """
    errors, counted, skipped = _errors_with_misses(garments, among)
    return _score(garments, errors <= threshold, counted, skipped, bootstrap)


def auc(
    garments, among=None, bootstrap=None, max_threshold=AUC_MAX_THRESHOLD, num_thresholds=AUC_NUM_THRESHOLDS
) -> Score:
    """Measure the area under the curve of `pck` over its threshold, by the trapezoid rule, as a share of the most.

    Args:
        garments, among, bootstrap: as for `ne_garment`.
        max_threshold: the last threshold, a fraction of the box's long side; the first is 0.
        num_thresholds: evenly spaced thresholds, both ends included.

    Returns:
        A `Score` in [0, 1], higher is better; pooled over labelled keypoints, those of missed garments as failures.
    """
    errors, counted, skipped = _errors_with_misses(garments, among)
    thresholds = np.linspace(0.0, max_threshold, num_thresholds)
    # The area under a mean of curves is the mean of the areas under each keypoint's own step curve.
    correct = errors[..., np.newaxis] <= thresholds
    areas = np.trapz(correct.astype(float), thresholds, axis=-1) / max_threshold
    return _score(garments, areas, counted, skipped, bootstrap)


KEYPOINT_METRICS = {
    "pck_02": pck,
    "auc": auc,
    "ne_bbox": ne_bbox,
    "ne_garment": ne_garment,
    "ne_longside": ne_longside,
    "epe": epe,
}


def slices(garments) -> dict:
    """Return which keypoints belong to each slice by garment type, by variation and by visibility.

    Args:
        garments: a `Garments`.

    Returns:
        group name to slice name to a mask for a metric's `among`: bool `(G, 1)` or `(G, 8)`. The names are the same
        for every dataset; a slice may be empty.
    """
    types = garments.garment_types[:, np.newaxis]
    variations = garments.variations[:, np.newaxis]
    return {
        "garment_type": {name: types == garment_type for garment_type, name in GARMENT_TYPE_NAMES.items()},
        "variation": {variation.name.lower(): variations == variation for variation in Variation},
        "visibility": {
            visibility.name.lower(): garments.visibility == visibility
            for visibility in (Visibility.VISIBLE, Visibility.OCCLUDED)
        },
    }


def score_slices(metric, garments, bootstrap=None) -> dict:
    """Apply one metric to all garments and to every slice of them.

    Args:
        metric: a function of `(garments, among, bootstrap)` that returns a `Score`, as those of `KEYPOINT_METRICS`.
        garments: a `Garments`.
        bootstrap: as for `ne_garment`.

    Returns:
        `{"overall": Score}` and, for each group of `slices`, slice name to `Score`.
    """
    groups = {
        group: {name: metric(garments, mask, bootstrap) for name, mask in masks.items()}
        for group, masks in slices(garments).items()
    }
    return {"overall": metric(garments, None, bootstrap), **groups}


def _counted(garments, among, eligible):
    return eligible if among is None else eligible & np.broadcast_to(among, eligible.shape)


def _pair_distances(garments):
    """Return the distance of each garment's normalising pair, `(G, 2)` for x and y; NaN where it cannot be used."""
    slots = np.array([NORMALISER_SLOTS[t] for t in garments.garment_types], dtype=int).reshape(-1, 2)
    pair_xy = np.take_along_axis(garments.keypoints_xy, slots[..., np.newaxis], axis=1)
    distances = np.linalg.norm(pair_xy[:, 0] - pair_xy[:, 1], axis=-1)
    usable = np.take_along_axis(garments.labelled, slots, axis=1).all(axis=1) & (distances >= MIN_NORMALISER_DISTANCE)
    return np.repeat(np.where(usable, distances, np.nan)[:, np.newaxis], 2, axis=1)


def _box_sides(garments):
    """Return width and height of each labelled box, `(G, 2)`; NaN where one is not above zero."""
    sides = garments.boxes_xyxy[:, 2:] - garments.boxes_xyxy[:, :2]
    return np.where((sides > 0).all(axis=1, keepdims=True), sides, np.nan)


def _long_sides(garments):
    """Return the long side of each labelled box, `(G, 2)` for x and y; NaN for an empty box."""
    return np.repeat(_box_sides(garments).max(axis=1, keepdims=True), 2, axis=1)


def _normalised(garments, normalisers, counted):
    """Return errors over normalisers `(G, 2)`, the keypoints that still count and those skipped, all `(G, 8)`."""
    usable = np.isfinite(normalisers).all(axis=1)
    skipped = counted & ~usable[:, np.newaxis]
    counted = counted & usable[:, np.newaxis]
    # Where nothing counts there may be anything, even NaN: keep it out of the arithmetic.
    difference = np.where(counted[..., np.newaxis], garments.predicted_xy - garments.keypoints_xy, 0.0)
    errors = np.linalg.norm(difference / np.where(usable[:, np.newaxis], normalisers, 1.0)[:, np.newaxis], axis=-1)
    return errors, counted, skipped


def _errors_with_misses(garments, among):
    """Return what `_normalised` does over long sides, for all labelled keypoints, with an endless error if missed."""
    counted = _counted(garments, among, garments.labelled)
    errors, counted, skipped = _normalised(garments, _long_sides(garments), counted)
    return np.where(garments.matched[:, np.newaxis], errors, np.inf), counted, skipped


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


def _score(garments, values, counted, skipped, bootstrap, average=_pooled) -> Score:
    """Average values over the counted keypoints, overall and by slot.

    Args:
        garments: a `Garments`.
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
    sums, counts = np.split(bootstrap.sums(garments.photo_index, columns), 2, axis=1)
    return dataclasses.replace(
        score,
        interval=percentile_interval(average(sums, counts)),
        per_keypoint_intervals=tuple(percentile_interval(values) for values in _ratio(sums, counts).T),
    )


# Detections ----------------------------------------------------------------------------------------------------------


def box_iou(boxes_a, boxes_b) -> np.ndarray:
    """Return intersection over union of every pair of boxes.

    Args:
        boxes_a: float `(A, 4)`, x_min, y_min, x_max, y_max.
        boxes_b: float `(B, 4)`, likewise.

    Returns:
        float `(A, B)` in [0, 1]; 0 for two empty boxes.
    """
    a = np.asarray(boxes_a, dtype=float).reshape(-1, 1, 4)
    b = np.asarray(boxes_b, dtype=float).reshape(1, -1, 4)
    overlap = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = np.maximum(overlap, 0.0).prod(axis=-1)
    areas = [np.maximum(boxes[..., 2:] - boxes[..., :2], 0.0).prod(axis=-1) for boxes in (a, b)]
    union = areas[0] + areas[1] - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def match_detections(truth_boxes, truth_types, boxes, types, scores, iou=0.5) -> np.ndarray:
    """Pair the garments of one photo with its detections, one to one.

    The detections choose in the order of their scores: each takes the free garment of its own type that it overlaps
    most, if by at least `iou`.

    Args:
        truth_boxes: float `(G, 4)`, x_min, y_min, x_max, y_max, any frame.
        truth_types: int `(G,)`.
        boxes: float `(D, 4)`, the same frame.
        types: int `(D,)`.
        scores: float `(D,)`; of equal ones the first chooses first.
        iou: the least overlap.

    Returns:
        int `(G,)`: the index of each garment's detection, or -1 for a garment that was missed.
    """
    matches = np.full(len(truth_types), -1)
    overlaps = box_iou(boxes, truth_boxes)
    overlaps[np.asarray(types).reshape(-1, 1) != np.asarray(truth_types).reshape(1, -1)] = -1.0
    for detection in np.argsort(-np.asarray(scores, dtype=float), kind="stable"):
        candidates = np.where(matches < 0, overlaps[detection], -1.0)
        if len(candidates) and candidates.max() >= iou:
            matches[candidates.argmax()] = detection
    return matches


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
