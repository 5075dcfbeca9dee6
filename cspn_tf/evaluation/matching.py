"""Which detection found which labelled garment, settled once for all measures and pictures of an evaluation.

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

# What stands for the prediction of a garment that was missed.
_NOTHING = Garments(
    [GarmentType.UPPER_BODY],
    np.zeros((1, 4)),
    np.zeros((1, NUM_KEYPOINTS, 2)),
    scores=[0],
    keypoint_scores=np.zeros((1, NUM_KEYPOINTS)),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Matched:
    """Labels and predictions of P photos, and which belong together. Coordinates are photo pixels.

    The photos' own are lists; below them are the labelled garments of all photos as columns, one photo after another.

    Attributes:
        truths: P `Garments`, the labels; a keypoint without coordinates may be anything.
        results: P `Result`, whose garments have scores.
        matches: P arrays, int `(G,)` for each photo: the row of each labelled garment's detection, -1 if missed.
    """

    truths: list[Garments]
    results: list[Result]
    matches: list[np.ndarray]

    def photo(self, index) -> "Matched":
        """Return one of the photos by itself."""
        return Matched([self.truths[index]], [self.results[index]], [self.matches[index]])

    @property
    def num_photos(self) -> int:
        """P."""
        return len(self.truths)

    @functools.cached_property
    def labels(self) -> Garments:
        """The labelled garments of all photos, `Garments` `(G,)` with variations."""
        labels = Garments.concatenate(self.truths)
        return labels if labels.variations is not None else labels.replace(variations=np.zeros(len(labels)))

    @functools.cached_property
    def predicted(self) -> Garments:
        """The detection of each labelled garment, `Garments` `(G,)` of its type; all else is 0 where it was missed."""
        detections = [result.garments for result in self.results]
        first = np.cumsum([0, *map(len, detections)])[:-1]
        rows = [np.where(of_photo < 0, -1, of_photo + row) for of_photo, row in zip(self.matches, first, strict=True)]
        return Garments.concatenate([*detections, _NOTHING])[_joined(rows)].replace(types=self.labels.types)

    @functools.cached_property
    def found(self) -> np.ndarray:
        """Whether a detection found the garment, bool `(G,)`."""
        return _joined(self.matches) >= 0

    @functools.cached_property
    def photo_index(self) -> np.ndarray:
        """The place of each labelled garment's photo among all photos, int `(G,)`."""
        return np.repeat(np.arange(self.num_photos), list(map(len, self.truths)))


def _joined(parts):
    return np.concatenate([np.zeros(0, int), *parts])


def match_photos(truths, results) -> Matched:
    """Match the labels of photos with what was found on them.

    Args:
        truths: list of `Garments`, the labels of each photo.
        results: list of `Result`, one for each of `truths`.
    """
    matches = [
        match_detections(
            truth.boxes_xyxy, truth.types, found.garments.boxes_xyxy, found.garments.types, found.garments.scores
        )
        for truth, found in zip(truths, results, strict=True)
    ]
    return Matched(list(truths), list(results), matches)


def match_given_boxes(truths, keypoints_xy) -> Matched:
    """Take keypoints that were predicted in the labelled boxes: of a photo that was read, every garment is found.

    Args:
        truths: as for `match_photos`.
        keypoints_xy: list of float `(G, 8, 2)`, one for each of `truths`, or None for a photo that could not be read.
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
    """Return intersection over union of every pair of boxes.

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


def match_detections(truth_boxes, truth_types, boxes, types, scores, iou=MATCH_IOU) -> np.ndarray:
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
