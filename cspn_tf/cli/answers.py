"""Output of results by commands: files in several formats, pictures, and errors on stderr."""

import csv
import dataclasses
import itertools
import os
import sys
import types
from pathlib import Path

from cspn_tf.console import one_line
from cspn_tf.contract import PICTURE_SUFFIX
from cspn_tf.files import replaced_file, write_picture
from cspn_tf.garments import KEYPOINT_NAMES, Visibility
from cspn_tf.lengths import LENGTHS


def complain(message) -> None:
    """Print an error as one line on stderr."""
    print(f"error: {one_line(message)}", file=sys.stderr, flush=True)


# Pictures ------------------------------------------------------------------------------------------------------------


def name_pictures(photos, out) -> dict:
    """Return a dict of photo to picture path, `<stem>.keypoints.jpg`, numbered if photos share a stem.

    Args:
        photos: paths; no picture gets the path of a photo.
        out: folder for the pictures.
    """
    paths, untried_names = {}, {}
    # Names in the folder that must not be overwritten: photos, and the targets of symlinks.
    places = (place for photo in photos for place in (Path(os.path.abspath(photo)), Path(photo).resolve()))
    folder = out.resolve()
    taken = {place.name for place in places if place.parent.resolve() == folder}
    for photo in dict.fromkeys(photos):
        stem = Path(photo).stem
        names = untried_names.setdefault(stem, _picture_names(stem))
        name = next(name for name in names if name not in taken)
        taken.add(name)
        paths[photo] = out / name
    return paths


def _picture_names(stem):
    yield f"{stem}{PICTURE_SUFFIX}"
    yield from (f"{stem}-{number}{PICTURE_SUFFIX}" for number in itertools.count(2))


def reported(results, picture_paths, failed):
    """Pass results through, drawing each photo and reporting failures on stderr.

    Args:
        results: iterable of `Result`.
        picture_paths: dict of result name to picture path; empty to draw nothing.
        failed: list to which the names of photos are appended that failed or could not be drawn.
    """
    for result in results:
        if not result.ok:
            complain(f"{result.name}: {result.status_meaning}")
        if not result.ok or (picture_paths and not _draw(result, picture_paths[result.name])):
            failed.append(result.name)
        yield result


def _draw(result, path) -> bool:
    try:
        write_picture(path, result.draw(), quality=90)
    except (OSError, ValueError) as error:
        complain(f"{result.name}: cannot draw {path}: {getattr(error, 'strerror', None) or error}")
        return False
    return True


# Files ---------------------------------------------------------------------------------------------------------------


def write_json_lines(path, results) -> None:
    """Write results as one line of JSON per photo, see `Result.to_dict`.

    Args:
        path: file to write, by atomic rename.
        results: iterable of `Result`, consumed one at a time.
    """
    with replaced_file(path) as temporary, temporary.open("w") as file:
        for result in results:
            file.write(result.to_json() + "\n")


def write_csv(path, results, cm_per_pixel=None) -> None:
    """Write results as a CSV table with one row per garment.

    A photo without garments, or with a status other than 0, has one row with its name, status and size. Keypoints that
    the garment type does not have are empty, and so are lengths that are not measurable.

    Args:
        path, results: as for `write_json_lines`.
        cm_per_pixel: scale of all photos, to add lengths in centimetres; or None.
    """
    columns = ["photo", "status", "width", "height", "type", "score", "x_min", "y_min", "x_max", "y_max"]
    columns += [f"{name}_{value}" for name in KEYPOINT_NAMES for value in ("x", "y", "score")]
    units = ("pixels",) if cm_per_pixel is None else ("pixels", "cm")
    columns += [f"{name}_{unit}{sd}" for name in LENGTHS for unit in units for sd in ("", "_sd")]
    # File names that are not UTF-8 are written byte for byte.
    with (
        replaced_file(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        # Only characters of the line's end are quoted, so that it must have a carriage return, which is not written.
        lines = types.SimpleNamespace(write=lambda line: file.write(line.removesuffix("\r\n") + "\n"))
        writer = csv.DictWriter(lines, columns, restval="", lineterminator="\r\n")
        writer.writeheader()
        for result in results:
            height, width = result.image_size
            photo = {"photo": result.name, "status": result.status, "width": width, "height": height}
            rows = [_csv_row(garment, cm_per_pixel) for garment in result.garments]
            writer.writerows({**photo, **row} for row in rows or [{}])


def _csv_row(garments, cm_per_pixel):
    """Return the columns of one garment, given as `Garments` of one row."""
    (garment,) = garments.to_dicts()
    row = {"type": garment["type"], "score": garment["score"]}
    row |= zip(("x_min", "y_min", "x_max", "y_max"), garment["box_xyxy"], strict=True)
    points = garment["keypoints"].items()
    row |= {f"{name}_{value}": point[value] for name, point in points for value in ("x", "y", "score")}
    for name, length in garments.lengths(cm_per_pixel).items():
        numbers = {key: value for key, value in dataclasses.asdict(length).items() if key != "missing"}
        row |= {f"{name}_{key}": round(value, 2) for key, value in numbers.items() if value is not None}
    return row


def write_coco(path, results, folder=".") -> None:
    """Write results as a COCO keypoints file, with scores as extra keys.

    Its images are the photos with status 0, with paths relative to `folder`, or names as they are if it is None. All
    keypoints that the garment type has are marked visible.
    """
    from cspn_tf.data import coco
    from cspn_tf.data.samples import Sample

    def sample(result):
        garments = result.garments.replace(visibility=result.garments.of_type * int(Visibility.VISIBLE))
        name = result.name if folder is None else os.path.relpath(result.name, folder)
        return Sample(name, None, garments, result.name, result.name)

    coco.write_coco(path, ((sample(result), *result.image_size) for result in results if result.ok))


# Format → file name and writer.
WRITERS = {
    "jsonl": ("predictions.jsonl", write_json_lines),
    "csv": ("predictions.csv", write_csv),
    "coco": ("predictions.coco.json", write_coco),
}
