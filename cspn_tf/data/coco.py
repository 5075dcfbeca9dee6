"""Read and write COCO keypoints: one JSON document with `images`, `annotations` and `categories`.

Read are files whose categories have our keypoints by name, in any order and spelling of "left_collar":

- one category with all eight, or one for each garment type;
- the form in which MMPose ships DeepFashion's FLD: `annotations/fld_upper_train.json`, `fld_lower_train.json` and
  `fld_full_train.json`, and so for `val` and `test`, each with one category of 6, 4 or 8 keypoints, photos in `img/`;
- what `write_coco` writes, what CVAT exports as "COCO Keypoints 1.0", and what Label Studio exports as COCO: there a
  photo's rectangles are annotations, and all its keypoints are one more, so that it can hold one garment.

A keypoint is x, y, v with v 2 visible, 1 occluded, 0 not labelled, whatever x and y then are: the reverse of FLD's text
files. A box is [x, y, w, h] with w = x_max - x_min.

The garment type is the category's, never guessed from values: 6 keypoints without waistline are upper-body, 4 without
collars and sleeves lower-body. Of a category with all eight, or with boxes alone, its name tells ("upper", "upper-
body" and so on); if it is the file's only one with keypoints of ours, it is full-body, the type that has them all.

A fault of a file or of the categories it uses ends the reading; a fault of an image or an annotation costs that photo
alone, and all of it: a detector must not learn that a garment with a faulty label is background. No fault is what
cannot mislead, since tools differ in it: ids are whole numbers or texts, and 7, 7.0 and "7" the same one; coordinates
may be texts, as "12.5"; `iscrowd` may be a boolean; categories that no annotation uses may be anything; `num_keypoints`
is not relied on; what may be missing may be null, and so may v of a keypoint without coordinates.

Two extra keys, which other readers pass over, carry what COCO has no place for: `variation` of an annotation and
`split_group` of an image, see `cspn_tf.data.samples`; what other tools have under these names counts as nothing. Lost
are cut-off keypoints, which COCO does not tell from those nobody labelled.

Sources: https://cocodataset.org/#format-data, and for MMPose's files
https://mmpose.readthedocs.io/en/latest/dataset_zoo/2d_fashion_landmark.html
"""

import json
import re
import shutil
import tempfile
from pathlib import Path

from cspn_tf.console import UserError
from cspn_tf.data import fields
from cspn_tf.data.coco_file import CocoFile, CocoPhoto
from cspn_tf.data.fields import RowFault
from cspn_tf.data.samples import PHOTO_WITHOUT_GARMENT, ReadResult, Sample
from cspn_tf.files import replaced_file
from cspn_tf.garments import GARMENT_TYPE_NAMES, KEYPOINT_NAMES, SKELETON

# Notes of a `ReadResult`.
REPEATED_ANNOTATION = "annotation that repeats another one of its photo, left out"

# Last part of a file's name → split.
SPLIT_TOKENS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
# Where photos are looked for, besides the root itself; folders named as the split come after them.
PHOTO_FOLDERS = ("img", "image", "images", "photos")


def read_coco(root, annotation_files=None, categories=None) -> ReadResult:
    """Read a dataset in COCO's keypoint format.

    Args:
        root: the folder photos are looked for in: itself, `PHOTO_FOLDERS`, and a folder named as the split.
        annotation_files: paths of the JSON files, or none for all in the root and in `annotations/`. Annotations of
            a photo in several files of one split come together. A file is of the split that ends its name, as in
            `labels.train.json` or `fld_upper_val.json`, or of none.
        categories: dict of category name → `GarmentType`, which goes before what the category itself says.

    Returns:
        The photos in the order of the files and their images, and one `Rejected` for every photo that cannot be
        used, then of the same file for every annotation that belongs to no photo, which may come of a fault of its
        image. Photos have not been looked at.

    Raises:
        UserError: a file is missing or not COCO keypoints, a category that is used has other keypoints than ours or
            does not tell its garment type, or `categories` names one that no file has.
    """
    root = Path(root)
    given_types = dict(categories or {})
    photos, names, result = {}, set(), ReadResult("COCO keypoints")
    for path in _distinct(map(Path, annotation_files) if annotation_files else _found_files(root)):
        file = CocoFile(path, given_types)
        names |= file.category_names
        file.read_into(photos, split_of_file(path))
        for words, count in file.notes.items():
            result.note(words, count)
    for name in given_types:
        if name not in names:
            raise UserError(f"{root}: no category {fields.shown(name)}, found {', '.join(sorted(map(ascii, names)))}")
    _add_samples(result, list(photos.values()), root)
    return result


