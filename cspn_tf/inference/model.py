"""The public model API: photos in any form in, one `Result` per photo out, for every kind of model file."""

import collections
import itertools
import os
from pathlib import Path

import numpy as np

from cspn_tf.console import UserError, has_tensorflow
from cspn_tf.contract import MAX_PIXELS_FACTOR, STATUS_OK, STATUS_TOO_LARGE, STATUS_UNDECODABLE, is_webp
from cspn_tf.inference import predictors
from cspn_tf.models import checkpoints
from cspn_tf.quiet import quiet_tensorflow
from cspn_tf.result import STATUS_UNREADABLE, Result, results_of_outputs

BATCH_SIZE = 8


def load(model=None, *, detector=None, keypoints=None) -> "Model":
    """Load a model once, to use on any number of photos.

    ::

        model = cspn_tf.load()
        model = cspn_tf.load("models/cspn")
        model = cspn_tf.load("phone/cspn.tflite")
        model = cspn_tf.load(detector="runs/detector", keypoints="runs/keypoints")

    Args:
        model: a SavedModel directory, either one version or the parent of several versions; a `.tflite` file; or a
            folder that contains the two training runs `detector` and `keypoints`. None loads the networks shipped with
            the package, or where TensorFlow is not installed, which then only reads `.tflite` files, theirs.
        detector, keypoints: the directories of two training runs, instead of `model`.

    Raises:
        UserError: the path is none of these or cannot be loaded; the message is one line that names the path.
        ValueError: both `model` and a pair were given, or only one of `detector` and `keypoints`.
    """
    is_pair = detector is not None and keypoints is not None
    if (model is not None and is_pair) or (detector is None) != (keypoints is None):
        raise ValueError("give either a model, or detector and keypoints, or nothing")
    quiet_tensorflow()
    if is_pair:
        return Model(predictors.from_training(detector, keypoints))
    is_shipped = model in (None, checkpoints.SHIPPED)
    if is_shipped and not has_tensorflow():
        return Model(predictors.from_tflite(checkpoints.shipped_tflite()))
    path = checkpoints.SHIPPED_PAIR if is_shipped else Path(model)
    if path.is_file():
        return Model(predictors.from_tflite(path))
    if checkpoints.is_pair(path):
        return Model(predictors.from_training(path / checkpoints.DETECTOR, path / checkpoints.KEYPOINTS))
    return Model(predictors.from_saved_model(path))


class Model:
    """Finds garments and their keypoints in photos; created by `cspn_tf.load`.

    ::

        for result in model(Path("photos").rglob("*.jpg")):
            print(result.name, len(result.garments))

    Args:
        predictor: a `cspn_tf.inference.predictors.Predictor`.

    Attributes:
        source: where the model was loaded from, as readable text.
        keypoints_in_boxes: function that predicts the keypoints in given boxes. Arguments: one photo file as bytes;
            boxes float `(G, 4)`, x_min, y_min, x_max, y_max in photo pixels; garment types int `(G,)`, G at least 1.
            Returns keypoints float `(G, 8, 2)` in photo pixels, and their scores `(G, 8)`. None unless the model was
            loaded from training runs: exported models do not accept boxes.
    """

    def __init__(self, predictor):
        self.source = predictor.source
        self.keypoints_in_boxes = predictor.keypoints_in_boxes
        self._predictor = predictor
        self._process = os.getpid()

    def __repr__(self):
        return f"<cspn_tf.Model of {self.source}>"

    def __call__(self, photos, batch_size=BATCH_SIZE):
        """Find the garments in photos.

        A photo that cannot be read or decoded, is empty or too large, or is a Pillow image of a mode without a defined
        white value (`I`, `F`), gets a result whose status says why; the other photos are not affected.

        Args:
            photos: one photo or many: paths, JPEG, PNG or WebP files as bytes, Pillow images, or upright RGB arrays,
                uint8 `(H, W, 3)`, in any mix; an array `(B, H, W, 3)` is B photos. For one photo, a list, a tuple or
                such an array, the return value is a list. For any other iterable, such as a generator, it is a
                generator that reads one batch at a time, so the photos need not fit in memory.
            batch_size: photos per pass through the networks, at most; a model may accept fewer. Only arrays of equal
                size are batched together.

        Returns:
            One `Result` per photo, in order.

        Raises:
            TypeError: a photo is of another type.
            ValueError: an array is not uint8 or has another shape; or the batch size is not an integer of at least 1.
            UserError: the model's outputs violate the served contract.
            RuntimeError: the process was forked after the model was loaded.
        """
        if os.getpid() != self._process:  # the threads that would answer are those of the other process
            raise RuntimeError(
                "the model was loaded before a fork: call cspn_tf.load in each process, or start them with 'spawn'"
            )
        if not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise ValueError(f"batch_size must be an integer of at least 1, received {batch_size!r}")
        if _is_photo(photos) or (isinstance(photos, np.ndarray) and photos.ndim != 4):
            _check_photo(photos, "photos")
            photos = [photos]
        elif isinstance(photos, np.ndarray):
            photos = list(photos)
        elif not hasattr(photos, "__iter__") or hasattr(photos, "read"):  # an open file iterates over lines
            raise TypeError(f"photos must be {_KINDS}, or an iterable of these; received {_described(photos)}")
        if isinstance(photos, list | tuple):
            # Check the whole list before any work is done.
            return list(self._stream(list(_checked(photos)), batch_size))
        return self._stream(_checked(photos), batch_size)

    def _stream(self, photos, batch_size):
        photos = iter(photos)
        while batch := list(itertools.islice(photos, min(batch_size, self._predictor.max_photos))):
            yield from self._answer(batch)

    def _answer(self, photos):
        """Return the results of a batch, in order; files form one batch, and so do arrays of equal shape."""
        predictor = self._predictor
        inputs = [_opened(photo, predictor.max_pixels) for photo in photos]
        groups = collections.defaultdict(list)
        for index, opened in enumerate(inputs):
            if not isinstance(opened, Result):
                groups[None if isinstance(opened, bytes) else opened.shape].append(index)
        results = dict(enumerate(inputs))
        for shape, indices in _requests(groups, MAX_PIXELS_FACTOR * predictor.max_pixels):
            of_group = [inputs[index] for index in indices]
            outputs = predictor.predict(of_group) if shape is None else predictor.predict_pixels(np.stack(of_group))
            kept = [photos[i] if isinstance(photos[i], str | os.PathLike) else inputs[i] for i in indices]
            try:
                answers = results_of_outputs(outputs, [_name(photos[i]) for i in indices], kept)
            except ValueError as error:
                raise UserError(f"{self.source} violates the served contract: {error}") from error
            results |= zip(indices, answers, strict=True)
        return [results[index] for index in range(len(photos))]


