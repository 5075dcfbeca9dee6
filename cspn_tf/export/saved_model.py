"""Writes the fused pipeline as one SavedModel: a version directory that TF Serving loads.

::

    models/cspn/<version>/
        saved_model.pb, variables/                   signatures `serving_default` and `pixels`
        assets.extra/cspn.json                       the config, and the served contract in words
        assets.extra/tf_serving_warmup_requests      replayed by TF Serving when it loads the version
"""

import dataclasses
import io
import shutil
from pathlib import Path

from cspn_tf import __version__, contract
from cspn_tf.console import UserError
from cspn_tf.files import locked, plain_path
from cspn_tf.inference.versions import find_versions
from cspn_tf.result import results_of_outputs


def export(pipeline, model_dir, version: int | None = None) -> Path:
    """Write a pipeline as a version of a served model, by rename, after it has answered for a photo.

    Args:
        pipeline: a `GarmentPipeline`.
        model_dir: the model's directory; its name is the model's.
        version: the version's number, or None for one more than the last.

    Returns:
        The version's directory.

    Raises:
        UserError: if the version exists, or the directory cannot be written.
        CallError: if another process is exporting into it.
    """
    model_dir = Path(model_dir)
    try:
        model_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{model_dir}: cannot be made: {error.strerror}") from error
    # TF Serving only looks at names that are numbers.
    with locked(model_dir / "lock", model_dir):
        target = model_dir / str(version or max(find_versions(model_dir), default=0) + 1)
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


def _write(pipeline, version_dir):
    """Write a version directory, and let what is written answer for a photo."""
    import tensorflow as tf

    from cspn_tf.serve.warmup import write_warmup_requests

    photo = _warmup_photo(pipeline.config.canvas_size)
    with plain_path(version_dir.parent) as folder:
        written = f"{folder}/{version_dir.name}"
        tf.saved_model.save(servable(pipeline), written, signatures=_signatures(pipeline))
        _check(written, photo)
    write_warmup_requests(version_dir, photo, contract.DEFAULT_MODEL_NAME)
    description = version_dir / "assets.extra" / "cspn.json"
    write_description(description, pipeline.config, contract.OUTPUTS, precision=pipeline.precision)


def write_description(path, config, outputs, precision="float32") -> None:
    """Write the config, and what the outputs mean, beside an exported model.

    Args:
        path: the JSON file.
        config: the pipeline's `Config`.
        outputs: name to `cspn_tf.contract.Output`.
        precision: what the networks compute in.
    """
    from cspn_tf import config as configs
    from cspn_tf.garments import KEYPOINT_NAMES
    from cspn_tf.models.checkpoints import write_json

    content = {
        "cspn_tf": __version__,
        "config": configs.to_dict(config),
        "precision": precision,
        "outputs": {name: dataclasses.asdict(output) for name, output in outputs.items()},
        "keypoint_order": list(KEYPOINT_NAMES),
        "pixel_rule": "integer coordinates are pixel centres",
    }
    write_json(path, content)


def _signatures(pipeline):
    return {
        contract.BYTES_SIGNATURE: pipeline.serve,
        contract.PIXELS_SIGNATURE: pipeline.pixels,
    }


def servable(pipeline):
    """Return a module of the pipeline's variables alone; Keras objects would drag their own traces along."""
    import tensorflow as tf

    servable = tf.Module(name="cspn")
    servable.pipeline_variables = list(pipeline.network_variables)
    return servable


def _warmup_photo(size) -> bytes:
    """Return a JPEG that is not one colour, so that no part of the pipeline is passed over."""
    import numpy as np
    from PIL import Image

    y, x = np.mgrid[0:size, 0:size] / size
    pixels = np.stack([x, y, 0.5 + 0.5 * np.sin(20 * x * y)], axis=-1)
    file = io.BytesIO()
    Image.fromarray((pixels * 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def _check(version_dir, photo):
    """Load what was written and let it answer."""
    import tensorflow as tf

    loaded = tf.saved_model.load(version_dir)
    outputs = loaded.signatures[contract.BYTES_SIGNATURE](**{contract.BYTES_INPUT: tf.constant([photo])})
    (result,) = results_of_outputs({name: value.numpy() for name, value in outputs.items()})
    if not result.ok:
        raise RuntimeError(f"the exported model answers {result.status_meaning} for a photo of its own")
