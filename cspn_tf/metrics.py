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
out and reported as skipped. The error measures say nothing of garments that were missed: read the miss rate beside.

`ne_garment` is the paper's equation 3. `ne_bbox` is what the published tables of DeepFashion use.

Letters in shapes: G labelled garments, D detections, 8 keypoint slots.
"""

import dataclasses

import numpy as np

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
    """

    garment_types: np.ndarray
    variations: np.ndarray
    boxes_xyxy: np.ndarray
    keypoints_xy: np.ndarray
    visibility: np.ndarray
    predicted_xy: np.ndarray
    matched: np.ndarray

    def __post_init__(self):
        num = len(self.garment_types)
        for name, kind, shape in (
            ("garment_types", int, (num,)),
            ("variations", int, (num,)),
            ("boxes_xyxy", float, (num, 4)),
            ("keypoints_xy", float, (num, NUM_KEYPOINTS, 2)),
            ("visibility", int, (num, NUM_KEYPOINTS)),
            ("predicted_xy", float, (num, NUM_KEYPOINTS, 2)),
            ("matched", bool, (num,)),
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
    """

    value: float | None
    count: int
    per_keypoint: tuple[float | None, ...]
    per_keypoint_counts: tuple[int, ...]
    skipped: int = 0

    def to_dict(self) -> dict:
        """Return the JSON-ready form, keypoints by their abbreviations."""
        per_keypoint = zip(KEYPOINT_ABBREVIATIONS, self.per_keypoint, self.per_keypoint_counts, strict=True)
        return {
            "value": self.value,
            "count": self.count,
            "skipped": self.skipped,
            "per_keypoint": {name: {"value": value, "count": count} for name, value, count in per_keypoint},
        }


# Keypoints -----------------------------------------------------------------------------------------------------------


def ne_garment(garments, among=None) -> Score:
    """Measure the paper's normalised error: distance over the garment's own sleeve or waistline distance.

    Args:
        garments: a `Garments`.
        among: bool, broadcastable to `(G, 8)`: only these keypoints count; None for all. Normalisers are taken from
            all labelled keypoints all the same.

    Returns:
        A `Score`, lower is better; pooled over visible keypoints of matched garments.

    Source: the paper's equation 3. It does not say what to do with a tiny or half-labelled pair; we skip it.
    """
    counted = _counted(garments, among, garments.visible & garments.matched[:, np.newaxis])
    return _pooled(*_normalised(garments, _pair_distances(garments), counted))


def ne_bbox(garments, among=None) -> Score:
    """Measure the normalised error of published FLD and DeepFashion-C tables: x over box width, y over box height.

    Args:
        garments, among: as for `ne_garment`.

    Returns:
        A `Score`, lower is better; over visible keypoints of matched garments. Its value is the mean of the slots'
        means, over the slots that have any.
    """
    counted = _counted(garments, among, garments.visible & garments.matched[:, np.newaxis])
    score = _pooled(*_normalised(garments, _box_sides(garments), counted))
    means = [value for value in score.per_keypoint if value is not None]
    return dataclasses.replace(score, value=float(np.mean(means)) if means else None)


def ne_longside(garments, among=None) -> Score:
    """Measure the normalised error over the box's long side.

    Args:
        garments, among: as for `ne_garment`.

    Returns:
        A `Score`, lower is better; pooled over visible keypoints of matched garments.
    """
    counted = _counted(garments, among, garments.visible & garments.matched[:, np.newaxis])
    return _pooled(*_normalised(garments, _long_sides(garments), counted))


def epe(garments, among=None) -> Score:
    """Measure the end-point error: the distance in photo pixels.

    Args:
        garments, among: as for `ne_garment`.

    Returns:
        A `Score`, lower is better; pooled over labelled keypoints of matched garments.
    """
    counted = _counted(garments, among, garments.labelled & garments.matched[:, np.newaxis])
    return _pooled(*_normalised(garments, np.ones((len(garments), 2)), counted))


def pck(garments, among=None, threshold=PCK_THRESHOLD) -> Score:
    """Measure the share of correct keypoints: those within `threshold` times the box's long side.

    Args:
        garments, among: as for `ne_garment`.
        threshold: a fraction of the box's long side; a keypoint exactly that far away is correct.

    Returns:
        A `Score` in [0, 1], higher is better; pooled over labelled keypoints, those of missed garments as failures.
    """
    errors, counted, skipped = _errors_with_misses(garments, among)
    return _pooled((errors <= threshold).astype(float), counted, skipped)


def auc(garments, among=None, max_threshold=AUC_MAX_THRESHOLD, num_thresholds=AUC_NUM_THRESHOLDS) -> Score:
    """Measure the area under the curve of `pck` over its threshold, by the trapezoid rule, as a share of the most.

    Args:
        garments, among: as for `ne_garment`.
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
    return _pooled(areas, counted, skipped)


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


def score_slices(metric, garments) -> dict:
    """Apply one metric to all garments and to every slice of them.

    Args:
        metric: a function of `(garments, among)` that returns a `Score`, such as those of `KEYPOINT_METRICS`.
        garments: a `Garments`.

    Returns:
        `{"overall": Score}` and, for each group of `slices`, slice name to `Score`.
    """
    groups = {group: {name: metric(garments, m) for name, m in ms.items()} for group, ms in slices(garments).items()}
    return {"overall": metric(garments), **groups}


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
    """Return errors `(G, 8)` over normalisers `(G, 2)`, the keypoints that still count, and the skipped garments."""
    usable = np.isfinite(normalisers).all(axis=1)
    skipped = int((counted.any(axis=1) & ~usable).sum())
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


def _pooled(values, counted, skipped) -> Score:
    """Average values `(G, 8)` over the counted keypoints, overall and by slot."""
    counts = counted.sum(axis=0)
    sums = np.where(counted, values, 0.0).sum(axis=0)
    return Score(
        value=_ratio(sums.sum(), counts.sum()),
        count=int(counts.sum()),
        per_keypoint=tuple(_ratio(total, count) for total, count in zip(sums, counts, strict=True)),
        per_keypoint_counts=tuple(int(count) for count in counts),
        skipped=skipped,
    )


def _ratio(total, count):
    return float(total / count) if count else None


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


def detection_recall(matched) -> float | None:
    """Return the share of garments that a detection found, or None where there are no garments.

    Args:
        matched: bool `(G,)`.
    """
    matched = np.asarray(matched, dtype=bool)
    return _ratio(matched.sum(), matched.size)
