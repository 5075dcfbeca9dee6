"""Checkpoint directories: the config and the best weights of a trained network.

::

    config.json       the whole `Config`
    network.json      the network's name and its training settings
    best.weights.h5   the weights of the epoch with the best validation metric

The package comes with a pair of checkpoints in `cspn_tf/weights`, in half precision. The name `shipped` stands for them
wherever a checkpoint directory is expected. Their network.json has the SHA-256 of the weights, checked on loading.
Beside them is the pair as one TensorFlow Lite file, for Pythons without TensorFlow; cspn.json has its SHA-256.
"""

import dataclasses
import errno
import os
import shutil
from pathlib import Path

from cspn_tf import config as configs
from cspn_tf.config import Config
from cspn_tf.console import UserError
from cspn_tf.files import file_sha256, read_json, replaced_file, staged_directory, write_json
from cspn_tf.methods import method_of

DETECTOR, KEYPOINTS = "detector", "keypoints"
_CONFIG, _NETWORK, WEIGHTS = "config.json", "network.json", "best.weights.h5"

SHIPPED = "shipped"
SHIPPED_PAIR = Path(__file__).parents[1] / "weights" / "mobile"
TFLITE, _TFLITE_DESCRIPTION = "cspn.tflite", "cspn.json"
_SHA256 = "weights_sha256"


def write_description(directory, network: str, config: Config, details: dict) -> None:
    """Write config.json and network.json; `details` are any JSON-ready values to add to network.json."""
    directory = Path(directory)
    configs.save(config, directory / _CONFIG)
    write_json(directory / _NETWORK, {"network": network, **details})


def read_description(directory, network: str) -> tuple[Config, dict]:
    """Return the config and the details of a checkpoint directory.

    Raises:
        UserError: this is not a checkpoint directory, or it is the other network's.
    """
    directory = located(directory, network)
    if not (directory / _NETWORK).is_file():
        raise UserError(f"{directory} is not a {network} checkpoint: it has no {_NETWORK}")
    details = read_json(directory / _NETWORK, "checkpoint description")
    try:
        found = details.pop("network")
    except (KeyError, AttributeError, TypeError) as error:
        raise UserError(f"{directory / _NETWORK}: not a checkpoint description: {error}") from error
    if found != network:
        raise UserError(f"{directory} holds a {found} checkpoint, not a {network} one")
    return configs.load(directory / _CONFIG), details


def is_pair(folder) -> bool:
    """Check whether a folder has the checkpoint directories of both networks, `detector` and `keypoints`."""
    return all((Path(folder) / network).is_dir() for network in (DETECTOR, KEYPOINTS))


def save_weights(model, directory) -> None:
    """Write a model's weights as the directory's best weights, by atomic rename; they are not calibrated yet."""
    description = Path(directory) / _NETWORK
    details = read_json(description) if description.is_file() else {}
    # These are said of the weights which are replaced.
    kept = {name: value for name, value in details.items() if name not in (_SHA256, "calibration")}
    if kept != details:
        write_json(description, kept)
    # Before they are written: HDF5 ends the process where the disk becomes full.
    if shutil.disk_usage(directory).free < 4 * model.count_params():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(Path(directory) / WEIGHTS))
    with replaced_file(Path(directory) / WEIGHTS) as temporary:
        model.save_weights(temporary)


def load_detector(directory):
    """Return the `Config` and the trained detector of a checkpoint directory.

    Raises:
        UserError: the directory is not a detector's, has no weights yet, or its weights do not fit its config.
    """
    from cspn_tf.models.faster_rcnn import build_detector

    config, _ = read_description(directory, DETECTOR)
    model = build_detector(config.detector)
    load_weights(model, directory, DETECTOR)
    return config, model


def load_keypoints(directory):
    """Return the `Config` and the trained keypoint network of a checkpoint directory; raises as `load_detector`."""
    config, _ = read_description(directory, KEYPOINTS)
    model = method_of(config.keypoints).build()
    load_weights(model, directory, KEYPOINTS)
    return config, model


