"""The datasets that can be read, by the names the commands use."""

from pathlib import Path

from cspn_tf.console import UserError
from cspn_tf.data.samples import ReadResult

# The four of DeepFashion are one text format whose header lines tell the variant, whichever of these names is given.
DEEPFASHION = ("fld", "deepfashion-c", "in-shop", "consumer-to-shop")
SOURCES = (*DEEPFASHION, "deepfashion2", "fashionai", "coco", "synthetic")


def read_source(source, root, *, own_splits=True, annotation_files=None, categories=None) -> ReadResult:
    """Read a dataset's annotations.

    Args:
        source: one of `SOURCES`; `synthetic` is one that has been drawn already.
        root: the dataset's folder.
        own_splits: whether the dataset's own splits are wanted; without, a list of them may be missing.
        annotation_files: for `coco`, the JSON files; None for those that are found.
        categories: for `coco`, a dict of category name to `GarmentType`, for names that say nothing; or None.

    Returns:
        What was found; photos have not been looked at.

    Raises:
        UserError: there is no such folder; or as the reader of the source says.
    """
    if not Path(root).is_dir():
        raise UserError(f"{root}: no such folder")
    if source == "synthetic":
        # Drawn with one garment a photo it is laid out as FLD, with several as COCO.
        drawn = sorted((Path(root) / "annotations").glob("*.json"))
        source, annotation_files = ("coco", drawn) if drawn else ("fld", None)
    if source in DEEPFASHION:
        from cspn_tf.data.deepfashion import read_deepfashion

        return read_deepfashion(root, own_splits=own_splits)
    if source == "deepfashion2":
        from cspn_tf.data.deepfashion2 import read_deepfashion2

        return read_deepfashion2(root)
    if source == "fashionai":
        from cspn_tf.data.fashionai import read_fashionai

        return read_fashionai(root)
    from cspn_tf.data.coco import read_coco

    return read_coco(root, annotation_files=annotation_files, categories=categories)
