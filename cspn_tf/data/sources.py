"""Select the reader of a dataset by the name that commands take as `--source`."""

from pathlib import Path

from cspn_tf.console import UserError
from cspn_tf.data.coco import read_coco
from cspn_tf.data.deepfashion import read_deepfashion
from cspn_tf.data.deepfashion2 import read_deepfashion2
from cspn_tf.data.fashionai import read_fashionai
from cspn_tf.data.samples import ReadResult

# These four share one text format. The reader recognises the variant by the header lines, whichever name is given.
DEEPFASHION = ("fld", "deepfashion-c", "in-shop", "consumer-to-shop")
SOURCES = (*DEEPFASHION, "deepfashion2", "fashionai", "coco", "synthetic")


def read_source(source, root, *, own_splits=True, annotation_files=None, categories=None) -> ReadResult:
    """Read a dataset's annotations.

    Args:
        source: one of `SOURCES`; `synthetic` must have been rendered already.
        root: the dataset's folder.
        own_splits: whether to read the dataset's own splits; if not, the file that lists them may be missing.
        annotation_files: for `coco`, the JSON files; None to search for them.
        categories: for `coco`, category name → `GarmentType`, for names from which it cannot be inferred; or None.

    Returns:
        A `ReadResult`. Photos are not opened.

    Raises:
        UserError: the folder does not exist, or the reader raises it.
    """
    if not Path(root).is_dir():
        raise UserError(f"{root}: no such folder")
    if source == "synthetic":
        # Synthetic datasets are written as FLD, or as COCO if they have several garments per photo.
        drawn = sorted((Path(root) / "annotations").glob("*.json"))
        source, annotation_files = ("coco", drawn) if drawn else ("fld", None)
    if source in DEEPFASHION:
        return read_deepfashion(root, own_splits=own_splits)
    if source == "deepfashion2":
        return read_deepfashion2(root)
    if source == "fashionai":
        return read_fashionai(root)
    return read_coco(root, annotation_files=annotation_files, categories=categories)