def joint_config(detector_config: Config, keypoint_config: Config) -> Config:
    """Return the config of a pipeline whose two networks may come from different runs.

    Raises:
        UserError: they were trained on different canvas sizes.
    """
    if detector_config.canvas_size != keypoint_config.canvas_size:
        raise UserError(
            f"the detector (preset {detector_config.preset}) was trained on a canvas of "
            f"{detector_config.canvas_size} pixels, the keypoint network (preset {keypoint_config.preset}) on one of "
            f"{keypoint_config.canvas_size}: these checkpoints do not go together"
        )
    names = dict.fromkeys((detector_config.preset, keypoint_config.preset))
    return dataclasses.replace(detector_config, preset="+".join(names), keypoints=keypoint_config.keypoints)


def load_weights(model, directory, network: str) -> None:
    """Load the weights of a checkpoint directory into a newly built network.

    Raises:
        UserError: the directory has no weights yet, they do not fit the network, or their SHA-256 is not the recorded
            one.
    """
    _, details = read_description(directory, network)
    directory = located(directory, network)
    path = directory / WEIGHTS
    if not path.is_file():
        raise UserError(f"{directory} has no {WEIGHTS}: training has not finished an epoch")
    if _SHA256 in details and file_sha256(path) != details[_SHA256]:
        raise UserError(f"{path} is damaged: its SHA-256 is not the one in {directory / _NETWORK}")
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise UserError(f"{path} does not fit the network: {str(error).splitlines()[0]}") from error


def shipped_tflite() -> Path:
    """Return the path of the package's TensorFlow Lite file.

    Raises:
        UserError: it is missing, or its SHA-256 is not the recorded one.
    """
    path, description = SHIPPED_PAIR / TFLITE, SHIPPED_PAIR / _TFLITE_DESCRIPTION
    if not path.is_file():
        raise UserError(f"{path} is missing: install cspn-tf anew")
    if file_sha256(path) != read_json(description).get(_SHA256):
        raise UserError(f"{path} is damaged: its SHA-256 is not the one in {description}")
    return path


def record_sha256_of_tflite(folder) -> None:
    """Add the SHA-256 of a folder's `cspn.tflite` to the description beside it, for `shipped_tflite`."""
    description = Path(folder) / _TFLITE_DESCRIPTION
    write_json(description, {**read_json(description), _SHA256: file_sha256(Path(folder) / TFLITE)})


def write_shippable(directory, network: str, target, config: Config) -> None:
    """Write a distributable copy of a checkpoint: weights in half precision, without optimizer state.

    Args:
        directory: the training's checkpoint directory.
        network: `DETECTOR` or `KEYPOINTS`.
        target: directory to write or replace, atomically.
        config: the `Config` to write, such as that of a pair of networks.

    Raises:
        UserError: as in `load_detector`.
    """
    _, details = read_description(directory, network)
    _, model = load_detector(directory) if network == DETECTOR else load_keypoints(directory)
    with staged_directory(target, overwrite=True) as folder:
        model.save_weights(folder / WEIGHTS)
        _halve(folder / WEIGHTS)
        details = {name: value for name, value in details.items() if name not in ("data", "init", _SHA256)}
        write_description(folder, network, config, {**details, _SHA256: file_sha256(folder / WEIGHTS)})


def _halve(path):
    """Convert the float arrays of a weights file to float16."""
    import h5py

    with replaced_file(path) as temporary, h5py.File(path) as whole, h5py.File(temporary, "w") as halved:

        def copy(name, item):
            if isinstance(item, h5py.Group):
                halved.require_group(name)
            else:
                values = item[()]
                is_number = values.dtype.kind == "f" and values.ndim
                halved.create_dataset(name, data=values.astype("float16") if is_number else values)
            halved[name].attrs.update(item.attrs)

        whole.visititems(copy)


def located(directory, network: str) -> Path:
    """Return the path of a checkpoint directory of `network`, which may be given as `shipped`."""
    return SHIPPED_PAIR / network if str(directory) == SHIPPED else Path(directory)
