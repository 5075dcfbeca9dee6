"""Matching of detections with labelled garments, done once for all measures and pictures of an evaluation.

Letters in shapes: G labelled garments, D detections, P photos, 8 keypoint slots.
"""

import dataclasses
import functools

import numpy as np

from cspn_tf.contract import STATUS_OK, STATUS_UNDECODABLE
from cspn_tf.garment_set import Garments
from cspn_tf.garments import NUM_KEYPOINTS, GarmentType
from cspn_tf.result import Result

MATCH_IOU = 0.5

# Placeholder for the prediction of a missed garment.
_NOTHING = Garments(
    [GarmentType.UPPER_BODY],
    np.zeros((1, 4)),
    np.zeros((1, NUM_KEYPOINTS, 2)),
    scores=[0],
    keypoint_scores=np.zeros((1, NUM_KEYPOINTS)),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Matched:
    """Labels and predictions of P photos, and their matches. Coordinates are photo pixels.

    The attributes are lists with an entry per photo. The properties have the garments of all photos as columns, in the
    order of the photos.

    Attributes:
        truths: P `Garments`, the labels; the coordinates of unlabelled keypoints are arbitrary.
        results: P `Result`, whose garments have scores.
        matches: P arrays, int `(G,)` for each photo: the row of the detection matched with each labelled garment, -1
            if missed.
    """

    truths: list[Garments]
    results: list[Result]
    matches: list[np.ndarray]

    def photo(self, index) -> "Matched":
        """Return the `Matched` of a single photo."""
        return Matched([self.truths[index]], [self.results[index]], [self.matches[index]])

    @property
    def num_photos(self) -> int:
        """Number of photos, P."""
        return len(self.truths)

    @functools.cached_property
    def labels(self) -> Garments:
        """The labelled garments of all photos, `Garments` `(G,)` with variations."""
        labels = Garments.concatenate(self.truths)
        return labels if labels.variations is not None else labels.replace(variations=np.zeros(len(labels)))

    @functools.cached_property
    def detections(self) -> Garments:
        """The detected garments of all photos, `Garments` `(D,)`."""
        return Garments.concatenate(result.garments for result in self.results)

    @functools.cached_property
    def detection_index(self) -> np.ndarray:
        """The row in `detections` of each labelled garment, int `(G,)`, -1 if it was missed."""
        first = np.cumsum([0, *(len(result.garments) for result in self.results)])[:-1]
        rows = [np.where(of_photo < 0, -1, of_photo + row) for of_photo, row in zip(self.matches, first, strict=True)]
        return np.concatenate([np.zeros(0, int), *rows])

    @property
    def is_hit(self) -> np.ndarray:
        """Whether the detection found a labelled garment, bool `(D,)`."""
        return np.isin(np.arange(len(self.detections)), self.detection_index)

    @functools.cached_property
    def predicted(self) -> Garments:
        """The detection matched with each labelled garment, `Garments` `(G,)`; all 0 but the type if it was missed."""
        rows = Garments.concatenate([self.detections, _NOTHING])[self.detection_index]
        return rows.replace(types=self.labels.types)

    @property
    def found(self) -> np.ndarray:
        """Whether a detection found the garment, bool `(G,)`."""
        return self.detection_index >= 0

    @functools.cached_property
    def photo_index(self) -> np.ndarray:
        """The index of each labelled garment's photo, int `(G,)`."""
        return np.repeat(np.arange(self.num_photos), list(map(len, self.truths)))


def match_photos(truths, results) -> Matched:
    """Match labels with detections, photo by photo.

    Args:
        truths: list of `Garments`, the labels of each photo.
        results: list of `Result`, the predictions for each photo.
    """
    matches = [
        match_detections(
            truth.boxes_xyxy, truth.types, found.garments.boxes_xyxy, found.garments.types, found.garments.scores
        )
        for truth, found in zip(truths, results, strict=True)
    ]
    return Matched(list(truths), list(results), matches)


def match_given_boxes(truths, keypoints_xy) -> Matched:
    """Match labels with keypoints predicted in ground-truth boxes; every garment of a readable photo counts as found.

    Args:
        truths: as for `match_photos`.
        keypoints_xy: for each photo float `(G, 8, 2)`, or None if it could not be read.
    """
    results, matches = [], []
    for truth, found in zip(truths, keypoints_xy, strict=True):
        num = len(truth)
        if found is None:
            results.append(Result(STATUS_UNDECODABLE))
            matches.append(np.full(num, -1))
        else:
            ones = {"scores": np.ones(num), "keypoint_scores": np.ones((num, NUM_KEYPOINTS))}
            results.append(Result(STATUS_OK, garments=Garments(truth.types, truth.boxes_xyxy, found, **ones)))
            matches.append(np.arange(num))
    return Matched(list(truths), results, matches)


def box_iou(boxes_a, boxes_b) -> np.ndarray:
    """Return the intersection over union of every pair of boxes.

    Args:
        boxes_a: float `(A, 4)`, x_min, y_min, x_max, y_max.
        boxes_b: float `(B, 4)`, likewise.

    Returns:
        float64 `(A, B)` in [0, 1]; 0 for two empty boxes.
    """
    a = np.asarray(boxes_a, dtype=float).reshape(-1, 1, 4)
    b = np.asarray(boxes_b, dtype=float).reshape(1, -1, 4)
    overlap = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = np.maximum(overlap, 0.0).prod(axis=-1)
    areas = [np.maximum(boxes[..., 2:] - boxes[..., :2], 0.0).prod(axis=-1) for boxes in (a, b)]
    union = areas[0] + areas[1] - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def match_detections(truth_boxes, truth_types, boxes, types, scores) -> np.ndarray:
    """Match the garments of one photo with its detections, one to one.

    Greedy, by descending score: each detection is matched with the unmatched garment of its type that it overlaps most,
    if the IoU is at least `MATCH_IOU`.

    Args:
        truth_boxes: float `(G, 4)`, x_min, y_min, x_max, y_max, any frame.
        truth_types: int `(G,)`.
        boxes: float `(D, 4)`, the same frame.
        types: int `(D,)`.
        scores: float `(D,)`; ties keep their order.

    Returns:
        int `(G,)`: the index of each garment's detection, or -1 for a missed garment.
    """
    matches = np.full(len(truth_types), -1)
    overlaps = box_iou(boxes, truth_boxes)
    overlaps[np.asarray(types).reshape(-1, 1) != np.asarray(truth_types).reshape(1, -1)] = -1.0
    for detection in np.argsort(-np.asarray(scores, dtype=float), kind="stable"):
        candidates = np.where(matches < 0, overlaps[detection], -1.0)
        if len(candidates) and candidates.max() >= MATCH_IOU:
            matches[candidates.argmax()] = detection
    return matches
