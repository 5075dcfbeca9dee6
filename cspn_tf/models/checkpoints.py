"""Directories with a trained network: its config and its best weights.

::

    config.json       the whole `Config`
    network.json      which network this is, and what it was trained with
    best.weights.h5   the weights of the epoch that validated best
"""

import dataclasses
import json
from pathlib import Path

from cspn_tf import config as configs
from cspn_tf.config import Config
from cspn_tf.console import UserError
from cspn_tf.files import replaced_file

DETECTOR, KEYPOINTS = "detector", "keypoints"
_CONFIG, _NETWORK, WEIGHTS = "config.json", "network.json", "best.weights.h5"


def write_description(directory, network: str, config: Config, details: dict) -> None:
    """Write what is known before training: which network, its config, and any JSON-ready details."""
    directory = Path(directory)
    configs.save(config, directory / _CONFIG)
    write_json(directory / _NETWORK, {"network": network, **details})


def read_description(directory, network: str) -> tuple[Config, dict]:
    """Return the config and the details of a checkpoint directory.

    Raises:
        UserError: if it is not one, or is another network's.
    """
    directory = Path(directory)
    if not (directory / _NETWORK).is_file():
        raise UserError(f"{directory} is not a {network} checkpoint: it has no {_NETWORK}")
    try:
        details = json.loads((directory / _NETWORK).read_text())
        found = details.pop("network")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(f"{directory / _NETWORK}: not a checkpoint description: {error}") from error
    if found != network:
        raise UserError(f"{directory} holds a {found} checkpoint, not a {network} one")
    return configs.load(directory / _CONFIG), details


def save_weights(model, directory) -> None:
    """Write a model's weights as the directory's best, by rename."""
    with replaced_file(Path(directory) / WEIGHTS) as temporary:
        model.save_weights(temporary)


def load_detector(directory):
    """Return the `Config` and the trained detector of a directory.

    Raises:
        UserError: if the directory is not a detector's, has no weights yet, or they do not fit its config.
    """
    from cspn_tf.models.faster_rcnn import build_detector

    config, _ = read_description(directory, DETECTOR)
    return config, _with_weights(build_detector(config.detector), directory)


def load_keypoints(directory):
    """Return the `Config` and the trained keypoint network of a directory; raises as `load_detector` does."""
    from cspn_tf.models.keypoint_networks import build_keypoint_network

    config, _ = read_description(directory, KEYPOINTS)
    return config, _with_weights(build_keypoint_network(config.keypoints), directory)


def joint_config(detector_config: Config, keypoint_config: Config) -> Config:
    """Return the config of a pipeline of two networks that may come from different runs.

    Raises:
        UserError: if they were trained on different canvases.
    """
    if detector_config.canvas_size != keypoint_config.canvas_size:
        raise UserError(
            f"the detector (preset {detector_config.preset}) was trained on a canvas of "
            f"{detector_config.canvas_size} pixels, the keypoint network (preset {keypoint_config.preset}) on one of "
            f"{keypoint_config.canvas_size}: these checkpoints do not go together"
        )
    names = dict.fromkeys((detector_config.preset, keypoint_config.preset))
    return dataclasses.replace(detector_config, preset="+".join(names), keypoints=keypoint_config.keypoints)


def write_json(path, content) -> None:
    """Write JSON by rename."""
    with replaced_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def _with_weights(model, directory):
    path = Path(directory) / WEIGHTS
    if not path.is_file():
        raise UserError(f"{directory} has no {WEIGHTS}: training has not finished an epoch")
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise UserError(f"{path} does not fit {Path(directory) / _CONFIG}: {error}") from error
    return model
