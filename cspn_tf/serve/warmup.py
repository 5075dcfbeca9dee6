"""Warm-up requests: TF Serving replays them when it loads a version, so that the first user does not wait."""

from pathlib import Path

from cspn_tf.contract import BYTES_INPUT, BYTES_SIGNATURE
from cspn_tf.files import plain_path, replaced_file
from cspn_tf.serve import wire

MAX_WARMUP_RECORDS = 1000  # TF Serving refuses to load a version with more


def warmup_file(version_dir) -> Path:
    """Return the path at which TF Serving looks for a version's warm-up requests."""
    return Path(version_dir) / "assets.extra" / "tf_serving_warmup_requests"


def write_warmup_requests(version_dir, photo_bytes, model_name, batch_sizes=(1, 2, 4, 8)) -> Path:
    """Write one warm-up request per batch size into an exported version.

    The sizes should be those that the server's batching can form (`serving/tf_serving/batching.txt`), since the first
    request of each size is slow: it is traced, and its memory is planned. If a warm-up request fails, the version fails
    to load, so the photo must be decodable.

    Args:
        version_dir: the version directory; `assets.extra` is created in it.
        photo_bytes: one JPEG or PNG file, bytes.
        model_name: the name under which the model is served.
        batch_sizes: photos per request, each at least 1.

    Returns:
        Path of the written file.

    Raises:
        ValueError: `version_dir` is not a directory, `photo_bytes` is empty, or `batch_sizes` is empty, too long, or
            contains a number below 1.
    """
    if not Path(version_dir).is_dir():
        raise ValueError(f"version_dir must be a directory, received {version_dir}")
    if not photo_bytes:
        raise ValueError("photo_bytes must be a JPEG or PNG file, received nothing")
    if not batch_sizes or min(batch_sizes) < 1 or len(batch_sizes) > MAX_WARMUP_RECORDS:
        raise ValueError(f"batch_sizes must be 1 to {MAX_WARMUP_RECORDS} numbers of at least 1, received {batch_sizes}")
    import tensorflow as tf

    path = warmup_file(version_dir)
    path.parent.mkdir(exist_ok=True)
    logs = [_prediction_log(photo_bytes, model_name, batch_size) for batch_size in batch_sizes]
    with (
        replaced_file(path) as temporary,
        plain_path(path.parent) as folder,
        tf.io.TFRecordWriter(f"{folder}/{temporary.name}") as writer,
    ):
        for log in logs:
            writer.write(log.SerializeToString())
    return path


def _prediction_log(photo_bytes, model_name, batch_size):
    log = wire.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = model_name
    request.model_spec.signature_name = BYTES_SIGNATURE
    request.inputs[BYTES_INPUT].CopyFrom(wire.tensor_from_strings([photo_bytes] * batch_size))
    return log
