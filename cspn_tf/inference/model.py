"""A model as people use it: photos of any kind in, one `Result` a photo out, whatever holds the networks."""

import collections
import itertools
import os
from pathlib import Path

import numpy as np

from cspn_tf.console import UserError
from cspn_tf.contract import STATUS_UNDECODABLE
from cspn_tf.inference import predictors
from cspn_tf.models import checkpoints
from cspn_tf.quiet import quiet_tensorflow
from cspn_tf.result import STATUS_UNREADABLE, Result, results_of_outputs

BATCH_SIZE = 8


def load(model=None, *, detector=None, keypoints=None) -> "Model":
    """Load a model, once; it then answers any number of photos.

    ::

        model = cspn_tf.load()
        model = cspn_tf.load("models/cspn")
        model = cspn_tf.load("phone/cspn.tflite")
        model = cspn_tf.load(detector="runs/detector", keypoints="runs/keypoints")

    Args:
        model: a SavedModel's directory, one version or the folder of versions; a `.tflite` file; or a folder with the
            two training runs `detector` and `keypoints` in it. None is the pair that comes with the package.
        detector, keypoints: in place of `model`, the directories of two training runs.

    Raises:
        UserError: it is none of these, or cannot be loaded; the message is one line that names it.
        ValueError: both ways were used, or half a pair was given.
    """
    is_pair = detector is not None and keypoints is not None
    if (model is not None and is_pair) or (detector is None) != (keypoints is None):
        raise ValueError("give either a model, or detector and keypoints, or nothing")
    quiet_tensorflow()
    if is_pair:
        return Model(predictors.from_training(detector, keypoints))
    path = checkpoints.SHIPPED_PAIR if model in (None, checkpoints.SHIPPED) else Path(model)
    if path.is_file():
        return Model(predictors.from_tflite(path))
    if (path / "detector").is_dir() and (path / "keypoints").is_dir():
        return Model(predictors.from_training(path / "detector", path / "keypoints"))
    return Model(predictors.from_saved_model(path))


class Model:
    """Finds garments and their keypoints in photos; `cspn_tf.load` gives one.

    ::

        for result in model(Path("photos").rglob("*.jpg")):
            print(result.name, len(result.garments))

    Args:
        predictor: a `cspn_tf.inference.predictors.Predictor`.

    Attributes:
        source: where the model came from, for people.
        keypoints_in_boxes: function of one photo file as bytes, boxes float `(G, 4)`, x_min, y_min, x_max, y_max in
            pixels of the photo, and garment types int `(G,)`, G at least 1, that finds the keypoints in these boxes:
            float `(G, 8, 2)` in pixels of the photo, and their scores `(G, 8)`. None unless the model was loaded from
            training runs: exports cannot be given boxes.
    """

    def __init__(self, predictor):
        self.source = predictor.source
        self.keypoints_in_boxes = predictor.keypoints_in_boxes
        self._predictor = predictor

    def __repr__(self):
        return f"<cspn_tf.Model of {self.source}>"

    def __call__(self, photos, batch_size=BATCH_SIZE):
        """Find the garments of photos.

        A photo that cannot be read or decoded, or has no pixels, or is a picture of a mode without a white (`I`, `F`),
        gets a result with a status that says why, and costs nothing else.

        Args:
            photos: one photo or many: paths, JPEG or PNG files as bytes, pictures of Pillow, or uint8 arrays
                `(H, W, 3)`, RGB, upright, mixed as they come; an array `(B, H, W, 3)` is B of them. One photo, a list,
                a tuple or such an array is answered by a list. Any other iterable, such as a generator, is answered by
                a generator that reads a batch at a time, and so may be longer than memory holds.
            batch_size: photos that go through the networks together. Arrays do only if they have one size.

        Returns:
            One `Result` a photo, in order.

        Raises:
            TypeError: a photo is something else.
            ValueError: an array is not uint8 or not of that shape; or the batch size is not a number from 1.
            UserError: the model answers against its contract.
        """
        if not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number from 1, received {batch_size!r}")
        if _is_photo(photos):
            _check_photo(photos, "photos")
            photos = [photos]
        elif isinstance(photos, np.ndarray):
            if photos.ndim != 4:
                _check_photo(photos, "photos")
            photos = list(photos)
        elif not hasattr(photos, "__iter__") or hasattr(photos, "read"):  # such as an open file, whose items are lines
            raise TypeError(f"photos must be {_KINDS}, or an iterable of these; received {_described(photos)}")
        if not isinstance(photos, list | tuple):
            return self._stream(photos, batch_size)
        # A mistake at the end of a list is better found before the work than after it.
        for index, photo in enumerate(photos):
            _check_photo(photo, f"photos[{index}]")
        return list(self._stream(photos, batch_size))

    def _stream(self, photos, batch_size):
        numbered = enumerate(photos)
        while batch := list(itertools.islice(numbered, batch_size)):
            for index, photo in batch:
                _check_photo(photo, f"photos[{index}]")
            yield from self._answer([photo for _, photo in batch])

    def _answer(self, photos):
        """Return the results of a batch, in order: those that can be decoded together are."""
        inputs = [_opened(photo) for photo in photos]
        groups = collections.defaultdict(list)
        for index, opened in enumerate(inputs):
            if not isinstance(opened, Result):
                groups[None if isinstance(opened, bytes) else opened.shape].append(index)
        results = dict(enumerate(inputs))
        for shape, indices in groups.items():
            of_group = [inputs[index] for index in indices]
            predictor = self._predictor
            outputs = predictor.predict(of_group) if shape is None else predictor.predict_pixels(np.stack(of_group))
            kept = [photos[i] if isinstance(photos[i], str | os.PathLike) else inputs[i] for i in indices]
            try:
                answers = results_of_outputs(outputs, [_name(photos[i]) for i in indices], kept)
            except ValueError as error:
                raise UserError(f"{self.source} does not answer as it must: {error}") from error
            results |= zip(indices, answers, strict=True)
        return [results[index] for index in range(len(photos))]


_KINDS = "a path, a file's bytes, a picture of Pillow or a uint8 array (H, W, 3)"


# Types that are one photo by themselves, though some can be iterated over.
_FILES = str | os.PathLike | bytes | bytearray | memoryview


def _is_photo(value):
    """Tell whether something is one photo, or meant to be."""
    return isinstance(value, _FILES) or _is_picture(value) or getattr(value, "ndim", None) == 3


def _is_picture(value):
    # By its attributes, so that Pillow is imported by those alone who have a picture.
    return hasattr(value, "getexif") and hasattr(value, "convert")


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


def _opened(photo):
    """Return a photo as its file's bytes or its pixels as displayed; or the `Result` of one that cannot be opened."""
    if isinstance(photo, str | os.PathLike):
        try:
            return Path(photo).read_bytes()
        except (OSError, ValueError):  # no path at all, such as one with a NUL
            return Result(STATUS_UNREADABLE, name=_name(photo), photo=photo)
    if isinstance(photo, _FILES):
        return bytes(photo)
    pixels = _pixels_of_picture(photo) if _is_picture(photo) else photo
    return Result(STATUS_UNDECODABLE, photo=photo) if pixels is None or not pixels.size else pixels


def _pixels_of_picture(picture):
    from cspn_tf.pillow_photos import pillow_as_displayed

    try:
        return pillow_as_displayed(picture)
    except Exception:  # a damaged file, which Pillow may read only now, raises whatever its format's reader does
        return None


def _name(photo):
    return os.fspath(photo) if isinstance(photo, str | os.PathLike) else ""
