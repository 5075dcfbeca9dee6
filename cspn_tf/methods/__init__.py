"""The methods of finding keypoints in a crop: the CSPN and those the paper compares it with, one file each.

base                the interface `KeypointMethod`: network, losses, decoding
cspn                CSPN, the paper's method
fashionnet, dfa     regression of coordinates
dlan, bcrnn         other heatmap methods

To add a method, write its module with a class `Method`, and add its name to `cspn_tf.config.METHODS`.
"""

import importlib
from typing import TYPE_CHECKING

from cspn_tf.config import KeypointConfig

if TYPE_CHECKING:
    from cspn_tf.methods.base import KeypointMethod


def method_of(config: KeypointConfig) -> "KeypointMethod":
    """Return the method that a config names.

    `cspn_tf.config.METHODS`, which must not import TensorFlow, lists the names. Each is a module of this package, which
    is imported on demand and defines a class `Method`.
    """
    return importlib.import_module(f"{__name__}.{config.method}").Method(config)
