"""The random numbers behind every change, by augmentation, and how to force one of them alone."""

import dataclasses

import tensorflow as tf

from cspn_tf.data.augmentation.deformation import NUM_BEND_NUMBERS


@dataclasses.dataclass(frozen=True)
class Draw:
    """Uniform numbers in [0, 1) that one random choice of one example needs.

    Attributes:
        width: how many.
        neutral: the value that changes nothing.
        is_switch: whether it decides if the augmentation happens at all: it does where the number is below a chance.
    """

    width: int = 1
    neutral: float = 0.5
    is_switch: bool = False


# No number reaches it, so that it is below no chance.
OFF = 1.0
_SWITCH = Draw(neutral=OFF, is_switch=True)

# What can happen to an example, in the order in which it happens, and the numbers it takes.
AUGMENTATIONS = {
    "box jitter": {"box_tail": Draw(neutral=OFF), "box_shift": Draw(2), "box_log_size": Draw(2)},
    "scale": {"scale": Draw()},
    "shift": {"shift": Draw(2)},
    "rotation": {"turned": _SWITCH, "angle": Draw()},
    "cloth warp": {"bent": _SWITCH, "bend": Draw(NUM_BEND_NUMBERS)},
    "flip": {"flipped": _SWITCH},
    "occlusion": {"covered": _SWITCH, "cover_centre": Draw(2), "cover_size": Draw(2), "cover_colour": Draw(3)},
    "colour": {
        "brightness": Draw(),
        "contrast": Draw(),
        "saturation": Draw(),
        "grey": Draw(neutral=OFF),
        "cast": Draw(3),
    },
    "blur": {"blurred": _SWITCH, "blur_sigma": Draw()},
    "JPEG": {"compressed": _SWITCH, "jpeg_quality": Draw()},
}
OF_DETECTOR = ("scale", "shift", "flip", "colour", "blur", "JPEG")
DRAWS = {name: numbers for group in AUGMENTATIONS.values() for name, numbers in group.items()}


def draw(seed, num):
    """Draw the random numbers of N examples.

    Args:
        seed: int64 `(2,)`, the photo's own.
        num: N, a number or a scalar int32 tensor.

    Returns:
        float32 in [0, 1) for every name in `DRAWS`: `(N,)` where it needs one number, else `(N, width)`.
    """
    widths = [numbers.width for numbers in DRAWS.values()]
    columns = tf.split(tf.random.stateless_uniform([num, sum(widths)], seed), widths, axis=1)
    return {
        name: column[:, 0] if width == 1 else column for name, width, column in zip(DRAWS, widths, columns, strict=True)
    }


def forced(draws, *augmentations):
    """Return draws in which the named augmentations happen, for certain, and nothing else does.

    Args:
        draws: of `draw`.
        augmentations: names in `AUGMENTATIONS`; with none, nothing happens.

    Raises:
        ValueError: if a name is unknown.
    """
    unknown = set(augmentations) - set(AUGMENTATIONS)
    if unknown:
        raise ValueError(f"augmentations must be of {', '.join(AUGMENTATIONS)}; received {', '.join(sorted(unknown))}")
    chosen = {name for group in augmentations for name in AUGMENTATIONS[group]}
    result = {}
    for name, numbers in DRAWS.items():
        if name not in chosen:
            result[name] = tf.fill(tf.shape(draws[name]), numbers.neutral)
        else:
            result[name] = tf.zeros_like(draws[name]) if numbers.is_switch else draws[name]
    return result
