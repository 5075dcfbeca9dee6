"""The methods of finding keypoints in a crop: the CSPN, and those the paper compares it with, a file each."""

import importlib
from typing import TYPE_CHECKING

from cspn_tf.config import KeypointConfig

if TYPE_CHECKING:
    from cspn_tf.methods.base import KeypointMethod


def method_of(config: KeypointConfig) -> "KeypointMethod":
    """Return the method that a config names.

    The names are listed in `cspn_tf.config.METHODS`, which knows no TensorFlow; each is that of the file here, whose
    `Method` is imported when it is asked for.
    """
    return importlib.import_module(f"{__name__}.{config.method}").Method(config)
