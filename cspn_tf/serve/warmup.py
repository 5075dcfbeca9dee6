"""Warm-up requests: TF Serving replays them when it loads a version, so that the first user does not wait."""

from pathlib import Path

from cspn_tf.contract import BYTES_INPUT, BYTES_SIGNATURE, DEFAULT_MODEL_NAME
from cspn_tf.files import plain_path, replaced_file
from cspn_tf.serve import wire

# Photos in a request: the sizes that the server's batching can form (`serving/tf_serving/batching.txt`). The first
# request of each size is slow, because it is traced and its memory is planned.
BATCH_SIZES = (1, 2, 4, 8)
MAX_WARMUP_RECORDS = 1000  # TF Serving refuses to load a version with more


def warmup_file(version_dir) -> Path:
    """Return the path at which TF Serving looks for a version's warm-up requests."""
    return Path(version_dir) / "assets.extra" / "tf_serving_warmup_requests"


def read_warmup_records(version_dir) -> list[bytes]:
    """Return a version's warm-up requests, each a serialized `PredictionLog`.

    Raises:
        tf.errors.OpError: the file is missing or damaged.
    """
    import tensorflow as tf

    path = warmup_file(version_dir)
    with plain_path(path.parent) as folder:
        return list(tf.data.TFRecordDataset(f"{folder}/{path.name}").as_numpy_iterator())


def write_warmup_requests(version_dir, photo_bytes, max_photos) -> None:
    """Write one warm-up request for each of `BATCH_SIZES` up to a limit into an exported version.

    If a warm-up request fails, the version fails to load, so the photo must be decodable.

    Args:
        version_dir: the version directory; `assets.extra` is created in it.
        photo_bytes: one JPEG or PNG file, bytes.
        max_photos: photos in a request above which the model rejects it.
    """
    import tensorflow as tf

    path = warmup_file(version_dir)
    path.parent.mkdir(exist_ok=True)
    with (
        replaced_file(path) as temporary,
        plain_path(path.parent) as folder,
        tf.io.TFRecordWriter(f"{folder}/{temporary.name}") as writer,
    ):
        for batch_size in BATCH_SIZES:
            if batch_size <= max_photos:
                log = wire.PredictionLog()
                request = log.predict_log.request
                request.model_spec.name = DEFAULT_MODEL_NAME
                request.model_spec.signature_name = BYTES_SIGNATURE
                request.inputs[BYTES_INPUT].CopyFrom(wire.tensor_from_strings([photo_bytes] * batch_size))
                writer.write(log.SerializeToString())
