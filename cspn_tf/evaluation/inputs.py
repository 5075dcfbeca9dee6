"""Inputs of `evaluate`: labelled photos with a model's predictions, or COCO annotation and results files."""

import dataclasses
import itertools

import numpy as np

from cspn_tf.console import UserError
from cspn_tf.contract import STATUS_OK
from cspn_tf.data.coco import read_labelled_images
from cspn_tf.data.coco_results import read_coco_results
from cspn_tf.evaluation.matching import match_given_boxes, match_photos
from cspn_tf.garment_set import Garments
from cspn_tf.pillow_photos import encode_photo
from cspn_tf.progress import Progress
from cspn_tf.result import Result

# Photos of a prepared dataset ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class LabelledPhoto:
    """One photo of a prepared dataset: name, encoded file, and labels as `Garments` in photo pixels."""

    name: str
    photo_bytes: bytes
    garments: Garments

    def turned(self, num_turns) -> "LabelledPhoto":
        """Return the photo and its labels turned by quarter turns counter-clockwise.

        The photo becomes a PNG, or a JPEG if it has more pixels than models accept of a PNG. A photo that cannot be
        decoded stays as it is: a model finds nothing in it either way.
        """
        from cspn_tf import geometry
        from cspn_tf.decoding import pixels_as_displayed

        try:
            pixels, garments = pixels_as_displayed(self.photo_bytes), self.garments
        except ValueError:
            return self
        for _ in range(num_turns):
            width = pixels.shape[1]
            pixels = np.rot90(pixels)
            garments = garments.replace(
                boxes_xyxy=np.asarray(geometry.quarter_turn_boxes(garments.boxes_xyxy, width, 1)),
                keypoints_xy=np.asarray(geometry.quarter_turn_points(garments.keypoints_xy, width, 1)),
            )
        return LabelledPhoto(self.name, encode_photo(pixels), garments)


class Photos:
    """The first `limit` labelled photos of a split, turned by `num_turns`, read from disk on every iteration."""

    def __init__(self, data_dir, split, limit=None, num_turns=0):
        """Open the dataset.

        Raises:
            UserError: if it is not a prepared dataset or has no photos in the split.
        """
        from cspn_tf.data import tfrecords

        tfrecords.verify(data_dir, [split])
        self._paths = tfrecords.shard_paths(data_dir, split)
        num_photos = tfrecords.read_manifest(data_dir)["splits"][split]["num_photos"]
        self._num_photos = min(num_photos, limit or num_photos)
        self._num_turns = num_turns

    def __len__(self):
        return self._num_photos

    def __iter__(self):
        import tensorflow as tf

        from cspn_tf.data import tfrecords

        records = tf.data.TFRecordDataset(self._paths).take(self._num_photos)
        try:
            for example in records.map(tfrecords.parse_example).prefetch(8).as_numpy_iterator():
                name = example["photo_name"].decode("utf-8", "replace")
                photo = LabelledPhoto(name, example["photo_bytes"], Garments.from_example(example))
                yield photo.turned(self._num_turns) if self._num_turns else photo
        except tf.errors.OpError as error:
            raise UserError(f"one of the shards from {self._paths[0]} on cannot be read: {error.message}") from error


def predict_photos(photos, model, batch_size, keypoints_in_boxes=None):
    """Run a model on all photos, print the progress, and match its detections with the labels.

    Args:
        photos: iterable of `LabelledPhoto` with a length.
        model: a `cspn_tf.inference.model.Model`.
        batch_size: photos per call.
        keypoints_in_boxes: the model's function that predicts keypoints in given boxes; None if it has none.

    Returns:
        matched: a `Matched`, whose results carry the photos' names.
        in_labelled_boxes: a `Matched` of keypoints predicted in ground-truth boxes; None without `keypoints_in_boxes`.

    Raises:
        UserError: if the model's output violates its contract, for example with NaN.
    """
    truths, results, in_boxes = [], [], []
    labelled, given = itertools.tee(photos)
    answers = model((photo.photo_bytes for photo in given), batch_size)
    with Progress("evaluated") as progress:
        for photo, answer in zip(labelled, answers, strict=True):
            truths.append(photo.garments)
            results.append(dataclasses.replace(answer, name=photo.name, photo=None))  # without bytes, to save memory
            if keypoints_in_boxes:
                in_boxes.append(_in_labelled_boxes(keypoints_in_boxes, photo) if answer.ok else None)
            progress(len(truths), len(photos))
    in_labelled_boxes = match_given_boxes(truths, in_boxes) if keypoints_in_boxes else None
    return match_photos(truths, results), in_labelled_boxes


def _in_labelled_boxes(keypoints_in_boxes, photo):
    if not len(photo.garments):
        return photo.garments.keypoints_xy
    keypoints_xy, _ = keypoints_in_boxes(photo.photo_bytes, photo.garments.boxes_xyxy, photo.garments.types)
    return keypoints_xy


# Files of COCO keypoints ---------------------------------------------------------------------------------------------


def read_coco_files(truth_files, results_file):
    """Read ground truth and predictions from COCO files, without photos, and match them.

    Args:
        truth_files: paths of annotation files, see `cspn_tf.data.coco`.
        results_file: path of the results file, see `cspn_tf.data.coco_results`.

    Returns:
        matched: a `Matched` of all images, including those without garments.
        notes: JSON-ready dict: num_boxes_from_keypoints, the results without a box, for which the extent of the
            keypoints is used; num_repeated_annotations, duplicates within an image, which are left out;
            num_photos_without_results, labelled photos for which the file has none.

    Raises:
        UserError: if a file is invalid; see `coco.read_labelled_images` and `coco_results`.
    """
    photos, categories = read_labelled_images(truth_files)
    if not photos:
        raise UserError(f"{truth_files[0]}: no images to score")
    found, num_boxes_from_keypoints = read_coco_results(results_file, photos, categories)
    truths = [photo.garments for photo in photos.values()]
    results = [
        Result(STATUS_OK, garments=found.get(image_id, Garments([], [], [])), name=photo.name)
        for image_id, photo in photos.items()
    ]
    notes = {
        "num_boxes_from_keypoints": num_boxes_from_keypoints,
        "num_repeated_annotations": sum(len(photo.annotations) for photo in photos.values()) - sum(map(len, truths)),
        "num_photos_without_results": len(photos) - len(found),
    }
    return match_photos(truths, results), notes
