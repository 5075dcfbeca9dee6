"""Clothing keypoints: a garment detector and a cascaded stacked pyramid network, from labels to one served model.

::

    import cspn_tf

    model = cspn_tf.load("models/cspn")
    for result in model(["a.jpg", "b.png"]):
        print(result.to_json())
        result.draw().save("drawn.jpg")

Importing this package is cheap: the names below, and TensorFlow, are imported on first use.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cspn_tf.console import UserError
    from cspn_tf.drawing import draw_garments as draw
    from cspn_tf.garment_set import Garments
    from cspn_tf.inference.model import Model, load
    from cspn_tf.result import Result

__version__ = "0.2.0"
__all__ = ["Garments", "Model", "Result", "UserError", "draw", "load"]

# Public name → module, and name in that module.
_HOMES = {
    "Garments": ("cspn_tf.garment_set", "Garments"),
    "Model": ("cspn_tf.inference.model", "Model"),
    "Result": ("cspn_tf.result", "Result"),
    "UserError": ("cspn_tf.console", "UserError"),
    "draw": ("cspn_tf.drawing", "draw_garments"),
    "load": ("cspn_tf.inference.model", "load"),
}


def __getattr__(name):
    """Import a public name on first access."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, there = _HOMES[name]
    value = getattr(importlib.import_module(module), there)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
