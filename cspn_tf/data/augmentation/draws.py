"""The random numbers of each augmentation, and a way to force single augmentations."""

import dataclasses

import tensorflow as tf

from cspn_tf.data.augmentation.deformation import NUM_BEND_NUMBERS


@dataclasses.dataclass(frozen=True)
class Draw:
    """The uniform numbers in [0, 1) of one random choice for one example.

    Attributes:
        width: how many numbers.
        neutral: the value that leaves the example unchanged.
        is_switch: whether it turns the augmentation on, which happens if the number is below the step's chance.
    """

    width: int = 1
    neutral: float = 0.5
    is_switch: bool = False


# Larger than any drawn number, so never below a chance.
OFF = 1.0
_SWITCH = Draw(neutral=OFF, is_switch=True)

# All augmentations in the order in which they are applied, with their numbers.
AUGMENTATIONS = {
    "box jitter": {"box_tail": Draw(neutral=OFF), "box_shift": Draw(2), "box_log_size": Draw(2)},
    "scale": {"scale": Draw()},
    "shift": {"shift": Draw(2)},
    "rotation": {"turned": _SWITCH, "angle": Draw()},
    "cloth warp": {"bent": _SWITCH, "bend": Draw(NUM_BEND_NUMBERS)},
    "flip": {"flipped": _SWITCH},
    "quarter turn": {"quarter_turned": _SWITCH, "num_turns": Draw()},
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
OF_DETECTOR = ("scale", "shift", "flip", "quarter turn", "colour", "blur", "JPEG")
DRAWS = {name: numbers for group in AUGMENTATIONS.values() for name, numbers in group.items()}


def draw(seed, num):
    """Draw the random numbers of N examples.

    Args:
        seed: int64 `(2,)`, the photo's seed.
        num: N, an int or a scalar int32 tensor.

    Returns:
        A dict with every name in `DRAWS`: float32 in [0, 1), `(N,)` if its width is 1, else `(N, width)`.
    """
    widths = [numbers.width for numbers in DRAWS.values()]
    columns = tf.split(tf.random.stateless_uniform([num, sum(widths)], seed), widths, axis=1)
    return {
        name: column[:, 0] if width == 1 else column for name, width, column in zip(DRAWS, widths, columns, strict=True)
    }


def forced(draws, *augmentations):
    """Return draws that apply exactly the named augmentations, for figures and tests.

    Args:
        draws: from `draw`.
        augmentations: names in `AUGMENTATIONS`; with none, the example stays unchanged.

    Raises:
        ValueError: a name is unknown.
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
