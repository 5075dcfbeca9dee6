"""What `training.evaluate` measures: labelled photos with a model's answers to them, or labels and results from files.

Both come as lists of `cspn_tf.evaluation.measures.PhotoTruth` and `PhotoPrediction`, a photo each.
"""

import collections
import dataclasses

import numpy as np

from cspn_tf.console import UserError
from cspn_tf.data.coco import read_labelled_images
from cspn_tf.data.coco_results import read_coco_results
from cspn_tf.evaluation.measures import PhotoPrediction, PhotoTruth
from cspn_tf.garments import NUM_KEYPOINTS
from cspn_tf.progress import Progress

# Photos of a prepared dataset ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class LabelledPhoto:
    """One photo of a prepared dataset: its file as it is, and its `PhotoTruth`."""

    photo_bytes: bytes
    truth: PhotoTruth


class Photos:
    """The first `limit` labelled photos of a split, read again each time they are iterated over."""

    def __init__(self, data_dir, split, limit=None):
        """Look the dataset up.

        Raises:
            UserError: if it is not a prepared dataset or has no such photos.
        """
        from cspn_tf.data import tfrecords

        tfrecords.verify(data_dir, [split])
        self._paths = [str(path) for path in tfrecords.shard_paths(data_dir, split)]
        self._split, self._limit = split, limit
        num_photos = tfrecords.read_manifest(data_dir)["splits"][split]["num_photos"]
        self.num_photos = min(num_photos, limit or num_photos)

    def __len__(self):
        return self.num_photos

    def __iter__(self):
        import tensorflow as tf

        from cspn_tf.data import tfrecords

        records = tf.data.TFRecordDataset(self._paths).take(self.num_photos)
        try:
            for example in records.map(tfrecords.parse_example).prefetch(8).as_numpy_iterator():
                truth = PhotoTruth(
                    name=example["photo_name"].decode("utf-8", "replace"),
                    garment_types=example["garment_types"],
                    variations=example["variations"],
                    boxes_xyxy=example["boxes_xyxy_photo"],
                    keypoints_xy=example["keypoints_xy_photo"],
                    visibility=example["visibility"],
                )
                yield LabelledPhoto(example["photo_bytes"], truth)
        except tf.errors.OpError as error:
            raise UserError(f"{self._paths[0]} and its fellows cannot be read: {error.message}") from error


def predict_photos(photos, predictor, batch_size, progress=None):
    """Ask for the predictions of all photos.

    Args:
        photos: iterable of `LabelledPhoto` that knows its length.
        predictor: a `cspn_tf.inference.predictors.Predictor`.
        batch_size: photos at a time.
        progress: function of photos done and photos in all; None to print.

    Returns:
        truths: list of `PhotoTruth`.
        predictions: list of `PhotoPrediction`.
        keypoints_in_truth_boxes: list of float `(G, 8, 2)`, None for a photo that could not be read; or None if the
            predictor has no way to be given boxes.

    Raises:
        UserError: if the predictor answers with something that is not a number.
    """
    truths, predictions = [], []
    in_truth_boxes = [] if predictor.keypoints_in_boxes else None
    with Progress("evaluated") as printed:
        progress = progress or printed
        for batch in in_batches(photos, batch_size):
            answers = _predict_batch(predictor, batch)
            truths += [photo.truth for photo in batch]
            predictions += answers
            if in_truth_boxes is not None:
                in_truth_boxes += [
                    _keypoints_in_truth_boxes(predictor, p, a) for p, a in zip(batch, answers, strict=True)
                ]
            progress(len(truths), len(photos))
    return truths, predictions, in_truth_boxes


def in_batches(items, size):
    """Yield lists of `size` items, the last one shorter where they do not divide."""
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _predict_batch(predictor, batch):
    return answers_of(predictor.predict([photo.photo_bytes for photo in batch]), batch, predictor.source)


def answers_of(outputs, batch, source) -> list[PhotoPrediction]:
    """Return the answers for a batch of photos out of the served outputs.

    Args:
        outputs: dict of arrays, as in the served contract.
        batch: list of `LabelledPhoto`.
        source: what answered, for people.

    Raises:
        UserError: if an answer is something that is not a number.
    """
    answers = [PhotoPrediction.from_served(outputs, index) for index in range(len(batch))]
    for photo, answer in zip(batch, answers, strict=True):
        if not all(
            np.isfinite(getattr(answer, name)).all()
            for name in ("scores", "boxes_xyxy", "keypoints_xy", "keypoint_scores")
        ):
            raise UserError(f"{source}: the answer for {photo.truth.name} is not finite")
    return answers


def _keypoints_in_truth_boxes(predictor, photo, answer):
    if answer.status != 0:
        return None
    if not len(photo.truth.garment_types):
        return np.zeros_like(photo.truth.keypoints_xy)
    keypoints_xy, _ = predictor.keypoints_in_boxes(photo.photo_bytes, photo.truth.boxes_xyxy, photo.truth.garment_types)
    return keypoints_xy


# Files of COCO keypoints ---------------------------------------------------------------------------------------------


def read_coco_files(truth_files, results_file):
    """Read what is labelled and what a system found, without photos.

    Args:
        truth_files: paths of annotation files, see `cspn_tf.data.coco`.
        results_file: path of the results, see `cspn_tf.data.coco_results`.

    Returns:
        truths: list of `PhotoTruth`, one for each image, also for one without garments.
        predictions: list of `PhotoPrediction`.
        notes: JSON-ready dict: num_boxes_from_keypoints, results that have no box of their own;
            num_repeated_annotations, those that repeat another one of their image and were left out.

    Raises:
        UserError: if a file is not as it must be; see `coco.read_labelled_images` and `coco_results`.
    """
    photos = read_labelled_images(truth_files)
    if not photos:
        raise UserError(f"{truth_files[0]}: no images to score")
    results = read_coco_results(results_file, photos)
    results_of_image = collections.defaultdict(list)
    for result in results:
        results_of_image[result.image_id].append(result)
    garments = [photo.distinct_garments() for photo in photos.values()]
    truths = [_truth(photo.name, of_photo) for photo, of_photo in zip(photos.values(), garments, strict=True)]
    notes = {
        "num_boxes_from_keypoints": sum(not result.has_own_box for result in results),
        "num_repeated_annotations": sum(len(photo.garments) for photo in photos.values()) - sum(map(len, garments)),
    }
    return truths, [_prediction(results_of_image[image_id]) for image_id in photos], notes


def _truth(name, garments):
    num = len(garments)
    return PhotoTruth(
        name=name,
        garment_types=np.array([garment.garment_type for garment in garments], int),
        variations=np.array([garment.variation for garment in garments], int),
        # As precise as in a prepared dataset, so that both ways give the same numbers.
        boxes_xyxy=np.array([garment.box_xyxy for garment in garments], np.float32).reshape(num, 4),
        keypoints_xy=np.array([garment.keypoints_xy for garment in garments]).reshape(num, NUM_KEYPOINTS, 2),
        visibility=np.array([garment.visibility for garment in garments], int).reshape(num, NUM_KEYPOINTS),
    )


def _prediction(results):
    num = len(results)
    return PhotoPrediction(
        garment_types=np.array([result.garment_type for result in results], int),
        scores=np.array([result.score for result in results], float),
        boxes_xyxy=np.array([result.box_xyxy for result in results], float).reshape(num, 4),
        keypoints_xy=np.array([result.keypoints_xy for result in results], float).reshape(num, NUM_KEYPOINTS, 2),
        keypoint_scores=np.array([result.keypoint_scores for result in results], float).reshape(num, NUM_KEYPOINTS),
    )
