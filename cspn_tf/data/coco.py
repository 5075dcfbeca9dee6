"""Read and write COCO keypoints: one JSON document with `images`, `annotations` and `categories`.

Files that are read
    Categories must have our keypoints by name, in any order and spelling of "left_collar". Accepted are:

    - one category with all eight keypoints, or one category for each garment type;
    - MMPose's form of DeepFashion's FLD: `annotations/fld_upper_train.json`, `fld_lower_train.json` and
      `fld_full_train.json`, likewise for `val` and `test`, each with one category of 6, 4 or 8 keypoints, and photos
      in `img/`;
    - files written by `write_coco`, CVAT's export "COCO Keypoints 1.0" (`annotations/person_keypoints_SUBSET.json`,
      photos in `images/SUBSET/`), and Roboflow's (`train/_annotations.coco.json` beside its photos, likewise for
      `valid` and `test`);
    - Label Studio's COCO export. There each rectangle of a photo is an annotation, and all its keypoints together are
      another one, so a photo can have only one garment.

    A keypoint is x, y, v, where v is 2 visible, 1 occluded, 0 not labelled. If v is 0, x and y are ignored. (FLD's text
    files use the reverse order: 0 visible, 1 occluded.) A box is [x, y, w, h] with w = x_max - x_min.

Garment types
    The category determines the garment type; it is never guessed from coordinates.

    - A name like "upper", "upper-body" or "Upper_Body" determines it. Such a category has all eight keypoints, or
      only keypoints that the type has, or boxes only.
    - Under another name, a category with 6 keypoints and no waistline is upper-body, one with 4 and no collars or
      sleeves is lower-body, and one with all eight, if it is the file's only category with keypoints, is full-body.

Faults
    A fault in the file, or in a category that annotations use, is an error that ends the reading. A fault in an image
    or an annotation rejects that photo with all its garments: a detector must not learn that a garment with a faulty
    label is background.

    Harmless deviations of common tools are not faults:

    - ids may be integers or text, and 7, 7.0 and "7" are the same id;
    - coordinates may be text, such as "12.5";
    - `iscrowd` may be a boolean;
    - categories that no annotation uses may have any content;
    - `num_keypoints` is not relied on;
    - optional values may be null, and so may v of a keypoint without coordinates.

Extra keys
    `variation` of an annotation and `split_group` of an image, see `cspn_tf.data.samples`, hold what COCO has no place
    for; other readers ignore them. If another tool uses these names with values of another kind, they are ignored.
    Cut-off keypoints are lost, because COCO does not distinguish them from unlabelled ones.

Sources: https://cocodataset.org/#format-data, and for MMPose's files
https://mmpose.readthedocs.io/en/latest/dataset_zoo/2d_fashion_landmark.html
"""

import collections
import json
import os
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
REPEATED_ANNOTATION = "duplicate annotation of a photo, left out"

# What comes before the subset in the names of annotation files of COCO itself and of CVAT.
_SUBSET_PREFIXES = ("person_keypoints_", "instances_")
# What each split's annotations are called in Roboflow's exports, in a folder named like the split.
ROBOFLOW_FILE = "_annotations.coco.json"
# Last part of an annotation file's name, without a year → split.
SPLIT_TOKENS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
# Subfolders searched for photos after the root itself and before folders named like the split.
PHOTO_FOLDERS = ("img", "image", "images", "photos", "data")


def read_coco(root, annotation_files=None, categories=None) -> ReadResult:
    """Read a dataset in COCO's keypoint format.

    Args:
        root: the dataset's folder. Photos are searched in the subset's folder, in `images/` or the root, for files of
            COCO and CVAT, in the root, in its `PHOTO_FOLDERS`, in a folder named like the split, in it or in `images/`,
            and in `images/default/`. If photos of several folders have the same name, `Sample.photo` is the path
            relative to the root.
        annotation_files: paths of the JSON files; by default all in the root and in `annotations/`, and Roboflow's. The
            last part of a file's name is its split, as in `labels.train.json`, `fld_upper_val.json` or
            `instances_val2017.json`; a file may have none. If a photo is in several files of one split, its annotations
            are merged.
        categories: dict of category name → `GarmentType`, which overrides the type that the category itself implies.

    Returns:
        The photos in the order of the files and their images. For each file, one `Rejected` for every photo that cannot
        be used, then one for every annotation that refers to no image, possibly because its image is faulty. Photos are
        not opened.

    Raises:
        UserError: a file is missing or is not COCO keypoints, the keypoints or garment type of a used category are not
            recognised, or `categories` has a name that no file has.
    """
    root = Path(root)
    given_types = dict(categories or {})
    photos, names, result = {}, set(), ReadResult("COCO keypoints")
    for path in _distinct(map(Path, annotation_files) if annotation_files else _found_files(root)):
        file = CocoFile(path, given_types)
        names |= file.category_names
        file.read_into(photos, split_of_file(path), _subset_of_file(path))
        for words, count in file.notes.items():
            result.note(words, count)
    for name in given_types:
        if name not in names:
            raise UserError(f"{root}: no category {fields.shown(name)}; found {', '.join(sorted(map(ascii, names)))}")
    _add_samples(result, list(photos.values()), root)
    return result


