"""Write the fused pipeline as one SavedModel: a version directory that TF Serving loads.

::

    models/cspn/<version>/
        saved_model.pb, variables/                   signatures `serving_default` and `pixels`
        assets.extra/cspn.json                       the config, and a description of the outputs
        assets.extra/tf_serving_warmup_requests      replayed by TF Serving when it loads the version
"""

import dataclasses
import math
import shutil
from pathlib import Path

from cspn_tf import __version__, contract
from cspn_tf import config as configs
from cspn_tf.console import UserError
from cspn_tf.files import locked, picture_bytes, plain_path, write_json
from cspn_tf.garments import KEYPOINT_NAMES
from cspn_tf.inference.versions import DESCRIPTION_FILE, MAX_VERSION, SAVED_MODEL_FILE, find_versions


def export(pipeline, model_dir, version: int | None = None) -> Path:
    """Export a pipeline as a new version of a served model: staged, tested on a photo, then renamed into place.

    Args:
        pipeline: a `GarmentPipeline`.
        model_dir: the model directory; it has the model's name.
        version: the version number, or None for the last one plus 1.

    Returns:
        The version directory.

    Raises:
        OSError: if the directory cannot be written.
        UserError: if the version exists, or is above `MAX_VERSION`.
        CallError: if another process is exporting into the directory.
    """
    model_dir = Path(model_dir)
    if (version or 1) > MAX_VERSION:
        raise UserError(f"--version must be at most {MAX_VERSION}, received {version}")
    model_dir.mkdir(parents=True, exist_ok=True)
    # TF Serving ignores directories whose names are not numbers, so it never loads the staging directory.
    with locked(model_dir / "lock", model_dir):
        version = version or max(find_versions(model_dir), default=0) + 1
        if version > MAX_VERSION:
            raise UserError(f"{model_dir} has the highest possible version, {MAX_VERSION}: give an unused --version")
        target = model_dir / str(version)
        if target.exists():
            raise UserError(f"{target} exists; choose another --version")
        temporary = model_dir / f"writing-{target.name}"
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            _write(pipeline, temporary)
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def _put_in_one_order(version_dir):
    """Sort the operations of each function by name: their order in the file depends on threads, and means nothing."""
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.saved_model.fingerprinting_utils import write_fingerprint

    path = Path(version_dir) / SAVED_MODEL_FILE
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for function in model.meta_graphs[0].graph_def.library.function:
        function.node_def.sort(key=lambda node: node.name)
    path.write_bytes(model.SerializeToString(deterministic=True))
    write_fingerprint(str(version_dir))


def _write(pipeline, version_dir):
    """Write a version directory, and check it."""
    import tensorflow as tf

    from cspn_tf.export.check import check
    from cspn_tf.serve.warmup import write_warmup_requests

    photo = _warmup_photo(min(pipeline.config.canvas_size, math.isqrt(pipeline.config.max_pixels)))
    with plain_path(version_dir.parent) as folder:
        written = f"{folder}/{version_dir.name}"
        signatures = {contract.BYTES_SIGNATURE: pipeline.serve, contract.PIXELS_SIGNATURE: pipeline.pixels}
        tf.saved_model.save(servable(pipeline), written, signatures=signatures)
        _put_in_one_order(written)
    write_warmup_requests(version_dir, photo, pipeline.max_photos)
    about = description(pipeline.config, contract.OUTPUTS, pipeline.precision, limits=_limits(pipeline))
    write_json(version_dir / DESCRIPTION_FILE, about)
    faults = [f"{what}: {fault}" for what, _, faults in check(version_dir) for fault in faults]
    if faults:
        raise UserError(f"the exported model fails its check: {'; '.join(faults)}")


def _limits(pipeline):
    """Return what the graph accepts in a request, for `cspn.json`."""
    max_pixels = pipeline.config.max_pixels
    return {
        "photos_per_request": pipeline.max_photos,
        "pixels_per_jpeg": max_pixels,
        "pixels_per_png": max_pixels // contract.PNG_PIXEL_COST,
        "pixels_per_pixels_request": contract.MAX_PIXELS_FACTOR * max_pixels,
    }


def description(config, outputs, precision="float32", **more) -> dict:
    """Return the config and the meaning of the outputs, for the JSON file beside an exported model.

    Args:
        config: the pipeline's `Config`.
        outputs: dict of name to `cspn_tf.contract.Output`.
        precision: compute precision of the networks.
        **more: further entries, dicts; `Output` values become plain dicts, as in the outputs.
    """
    return {
        "cspn_tf": __version__,
        "config": configs.to_dict(config),
        "precision": precision,
        **{key: _described(value) for key, value in more.items()},
        "outputs": _described(outputs),
        "keypoint_order": list(KEYPOINT_NAMES),
        "pixel_rule": "integer coordinates are pixel centres",
    }


def _described(entries):
    return {
        name: dataclasses.asdict(value) if isinstance(value, contract.Output) else value
        for name, value in entries.items()
    }


def servable(pipeline):
    """Return a module with only the pipeline's variables; Keras objects would add their traced functions."""
    import tensorflow as tf

    servable = tf.Module(name="cspn")
    servable.pipeline_variables = list(pipeline.network_variables)
    return servable


def _warmup_photo(size) -> bytes:
    """Return a JPEG with a colour pattern, so that every stage of the pipeline gets real input."""
    import numpy as np
    from PIL import Image

    y, x = np.mgrid[0:size, 0:size] / size
    pixels = np.stack([x, y, 0.5 + 0.5 * np.sin(20 * x * y)], axis=-1)
    return picture_bytes(Image.fromarray((pixels * 255).astype(np.uint8)), "JPEG", quality=90)
