"""What commands do with a model's answers: write them in a format, draw them, say on stderr which photos failed."""

import csv
import sys
from pathlib import Path

from cspn_tf.files import replaced_file
from cspn_tf.garments import KEYPOINT_NAMES, Visibility

PICTURE_SUFFIX = ".keypoints.jpg"


def complain(message) -> None:
    """Print one line on stderr."""
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr, flush=True)


# Pictures ------------------------------------------------------------------------------------------------------------


def name_pictures(photos, out) -> dict:
    """Return photo to the path of its picture, `<stem>.keypoints.jpg`, numbered where two photos have one stem.

    Args:
        photos: paths; none of them is the path of a picture.
        out: folder of the pictures.
    """
    paths, taken = {}, {Path(photo).resolve() for photo in photos}
    for photo in dict.fromkeys(photos):
        stem, number = Path(photo).stem, 1
        path = out / f"{stem}{PICTURE_SUFFIX}"
        while path.resolve() in taken:
            number += 1
            path = out / f"{stem}-{number}{PICTURE_SUFFIX}"
        taken.add(path.resolve())
        paths[photo] = path
    return paths


def draw(result, path) -> bool:
    """Write a photo with its garments drawn on; return whether that was possible, and say on stderr where not."""
    try:
        picture = result.draw()
        with replaced_file(path) as temporary:
            picture.save(temporary, "JPEG", quality=90)
    except (OSError, ValueError) as error:
        complain(f"{result.name}: cannot draw {path}: {error}")
        return False
    return True


# Files ---------------------------------------------------------------------------------------------------------------


def write_json_lines(path, results) -> None:
    """Write results as one line of JSON a photo, see `Result.to_dict`, as they come.

    Args:
        path: file to write; it is there whole or not at all.
        results: iterable of `Result`; only one of them is held at a time.
    """
    with replaced_file(path) as temporary, temporary.open("w") as file:
        for result in results:
            file.write(result.to_json() + "\n")


def write_csv(path, results) -> None:
    """Write results as a table with one row a garment; as `write_json_lines`.

    A photo without garments, or that was not looked at, has one row with its name, status and size. Keypoints that a
    garment's type does not have are empty.
    """
    columns = ["photo", "status", "width", "height", "type", "score", "x_min", "y_min", "x_max", "y_max"]
    columns += [f"{name}_{value}" for name in KEYPOINT_NAMES for value in ("x", "y", "score")]
    # Names that are not UTF-8 are written as they are on the disk.
    with (
        replaced_file(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        for result in results:
            height, width = result.image_size
            photo = {"photo": result.name, "status": result.status, "width": width, "height": height}
            writer.writerows({**photo, **row} for row in map(_csv_row, result.garments.to_dicts() or [None]))


def _csv_row(garment):
    if garment is None:
        return {}
    row = {"type": garment["type"], "score": garment["score"]}
    row |= zip(("x_min", "y_min", "x_max", "y_max"), garment["box_xyxy"], strict=True)
    points = garment["keypoints"].items()
    return row | {f"{name}_{value}": point[value] for name, point in points for value in ("x", "y", "score")}


def write_coco(path, results) -> None:
    """Write results as a document of COCO keypoints, with scores as extra keys; as `write_json_lines`.

    Its images are the photos that were looked at. The keypoints that a garment's type has are said to be visible.
    """
    from cspn_tf.data import coco
    from cspn_tf.data.samples import Sample

    def labelled(garments):
        return garments.replace(visibility=garments.of_type * int(Visibility.VISIBLE))

    coco.write_coco(
        path,
        (
            (Sample(result.name, None, labelled(result.garments), result.name, result.name), *result.image_size)
            for result in results
            if result.ok
        ),
    )


# Format → the file's name and how it is written.
WRITERS = {
    "jsonl": ("predictions.jsonl", write_json_lines),
    "csv": ("predictions.csv", write_csv),
    "coco": ("predictions.coco.json", write_coco),
}