def read_labelled_images(annotation_files) -> tuple[dict[int | str, CocoPhoto], set]:
    """Read all images of annotation files with their garments, including images without any, to score predictions.

    A fault for which `read_coco` rejects one photo is an error here, because a measure must not depend on photos that
    were left out. Photos are not searched for, and the files need no split.

    Args:
        annotation_files: paths of the JSON files. An image that is in several files must have the same id in all; its
            annotations are merged.

    Returns:
        photos: image id → `CocoPhoto`, in the order of the files and their images.
        categories: the files' pairs of category id and `GarmentType`.

    Raises:
        UserError: as `read_coco`; or an image or annotation has a fault (the first one is reported); or ids do not
            identify images uniquely.
    """
    photos, photo_of_id, id_of_name, categories = {}, {}, {}, set()
    for path in _distinct(map(Path, annotation_files)):
        file = CocoFile(path, {})
        categories |= file.garment_types
        found = file.read_into(photos)
        for fault in (photo.fault for photo in photos.values() if photo.fault):
            raise UserError(f"{fault.where}: {fault}")
        for image_id, photo in found.items():
            image = f"{path}: image {fields.shown(image_id)}"
            first = photo_of_id.setdefault(image_id, photo)
            if first is not photo:
                raise UserError(f"{image} is {fields.shown(photo.name)}, a different photo from {first.where}")
            if id_of_name.setdefault(photo.name, image_id) != image_id:
                raise UserError(f"{image} has a different id in {photo.where}")
    return photo_of_id, categories


def _found_files(root):
    folders = (root, root / "annotations")
    paths = [path for folder in folders for path in sorted(folder.glob("*.json")) if not path.name.startswith(".")]
    paths += [path for token in SPLIT_TOKENS if (path := root / token / ROBOFLOW_FILE).is_file()]
    if not paths:
        raise UserError(f"{root}: no COCO annotations: no JSON file in it or in annotations")
    return paths


def _distinct(paths):
    return list({path.resolve(): path for path in paths}.values())


def split_of_file(path) -> str | None:
    """Return the split given by the last part of an annotation file's name, of Roboflow's by its folder, or None."""
    path = Path(path)
    if path.name == ROBOFLOW_FILE:
        return SPLIT_TOKENS.get(path.absolute().parent.name.lower())
    return SPLIT_TOKENS.get(re.split("[._-]", path.name.lower().removesuffix(".json"))[-1].rstrip("0123456789"))


def _subset_of_file(path) -> str | None:
    """Return the subset of a file that is named as COCO and CVAT do, also the folder of its photos; None for others."""
    return next((path.stem.removeprefix(start) for start in _SUBSET_PREFIXES if path.name.startswith(start)), None)


def split_path(path, split) -> Path:
    """Return the path of one split of an export: `labels.train.json` for `labels.json` and "train"."""
    path = Path(path)
    return path.with_name(f"{path.name.removesuffix('.json')}.{split}.json")


# Photos, over all files ----------------------------------------------------------------------------------------------


def _add_samples(result, photos, root):
    parts = [(photo.split, photo.subset) for photo in photos]
    folders = {part: _photo_folders(root, *part) for part in set(parts)}
    paths = [fields.photo_paths(folders[part], photo.name) for photo, part in zip(photos, parts, strict=True)]
    num_of_name = collections.Counter(photo.name for photo in photos)
    first_of_path = {}
    for photo, (path, *_) in zip(photos, paths, strict=True):
        # Garments labelled in one entry only would be background in the other.
        first = first_of_path.setdefault(path, photo)
        if first is not photo:
            for one, other in ((first, photo), (photo, first)):
                with one.keeping_fault(one.where):
                    raise RowFault(f"the same photo is also labelled in {other.where}")

    for photo, (path, *others) in zip(photos, paths, strict=True):
        with result.rejecting(photo.name, photo.where):
            if photo.fault:
                raise photo.fault
            garments = photo.garments
            result.note(PHOTO_WITHOUT_GARMENT, not photo.annotations)
            result.note(REPEATED_ANNOTATION, len(photo.annotations) - len(garments))
            # Photos of different folders may have the same name.
            name = photo.name if num_of_name[photo.name] == 1 else Path(os.path.relpath(path, root)).as_posix()
            said = photo.where, path, photo.group, photo.labelled_size
            result.samples.append(Sample(name, photo.split, garments, *said, tuple(others)))


def _photo_folders(root, split, subset):
    tokens = [token for token, token_split in SPLIT_TOKENS.items() if token_split == split]
    names = [*PHOTO_FOLDERS, *tokens, *(f"images/{token}" for token in [*tokens, "default"])]
    # A subset's own folder comes first: others may have photos of the same name.
    own = [f"images/{subset}", subset] if subset else []
    return [root / name for name in [*own, ".", *names] if (root / name).is_dir()]


# Writing -------------------------------------------------------------------------------------------------------------


def write_coco(path, photos) -> None:
    """Write photos and their labels as one COCO keypoints file.

    `read_coco` restores them, except that cut-off keypoints become unlabelled ones, 0 0 0. Boxes are restored exactly
    if their coordinates are float32 values. Photos are referred to by `Sample.photo`.

    Args:
        path: file to write, by atomic rename.
        photos: iterable of (`Sample`, height, width), sizes in pixels of the photo as displayed. Only one of
            them is in memory at a time.
    """
    path = Path(path)
    # Images come before annotations in the document, but both are produced together, so annotations are buffered.
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
