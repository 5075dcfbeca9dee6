"""Find labels that were made for another size of the photo than that of its file.

Photos are sometimes rotated or resized after labelling. If the annotation states the labelled size, the mismatch is
found photo by photo; otherwise the only hint is that no label of the dataset lies beyond some fraction of its photo.

Sizes are pairs of height and width in pixels, of the photo as displayed.
"""

import collections

import numpy as np

from cspn_tf.console import UserError
from cspn_tf.data.photo_checks import OUTSIDE_TOLERANCE, beyond_edges
from cspn_tf.data.samples import Sample

TURNED, SCALED = "labelled size turned", "labelled size scaled"
RESHAPED, CONTRADICTED = "labelled size of another shape", "labelled size contradicted"
# Kinds of mismatch between the stated size and the photo's, with their meaning.
KINDS = {
    TURNED: "labelled as stored but displayed rotated, so that labels miss the garments; or the stated size is wrong",
    SCALED: "the photo was resized after labelling, so that labels miss the garments; or the stated size is wrong",
    RESHAPED: "the photo was stretched or cropped after labelling, so that labels miss the garments; or the stated "
    "size is wrong",
    CONTRADICTED: "labels reach beyond the stated size but fit the photo: the stated size is wrong",
}
LABELS_IN_A_PART = "labels in a part of the photos"

# Tolerance in pixels when comparing sizes, also after scaling, which rounds.
_ROUNDING = 1
# Labels contradict a stated size if they reach beyond it by more than this fraction of it.
_CLEARLY_BEYOND = 0.02
# `unreached_part` needs this many photos without a stated size, and reports them if labels stay below this fraction of
# both width and height; the fraction reached is this percentile over photos.
_MIN_PHOTOS = 50
_REACHED_PART = 0.6
_PERCENTILE = 99


def size_fault(sample: Sample, size) -> tuple[str, str] | None:
    """Compare the labelled size that the annotation states with the photo's.

    Args:
        sample: `Sample`.
        size: size of its photo.

    Returns:
        kind: `TURNED`, labelled as stored but displayed rotated, or width and height swapped; `SCALED`, resized after
            labelling; `RESHAPED`, stretched or cropped after labelling; or `CONTRADICTED`, the stated size is wrong:
            the labels fit the photo, and the keypoints (the boxes if no keypoint is labelled) reach clearly beyond the
            stated size.
        detail: both sizes and how they differ.
        None instead of both if the sizes agree or the annotation states none.
    """
    labelled = sample.labelled_size
    if labelled is None or max(abs(a - b) for a, b in zip(labelled, size, strict=True)) <= _ROUNDING:
        return None
    sizes = f"labelled at {labelled[1]} x {labelled[0]}, photo {size[1]} x {size[0]}"
    keypoints_xy = sample.garments.keypoints_xy[sample.garments.labelled]
    # Boxes may have a margin that reaches beyond the photo; keypoints lie inside.
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
    """Refuse a dataset in which most of the stated sizes differ from those of the photos.

    The dataset is accepted if sizes that labels contradict number more than a tenth of the other mismatches, because
    then the stated sizes are probably wrong and the labels right.

    Args:
        samples_and_sizes: pairs of a `Sample` and the size of its photo, including rejected samples with labels
            outside the photo.

    Raises:
        UserError: the dataset is refused; the message has the counts and an example.
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
        f"{sample.where}: photo {sample.photo!a} {detail}; of {num_said} photos with a stated size: {counts}. "
        "Bring labels and photos to one size, or correct the sizes in the annotations if the labels are right"
    )


def unreached_part(samples_and_sizes) -> str | None:
    """Describe how far labels reach if they never leave a part of the photos, a sign of photos enlarged since.

    Args:
        samples_and_sizes: pairs of a `Sample` and the size of its photo. Samples that state a size and those without a
            garment are skipped.

    Returns:
        One line, or None if labels reach far enough or there are too few photos to tell.
    """
    reached = []
    for sample, size in samples_and_sizes:
        garments = sample.garments
        if sample.labelled_size is None and len(garments):
            points_xy = np.concatenate([garments.boxes_xyxy[:, 2:], garments.keypoints_xy[garments.labelled]])
            reached.append((_reach(points_xy) + 0.5) / size)
    if len(reached) < _MIN_PHOTOS:
        return None
    high, wide = np.percentile(reached, _PERCENTILE, axis=0)
    if max(high, wide) >= _REACHED_PART:
        return None
    return f"to {wide:.0%} of the width and {high:.0%} of the height in {_PERCENTILE} % of {len(reached)} photos"


def _scale(size, other):
    """Return the factor from `size` to `other`; None if their aspect ratios differ."""
    low = max((there - _ROUNDING) / here for here, there in zip(size, other, strict=True))
    high = min((there + _ROUNDING) / here for here, there in zip(size, other, strict=True))
    return (other[0] * other[1] / (size[0] * size[1])) ** 0.5 if low <= high else None


def _reach(points_xy):
    """Return the largest y and x of points, float `(2,)`; zeros if there are none."""
    return points_xy.max(axis=0, initial=0.0)[::-1]


def _fits(reach, size):
    return bool(beyond_edges(reach[::-1], size) <= OUTSIDE_TOLERANCE)
