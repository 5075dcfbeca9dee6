"""The six measures once more: slow loops over single keypoints, written from the definitions and not from our code.

    ne_garment    distance over the sleeve (lower-body: waistline) distance   visible    pooled
    ne_bbox       x over box width, y over box height                         visible    per keypoint, then over those
    ne_longside   distance over the box's long side                           visible    pooled
    epe           distance in pixels                                          labelled   pooled
    pck_02        share within 0.2 times the box's long side                  labelled   pooled
    auc           area under that share over thresholds from 0 to 0.5         labelled   pooled

Visible is code 2, labelled 2 or 1. A pair of which one end has no coordinates, or that is under 10 pixels, normalises
nothing, nor does a box without width or height. A garment that was missed fails pck_02 and auc, and takes no part in
the others.
"""

import dataclasses
import math


@dataclasses.dataclass
class Reference:
    """value, count, skipped garments, and by slot the values, the counts and the skipped keypoints."""

    value: float | None
    count: int
    skipped: int
    values: list
    counts: list
    skipped_keypoints: list


def reference(name, matched, rows=None, among=None) -> Reference:
    """Measure garments.

    Args:
        name: of the measure.
        matched: a `cspn_tf.evaluation.matching.Matched`.
        rows: the garments that take part, as often as they are listed; None for each once.
        among: function of garment and slot that says whether a keypoint takes part; None for all.
    """
    garments = matched.labels
    errors = [[] for _ in range(8)]
    skipped_keypoints = [0] * 8
    skipped = 0
    for g in range(len(garments)) if rows is None else rows:
        any_skipped = False
        for k in range(8):
            if among is not None and not among(g, k):
                continue
            code = int(garments.visibility[g][k])
            if code != 2 and (code != 1 or name.startswith("ne_")):
                continue
            found = bool(matched.found[g])
            if not found and name not in ("pck_02", "auc"):
                continue
            normaliser = _normaliser(name, garments, g)
            if normaliser is None:
                skipped_keypoints[k] += 1
                any_skipped = True
            elif not found:
                errors[k].append(math.inf)
            else:
                dx = float(matched.predicted.keypoints_xy[g][k][0]) - float(garments.keypoints_xy[g][k][0])
                dy = float(matched.predicted.keypoints_xy[g][k][1]) - float(garments.keypoints_xy[g][k][1])
                errors[k].append(math.sqrt((dx / normaliser[0]) ** 2 + (dy / normaliser[1]) ** 2))
        skipped += any_skipped
    pooled = [error for of_slot in errors for error in of_slot]
    values = [_average(name, of_slot) for of_slot in errors]
    value = _average(name, pooled)
    if name == "ne_bbox":
        there = [v for v in values if v is not None]
        value = sum(there) / len(there) if there else None
    return Reference(value, len(pooled), skipped, values, [len(of_slot) for of_slot in errors], skipped_keypoints)


def _normaliser(name, garments, g):
    """Return what x and y are divided by, or None."""
    if name == "epe":
        return 1.0, 1.0
    if name == "ne_garment":
        left, right = (4, 5) if int(garments.types[g]) == 2 else (2, 3)
        if int(garments.visibility[g][left]) not in (1, 2) or int(garments.visibility[g][right]) not in (1, 2):
            return None
        (x0, y0), (x1, y1) = (map(float, garments.keypoints_xy[g][k]) for k in (left, right))
        distance = math.sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2)
        return None if distance < 10 else (distance, distance)
    x_min, y_min, x_max, y_max = (float(side) for side in garments.boxes_xyxy[g])
    if x_max <= x_min or y_max <= y_min:
        return None
    if name == "ne_bbox":
        return x_max - x_min, y_max - y_min
    long_side = max(x_max - x_min, y_max - y_min)
    return long_side, long_side


def _average(name, errors):
    if not errors:
        return None
    if name in ("pck_02", "pck_02_found"):
        return sum(error <= 0.2 for error in errors) / len(errors)
    if name == "auc":
        curve = [sum(error <= 0.5 * step / 20 for error in errors) / len(errors) for step in range(21)]
        return sum((curve[step] + curve[step + 1]) / 2 for step in range(20)) / 20
    return sum(errors) / len(errors)
