"""Find suspicious labels and duplicate photos. They are reported for review, not rejected.

Label errors are often systematic: a tool that counted pixels from 1, an annotator who swapped left and right, a photo
in both the training and the test split.
"""

import collections
import dataclasses

import numpy as np

from cspn_tf.data import labelled_sizes
from cspn_tf.data.labelled_sizes import LABELS_IN_A_PART
from cspn_tf.data.photo_checks import OUTSIDE_TOLERANCE, beyond_edges
from cspn_tf.data.samples import SPLITS, Sample
from cspn_tf.garments import KEYPOINT_NAMES, MIN_NORMALISER_DISTANCE, NORMALISER_SLOTS

# How far outside its garment's box a keypoint may lie, as a fraction of the box's long side.
BOX_SLACK = 0.1

NO_GARMENTS = "no photo has a garment"
NOTHING_VISIBLE = "no keypoint is visible"

# Kinds of findings about a dataset as a whole, with their meaning.
KINDS_OF_DATASETS = {
    NO_GARMENTS: "nothing can be learnt from them but what has no garments; is the label file the right one?",
    LABELS_IN_A_PART: "the garments are all small, or the photos are larger than those that were labelled",
    NOTHING_VISIBLE: "NE, which counts visible keypoints only, will be empty, and a network that predicts visibility "
    "learns that nothing is visible; if a tool wrote 1 for every labelled keypoint, replace it by the format's code "
    "for visible, 2 in COCO",
}
# All kinds of findings, with their meaning.
KINDS = {
    **KINDS_OF_DATASETS,
    **labelled_sizes.KINDS,
    "box reaches outside the photo": "by more than a pixel; training and evaluation use the box unchanged",
    "keypoint outside the photo": "by at most a pixel; a photo with a keypoint further out is rejected",
    "keypoint far outside its box": f"by more than {BOX_SLACK:.0%} of the box's long side",
    "collars reversed": "left keypoint to the right of the right one: a garment seen from behind, or a labelling error",
    "sleeves reversed": "likewise, or crossed arms",
    "waistline reversed": "likewise",
    "hems reversed": "likewise",
    "keypoints in one place": "two keypoints of a garment have the same coordinates",
    "normalising pair too close": f"under {MIN_NORMALISER_DISTANCE:g} px: ne_garment skips the garment",
    "normalising pair not labelled": "ne_garment skips the garment",
    "no labelled keypoint": "the garment trains the detector only",
}
_PAIRS = {(0, 1): "collars reversed", (2, 3): "sleeves reversed", (4, 5): "waistline reversed", (6, 7): "hems reversed"}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One suspicious label of a garment or photo, or a finding about the dataset.

    Attributes:
        kind: one of `KINDS`.
        photo: the photo as the annotation names it; for a finding about the dataset, an example.
        split: split of the photo; for a finding about the dataset, the split or "all".
        where: `file:line` of the annotation.
        detail: the finding, with numbers.
    """

    kind: str
    photo: str
    split: str
    where: str
    detail: str


def examine(sample: Sample, size) -> list[Finding]:
    """Check the labels of one photo.

    Args:
        sample: `Sample` that was not rejected.
        size: height and width of its photo as displayed, pixels.

    Returns:
        list of `Finding`: about the photo, then garment by garment.
    """
    fault = labelled_sizes.size_fault(sample, size)
    found = [fault] if fault else []
    for garment in sample.garments:  # one row each
        found += [*_outside(garment, size), *_reversed_pairs(garment), *_normaliser_faults(garment)]
    return [Finding(kind, sample.photo, sample.split, sample.where, detail) for kind, detail in found]


def examine_dataset(photos) -> list[Finding]:
    """Check the labels of all photos together.

    Args:
        photos: list of objects with `sample`, a `Sample`, and `facts`, a `PhotoFacts`, at least one.

    Returns:
        list of `Finding` in the order of `KINDS_OF_DATASETS`.
    """
    found = []
    if not any(len(photo.sample.garments) for photo in photos):
        found.append((NO_GARMENTS, "all", photos[0].sample, f"none of {len(photos)} photos has a garment"))
    if part := labelled_sizes.unreached_part((photo.sample, photo.facts.size) for photo in photos):
        found.append((LABELS_IN_A_PART, "all", photos[0].sample, part))
    found += _splits_without_visible([photo.sample for photo in photos])
    return [Finding(kind, sample.photo, split, sample.where, detail) for kind, split, sample, detail in found]


def _splits_without_visible(samples):
    """Yield a finding for each split with labelled but no visible keypoints; one for "all" if no split has any."""
    in_split = {"all": samples, **{split: [s for s in samples if s.split == split] for split in SPLITS}}
    for split, members in in_split.items():
        labelled = [sample for sample in members if sample.garments.labelled.any()]
        if labelled and not any(sample.garments.visible.any() for sample in labelled):
            num = sum(int(sample.garments.labelled.sum()) for sample in labelled)
            yield NOTHING_VISIBLE, split, labelled[0], f"all of {num} labelled keypoints are occluded"
            if split == "all":
                return


def _outside(garment, size):
    x_min, y_min, x_max, y_max = garment.boxes_xyxy[0].tolist()
    box, photo = f"box {x_min:g} {y_min:g} {x_max:g} {y_max:g}", f"photo {size[1]} x {size[0]}"
    if beyond_edges(garment.boxes_xyxy.reshape(2, 2), size).max() > OUTSIDE_TOLERANCE:
        yield "box reaches outside the photo", f"{box}, {photo}"
    slack = BOX_SLACK * max(x_max - x_min, y_max - y_min)
    for slot in np.flatnonzero(garment.labelled[0]):
        x, y = garment.keypoints_xy[0, slot].tolist()
        text = f"{KEYPOINT_NAMES[slot]} {x:g} {y:g}"
        if beyond_edges(garment.keypoints_xy[0, slot], size) > 0:
            yield "keypoint outside the photo", f"{text}, {photo}"
        if not (x_min - slack <= x <= x_max + slack and y_min - slack <= y <= y_max + slack):
            yield "keypoint far outside its box", f"{text}, {box}"


def _reversed_pairs(garment):
    labelled, keypoints_xy = garment.labelled[0], garment.keypoints_xy[0]
    for (left, right), kind in _PAIRS.items():
        x_left, x_right = keypoints_xy[left, 0], keypoints_xy[right, 0]
        if labelled[left] and labelled[right] and x_left > x_right:
            yield kind, f"{KEYPOINT_NAMES[left]} x {x_left:g}, {KEYPOINT_NAMES[right]} x {x_right:g}"
    places = collections.defaultdict(list)
    for slot in np.flatnonzero(labelled):
        places[tuple(keypoints_xy[slot].tolist())].append(KEYPOINT_NAMES[slot])
    for (x, y), names in places.items():
        if len(names) > 1:
            yield "keypoints in one place", f"{', '.join(names)} at {x:g} {y:g}"


def _normaliser_faults(garment):
    labelled, keypoints_xy = garment.labelled[0], garment.keypoints_xy[0]
    if not labelled.any():
        yield "no labelled keypoint", ""
        return
    pair = list(NORMALISER_SLOTS[garment.types[0]])
    names = " and ".join(KEYPOINT_NAMES[slot] for slot in pair)
    if not labelled[pair].all():
        yield "normalising pair not labelled", names
        return
    distance = float(np.hypot(*(keypoints_xy[pair[1]] - keypoints_xy[pair[0]])))
    if distance < MIN_NORMALISER_DISTANCE:
        yield "normalising pair too close", f"{names} are {distance:.1f} px apart"


def find_duplicates(photos) -> list[dict]:
    """Find duplicate photos.

    Args:
        photos: list of objects with `sample`, a `Sample`, and `facts`, a `PhotoFacts`.

    Returns:
        list of groups, JSON-ready dicts:
        kind: "same file", or "same picture" for different files with the same perceptual hash (re-encoded, resized).
        across_splits: whether the photos are in more than one split, which makes test results too optimistic.
        photos: at least two dicts of split and photo, in the order of the dataset.
    """
    by_digest, by_look = collections.defaultdict(list), collections.defaultdict(dict)
    for photo in photos:
        named = {"split": photo.sample.split, "photo": photo.sample.photo}
        by_digest[photo.facts.digest].append(named)
        if photo.facts.look is not None:
            by_look[photo.facts.look].setdefault(photo.facts.digest, named)
    groups = [("same file", copies) for copies in by_digest.values()]
    groups += [("same picture", list(files.values())) for files in by_look.values()]
    return [
        {"kind": kind, "across_splits": len({photo["split"] for photo in same}) > 1, "photos": same}
        for kind, same in groups
        if len(same) > 1
    ]
