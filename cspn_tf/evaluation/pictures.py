"""Pictures of `evaluate`: contact sheets with predictions in colour over labels in white; reliability diagrams."""

import itertools
import random

from PIL import Image

from cspn_tf import drawing
from cspn_tf.evaluation import keypoint_metrics as metrics
from cspn_tf.evaluation.report import formatted
from cspn_tf.plots import saved_plot

SHEET_COLUMNS = 4
SHEET_TILE_SIZE = 400
# Characters of a photo's name in a caption, from the end: as many as fit beside the number of correct keypoints.
_NAME_LENGTH = 28


def draw_sheets(photos, matched, num_pictures, seed) -> dict:
    """Draw contact sheets of the photos with the lowest AUC and of random ones.

    Args:
        photos: iterable of `cspn_tf.evaluation.inputs.LabelledPhoto`.
        matched: a `cspn_tf.evaluation.matching.Matched` of the same photos.
        num_pictures: photos on a sheet; 0 for no sheets.
        seed: seed of the random choice.

    Returns:
        File name to picture, without sheets that would be empty.
    """
    indices = range(matched.num_photos)
    chosen = {
        "worst.jpg": worst_photos(matched, num_pictures),
        "random.jpg": sorted(random.Random(seed).sample(indices, min(num_pictures, len(indices)))),
    }
    wanted = {index for indices in chosen.values() for index in indices}
    first = itertools.islice(photos, max(wanted, default=-1) + 1)
    tiles = {index: _draw_tile(photo, matched.photo(index)) for index, photo in enumerate(first) if index in wanted}
    sheets = {}
    for name, indices in chosen.items():
        if indices:
            images, captions = zip(*(tiles[index] for index in indices), strict=True)
            sheets[name] = drawing.contact_sheet(images, SHEET_COLUMNS, SHEET_TILE_SIZE, captions)
    return sheets


def draw_reliability(measured: dict, file) -> None:
    """Draw a reliability diagram: share of visible keypoints against keypoint score, a curve per model.

    Args:
        measured: title of each curve to the result of `cspn_tf.evaluation.calibration.measure_calibration`.
        file: path or binary file to write, PNG.
    """
    with saved_plot(file, 2, 1, size=(5, 6), height_ratios=(3, 1), sharex=True) as (curves, counts):
        curves.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1, label="calibrated")
        for title, found in measured.items():
            bins = found["bins"]
            scores = [bin_["mean_score"] for bin_ in bins]
            auroc, error = (formatted(found[name], 3) for name in ("auroc", "calibration_error"))
            label = f"{title}\nAUROC {auroc}, calibration error {error}"
            curves.plot(scores, [bin_["share_positive"] for bin_ in bins], marker="o", markersize=4, label=label)
            counts.plot(scores, [bin_["count"] for bin_ in bins], marker="o", markersize=3)
        curves.set_ylabel("share that is visible")
        curves.legend(fontsize=7, loc="lower right")
        counts.set_ylabel("keypoints", fontsize=8)
        counts.set_ylim(bottom=0)
        counts.set_xlabel("keypoint score")
        for axis in (curves, counts):
            axis.set_xlim(0, 1)
            axis.grid(alpha=0.3)
        curves.set_ylim(0, 1)


def worst_photos(matched, num_photos) -> list[int]:
    """Return the indices of the photos with the lowest AUC, worst first; photos without keypoints are left out."""
    values = [metrics.score("auc", matched.photo(index))["value"] for index in range(matched.num_photos)]
    rated = [index for index, value in enumerate(values) if value is not None]
    return sorted(rated, key=lambda index: values[index])[:num_photos]


def _draw_tile(photo, matched):
    """Return the picture of one photo, and a caption with its number of correct keypoints by PCK."""
    from cspn_tf import decoding

    name = photo.name if len(photo.name) <= _NAME_LENGTH else "…" + photo.name[-_NAME_LENGTH:]
    try:
        image = Image.fromarray(decoding.pixels_as_displayed(photo.photo_bytes))
    except ValueError:
        return Image.new("RGB", (SHEET_TILE_SIZE, SHEET_TILE_SIZE)), f"unreadable  {name}"
    scale = SHEET_TILE_SIZE / max(image.size)
    (truth,), (result,), (matches,) = matched.truths, matched.results, matched.matches
    picture = drawing.draw_comparison(image, truth, result.garments, matches, scale)
    correct, counted, _ = metrics.pck(matched)
    return picture, f"{(correct & counted).sum()}/{counted.sum()}  {name}"
