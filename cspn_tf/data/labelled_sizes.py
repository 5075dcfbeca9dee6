"""Find labels that were made for another size of the photo than the one that is there.

Photos are turned and resized after they were labelled, and nothing in the files tells. An annotation that says which
size it is for gives that away; of the others, only that no label ever reaches beyond a part of its photo.

Sizes are pairs of height and width in pixels, of the photo as displayed.
"""

import collections

import numpy as np

from cspn_tf.console import UserError
from cspn_tf.data.photo_checks import OUTSIDE_TOLERANCE, beyond_edges
from cspn_tf.data.samples import Sample

TURNED, SCALED = "labelled size turned", "labelled size scaled"
RESHAPED, CONTRADICTED = "labelled size of another shape", "labelled size contradicted"
# What may be between the size that was labelled and the photo's, with what it means.
KINDS = {
    TURNED: "labelled as stored and displayed turned, so that labels lie beside the garments; or the size is wrong",
    SCALED: "the photo was resized since, so that labels lie beside the garments; or the size is wrong",
    RESHAPED: "the photo was stretched or cropped since, so that labels lie beside the garments; or the size is wrong",
    CONTRADICTED: "labels reach beyond it and fit the photo: it is the size that is wrong",
}
LABELS_IN_A_PART = "labels in a part of the photos"

# Sizes that differ by no more than this are the same, and a scale may be rounded by as much: pixels.
_ROUNDING = 1
# Labels contradict a size if they reach beyond it by more than this part of it.
_CLEARLY_BEYOND = 0.02
# Where fewer photos than this do not say their size, or this part of their width or height is reached, nothing is
# said of it; the part is that of the photo that is beyond all but a hundredth of the others.
_MIN_PHOTOS = 50
_REACHED_PART = 0.6
_PERCENTILE = 99


def size_fault(sample: Sample, size) -> tuple[str, str] | None:
    """Compare the size that was labelled with the photo's.

    Args:
        sample: `Sample`.
        size: of its photo.

    Returns:
        kind: `TURNED`, labelled as stored and displayed turned, or width and height exchanged; `SCALED`, resized
            since; `RESHAPED`, stretched or cropped since; or `CONTRADICTED`, where the labels fit the photo and
            keypoints, or boxes where there are none, reach clearly beyond the size that they are said to be for, so
            that it is the size that is wrong.
        detail: both sizes, and what is between them.
        None where the sizes are the same, or the annotation says none.
    """
    labelled = sample.labelled_size
    if labelled is None or max(abs(a - b) for a, b in zip(labelled, size, strict=True)) <= _ROUNDING:
        return None
    sizes = f"labelled at {labelled[1]} x {labelled[0]}, photo {size[1]} x {size[0]}"
    keypoints_xy = sample.garments.keypoints_xy[sample.garments.labelled]
    # Boxes may be drawn with a margin, which leads beyond the photo; keypoints are on it.
    reach = _reach(keypoints_xy if len(keypoints_xy) else sample.garments.boxes_xyxy[:, 2:])
    if _fits(reach, size) and not _fits(reach, np.multiply(labelled, 1 + _CLEARLY_BEYOND)):
        return CONTRADICTED, f"{sizes}, labels reach to x {reach[1]:g}, y {reach[0]:g}"
    if factor := _scale(labelled, size):
        return SCALED, f"{sizes}: {factor:.3g} times as large"
    if factor := _scale(labelled[::-1], size):
        return TURNED, sizes if abs(factor - 1) < 0.01 else f"{sizes}: turned, and {factor:.3g} times as large"
    wide, high = size[1] / labelled[1], size[0] / labelled[0]
    return RESHAPED, f"{sizes}: {wide:.3g} times as wide, {high:.3g} times as high"


def check_labelled_sizes(samples_and_sizes) -> None:
    """Refuse a dataset most of whose labels are for other sizes than those of their photos.

    Where labels contradict the sizes of more than a tenth as many photos, the sizes are taken for what is wrong.

    Args:
        samples_and_sizes: pairs of a `Sample` and the size of its photo; those whose labels lie outside the photo,
            too.

    Raises:
        UserError: if so; the message has the numbers and an example.
    """
    num_said, faults = 0, []
    for sample, size in samples_and_sizes:
        num_said += sample.labelled_size is not None
        if fault := size_fault(sample, size):
            faults.append((sample, *fault))
    kinds = collections.Counter(kind for _, kind, _ in faults)
    num_contradicted = kinds.pop(CONTRADICTED, 0)
    if 2 * kinds.total() <= num_said or 10 * num_contradicted > kinds.total():
        return
    ((most, _),) = kinds.most_common(1)
    sample, _, detail = next(fault for fault in faults if fault[1] == most)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    raise UserError(
        f"{sample.where}: photo {sample.photo!a} {detail}; so of {num_said} photos that say their size: {counts}. "
        "Bring labels and photos to one size, or correct the sizes in the annotations if the labels are right"
    )


def unreached_part(samples_and_sizes) -> str | None:
    """Say whether labels never reach beyond a part of the photos, as where these are larger than those labelled.

    Args:
        samples_and_sizes: pairs of a `Sample` and the size of its photo. Those that say a size and those without a
            garment are passed over.

    Returns:
        How far they reach, or None: far enough, or there are too few photos to tell.
    """
    reached = [
        (_reach_of_all(sample.garments) + 0.5) / size
        for sample, size in samples_and_sizes
        if sample.labelled_size is None and len(sample.garments)
    ]
    if len(reached) < _MIN_PHOTOS:
        return None
    high, wide = np.percentile(reached, _PERCENTILE, axis=0)
    if max(high, wide) >= _REACHED_PART:
        return None
    return f"to {wide:.0%} of the width and {high:.0%} of the height in {_PERCENTILE} % of {len(reached)} photos"


def _scale(size, other):
    """Return how many times as large another size of the same shape is; None where the shapes differ."""
    low = max((there - _ROUNDING) / here for here, there in zip(size, other, strict=True))
    high = min((there + _ROUNDING) / here for here, there in zip(size, other, strict=True))
    return (other[0] * other[1] / (size[0] * size[1])) ** 0.5 if low <= high else None


def _reach_of_all(garments):
    return _reach(np.concatenate([garments.boxes_xyxy[:, 2:], garments.keypoints_xy[garments.labelled]]))


def _reach(points_xy):
    """Return the largest y and x of points, float `(2,)`; 0 where there are none."""
    return points_xy.max(axis=0, initial=0.0)[::-1]


def _fits(reach, size):
    return bool(beyond_edges(reach[::-1], *size) <= OUTSIDE_TOLERANCE)
