"""A model as people use it: photos of any kind in, one `Result` a photo out, whatever holds the networks."""

import itertools
import os
from pathlib import Path

import numpy as np

from cspn_tf.console import UserError
from cspn_tf.inference import predictors
from cspn_tf.result import STATUS_UNREADABLE, Result, results_of_outputs

BATCH_SIZE = 8


def load(model=None, *, detector=None, keypoints=None) -> "Model":
    """Load a model.

    Args:
        model: a SavedModel's directory, one version or the folder of versions; a `.tflite` file; or a folder with the
            two training runs `detector` and `keypoints` in it.
        detector, keypoints: in place of `model`, the directories of two training runs.

    Raises:
        UserError: it is none of these, or cannot be loaded.
        ValueError: neither or both ways were used.
    """
    if (model is None) == (detector is None and keypoints is None) or (detector is None) != (keypoints is None):
        raise ValueError("give a model, or both of detector and keypoints")
    if model is None:
        return Model(predictors.from_training(detector, keypoints))
    path = Path(model)
    if path.is_file():
        return Model(predictors.from_tflite(path))
    if (path / "detector").is_dir() and (path / "keypoints").is_dir():
        return Model(predictors.from_training(path / "detector", path / "keypoints"))
    if not path.is_dir():
        raise UserError(f"no model at {path}: there is no such file or folder")
    return Model(predictors.from_saved_model(path))


class Model:
    """Finds garments and their keypoints in photos.

    Args:
        predictor: a `cspn_tf.inference.predictors.Predictor`.
    """

    def __init__(self, predictor):
        self._predictor = predictor

    @property
    def source(self) -> str:
        """Where the model came from, for people."""
        return self._predictor.source

    def __call__(self, photos, batch_size=BATCH_SIZE):
        """Find the garments of photos.

        Args:
            photos: one photo or many: paths, JPEG or PNG files as bytes, pictures of Pillow, or uint8 arrays
                `(H, W, 3)`, RGB, mixed as they come. A list or a tuple is answered by a list; any other iterable, such
                as a generator, by a generator that reads a batch at a time.
            batch_size: photos that go through the networks together.

        Returns:
            One `Result` a photo, in order.
        """
        raise NotImplementedError
