"""Versions of an exported model: a model directory has one SavedModel per version, in a folder named by an integer."""

from pathlib import Path

from cspn_tf.console import UserError, one_line

SAVED_MODEL_FILE = "saved_model.pb"
# In a version: the config, and a description of outputs and limits.
DESCRIPTION_FILE = Path("assets.extra", "cspn.json")
# TF Serving ignores folders with a higher number.
MAX_VERSION = 2**63 - 1


def find_versions(model_dir) -> dict:
    """Return a model's version directories, integer to path. Other names than integers of 63 bits are ignored."""
    model_dir = Path(model_dir)
    if not model_dir.is_dir():
        return {}
    return {
        int(path.name): path
        for path in model_dir.iterdir()
        if path.name.isascii() and path.name.isdigit() and int(path.name) <= MAX_VERSION and path.is_dir()
    }


def latest_version(model_dir) -> tuple:
    """Return the highest version of a model and its directory.

    Raises:
        UserError: the directory or a version in it is missing, or the highest version has no SavedModel.
    """
    model_dir = Path(model_dir)
    if not model_dir.is_dir():
        reason = "it is a file" if model_dir.exists() else "there is no such file or directory"
        raise UserError(f"no model at {model_dir}: {reason}")
    versions = find_versions(model_dir)
    if not versions:
        if (model_dir / SAVED_MODEL_FILE).is_file():
            raise UserError(f"{model_dir} is one version of a model: give the directory above it")
        raise UserError(f"no model at {model_dir}: it has no version directory (an integer, such as {model_dir}/1)")
    version = max(versions)
    check_saved_model(versions[version])
    return version, versions[version]


def check_saved_model(version_dir) -> None:
    """Check that a version directory contains a SavedModel.

    Raises:
        UserError: it does not.
    """
    if not (version_dir / SAVED_MODEL_FILE).is_file():
        raise UserError(f"no model in {version_dir}: it has no {SAVED_MODEL_FILE}")


def read_served_graph(version_dir):
    """Return the `MetaGraphDef` of a SavedModel that is served: the one with the tag serve. No weights are loaded.

    Raises:
        UserError: the file cannot be read, or has no such graph.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    path = Path(version_dir) / SAVED_MODEL_FILE
    try:
        saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise UserError(f"cannot read {path}: {one_line(error) or type(error).__name__}") from error
    for meta_graph in saved_model.meta_graphs:
        if "serve" in meta_graph.meta_info_def.tags:
            return meta_graph
    raise UserError(f"{path} has no graph with the tag serve")


def version_directory(directory) -> Path:
    """Return the directory of a SavedModel: the given one if it is a version, else the highest version in it.

    Raises:
        UserError: as `latest_version`.
    """
    directory = Path(directory)
    return directory if (directory / SAVED_MODEL_FILE).is_file() else latest_version(directory)[1]