def _requests(groups, max_pixels):
    """Yield the shape and the indices of each group, None for files, in parts of at most that many pixels."""
    for shape, indices in groups.items():
        most = len(indices) if shape is None else max_pixels // (shape[0] * shape[1])
        for start in range(0, len(indices), most):
            yield shape, indices[start : start + most]


_KINDS = "a path, a file's bytes, a Pillow image or a uint8 array (H, W, 3)"
# Types of a single photo, although some are iterable.
_FILES = str | os.PathLike | bytes | bytearray | memoryview


def _is_photo(value):
    """Check whether a value is a single photo, valid or not."""
    return isinstance(value, _FILES) or _is_picture(value) or getattr(value, "ndim", None) == 3


def _is_picture(value):
    # Duck typing, to avoid importing Pillow.
    return hasattr(value, "getexif") and hasattr(value, "convert")


def _checked(photos):
    """Yield the photos, each after a check of its type."""
    for index, photo in enumerate(photos):
        _check_photo(photo, f"photos[{index}]")
        yield photo


def _check_photo(photo, where):
    if isinstance(photo, _FILES) or _is_picture(photo):
        return
    if not isinstance(photo, np.ndarray):
        raise TypeError(f"{where} must be {_KINDS}; received {_described(photo)}")
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise ValueError(f"{where} must be a uint8 array (H, W, 3); received {_described(photo)}")


def _described(value):
    if isinstance(value, np.ndarray):
        return f"an array {value.dtype} {value.shape}"
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _opened(photo, max_pixels):
    """Return a photo as file bytes or as upright pixels; or a `Result` that says why it cannot be given to a model."""
    if isinstance(photo, _FILES):
        try:
            photo_bytes = Path(photo).read_bytes() if isinstance(photo, str | os.PathLike) else bytes(photo)
        except (OSError, ValueError):  # ValueError: an invalid path, such as one with a NUL byte
            return Result(STATUS_UNREADABLE, name=_name(photo), photo=photo)
        if not is_webp(photo_bytes):
            return photo_bytes
        from cspn_tf.pillow_photos import decode_webp

        pixels, _, status = decode_webp(photo_bytes, max_pixels)
        return pixels if status == STATUS_OK else Result(status, name=_name(photo), photo=photo)
    pixels = photo
    if _is_picture(photo):
        from cspn_tf.pillow_photos import pillow_as_displayed

        try:
            pixels = pillow_as_displayed(photo)
        except Exception:  # Pillow reads lazily: a damaged file may raise anything here
            return Result(STATUS_UNDECODABLE, photo=photo)
    if pixels[..., 0].size > max_pixels:
        return Result(STATUS_TOO_LARGE, photo=photo)
    return pixels if pixels.size else Result(STATUS_UNDECODABLE, photo=photo)


def _name(photo):
    return os.fspath(photo) if isinstance(photo, str | os.PathLike) else ""