def read_labelled_images(annotation_files) -> dict[int | str, CocoPhoto]:
    """Read all images of some annotation files with their garments, those without any too; for scoring predictions.

    What would cost `read_coco` a photo ends the reading here: a measure must not depend on what was left out. Photos
    are not looked for, and the files need be of no split.

    Args:
        annotation_files: paths of the JSON files. An image that is in several of them has the same id in all; its
            annotations come together.

    Returns:
        image id → `CocoPhoto`, in the order of the files and their images.

    Raises:
        UserError: as `read_coco`; or the first fault of an image or an annotation; or ids that do not tell images
            apart.
    """
    photos, photo_of_id, id_of_name = {}, {}, {}
    for path in _distinct(map(Path, annotation_files)):
        found = CocoFile(path, {}).read_into(photos, split=None)
        for fault in (photo.fault for photo in photos.values() if photo.fault):
            raise UserError(f"{fault.where}: {fault}")
        for image_id, photo in found.items():
            image = f"{path}: image {fields.shown(image_id)}"
            first = photo_of_id.setdefault(image_id, photo)
            if first is not photo:
                raise UserError(f"{image} is {fields.shown(photo.name)}, another one in {first.where}")
            if id_of_name.setdefault(photo.name, image_id) != image_id:
                raise UserError(f"{image} has another id in {photo.where}")
    return photo_of_id


def _found_files(root):
    folders = (root, root / "annotations")
    paths = [path for folder in folders for path in sorted(folder.glob("*.json")) if not path.name.startswith(".")]
    if not paths:
        raise UserError(f"{root}: no COCO annotation: no JSON file in it or in annotations")
    return paths


def _distinct(paths):
    return list({path.resolve(): path for path in paths}.values())


def split_of_file(path) -> str | None:
    """Return the split that the last part of an annotation file's name tells, or None."""
    return SPLIT_TOKENS.get(re.split("[._-]", Path(path).name.lower().removesuffix(".json"))[-1])


def split_path(path, split) -> Path:
    """Return the file of one split of an export: `labels.json` and "train" make `labels.train.json`."""
    path = Path(path)
    return path.with_name(f"{path.name.removesuffix('.json')}.{split}.json")


# Photos, over all files ----------------------------------------------------------------------------------------------


def _add_samples(result, photos, root):
    folders = {split: _photo_folders(root, split) for split in {photo.split for photo in photos}}
    paths = [fields.photo_paths(folders[photo.split], photo.name) for photo in photos]
    first_of_path = {}
    for photo, (path, *_) in zip(photos, paths, strict=True):
        # What one labels would be background to the other.
        first = first_of_path.setdefault(path, photo)
        if first is not photo:
            for one, other in ((first, photo), (photo, first)):
                with one.keeping_fault(one.where):
                    raise RowFault(f"the same photo is labelled apart from it in {other.where}")

    for photo, (path, *others) in zip(photos, paths, strict=True):
        with result.rejecting(photo.name, photo.where):
            if photo.fault:
                raise photo.fault
            garments = photo.garments
            result.note(PHOTO_WITHOUT_GARMENT, not photo.annotations)
            result.note(REPEATED_ANNOTATION, len(photo.annotations) - len(garments))
            said = photo.where, path, photo.group, photo.labelled_size
            result.samples.append(Sample(photo.name, photo.split, garments, *said, tuple(others)))


def _photo_folders(root, split):
    names = [*PHOTO_FOLDERS, *(token for token, token_split in SPLIT_TOKENS.items() if token_split == split)]
    return [root, *(root / name for name in names if (root / name).is_dir())]


# Writing -------------------------------------------------------------------------------------------------------------


def write_coco(path, photos) -> None:
    """Write photos and their labels as one COCO keypoints file.

    `read_coco` gives them back as they are, but for cut-off keypoints, which become unlabelled ones, 0 0 0. Boxes
    come back exactly if their coordinates are float32 values. Photos are referred to by `Sample.photo`.

    Args:
        path: file to write; it is there whole or not at all.
        photos: iterable of (`Sample`, height, width), sizes in pixels of the photo as displayed. Only one of them is
            held at a time.
    """
    path = Path(path)
    # A document has its images before its annotations, and both come in together: the latter wait in a second file.
    with (
        replaced_file(path) as temporary,
        temporary.open("w") as file,
        tempfile.TemporaryFile("w+", dir=path.parent) as annotations,
    ):
        file.write('{"info": {"description": "garment keypoints"},\n"categories": [')
        file.write(",".join("\n" + json.dumps(category) for category in _categories()) + '\n],\n"images": [')
        label_id = 1
        for image_id, (sample, height, width) in enumerate(photos, start=1):
            file.write(("," if image_id > 1 else "") + "\n" + json.dumps(_image(image_id, sample, height, width)))
            for annotation in sample.garments.to_coco_annotations(image_id, label_id):
                annotations.write(("," if label_id > 1 else "") + "\n" + json.dumps(annotation, allow_nan=False))
                label_id += 1
        file.write('\n],\n"annotations": [')
        annotations.seek(0)
        shutil.copyfileobj(annotations, file)
        file.write("\n]}\n")


def _categories():
    skeleton = [[first + 1, second + 1] for first, second in SKELETON]  # COCO counts keypoints from 1
    return [
        {
            "id": int(garment_type),
            "name": name,
            "supercategory": "garment",
            "keypoints": list(KEYPOINT_NAMES),
            "skeleton": skeleton,
        }
        for garment_type, name in GARMENT_TYPE_NAMES.items()
    ]


def _image(image_id, sample, height, width):
    image = {"id": image_id, "file_name": sample.photo, "height": int(height), "width": int(width)}
    return image if sample.group is None else {**image, "split_group": sample.group}
