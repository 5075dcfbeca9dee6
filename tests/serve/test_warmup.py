import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from cspn_tf.serve.warmup import warmup_file, write_warmup_requests


def test_one_request_a_batch_size_with_the_photo_as_it_is(tmp_path):
    photo = b"\xff\xd8photo\x00\x00"
    path = write_warmup_requests(tmp_path, photo, "dressed", batch_sizes=(1, 4))
    assert path == warmup_file(tmp_path) == tmp_path / "assets.extra" / "tf_serving_warmup_requests"
    assert [p.name for p in path.parent.iterdir()] == ["tf_serving_warmup_requests"]
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record)
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]
    requests = [log.predict_log.request for log in logs]
    assert [tf.make_ndarray(request.inputs["image_bytes"]).tolist() for request in requests] == [[photo], [photo] * 4]
    assert {(r.model_spec.name, r.model_spec.signature_name) for r in requests} == {("dressed", "serving_default")}


def test_the_default_sizes_are_those_of_the_batching_configuration(tmp_path):
    path = write_warmup_requests(tmp_path, b"photo", "cspn")
    sizes = [
        len(prediction_log_pb2.PredictionLog.FromString(r).predict_log.request.inputs["image_bytes"].string_val)
        for r in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]
    assert sizes == [1, 2, 4, 8]


@pytest.mark.parametrize(
    ("directory", "photo", "batch_sizes", "message"),
    [
        ("nothing", b"photo", (1,), "version_dir must be a directory"),
        (".", b"", (1,), "photo_bytes must be"),
        (".", b"photo", (), "batch_sizes must be"),
        (".", b"photo", (1, 0), "batch_sizes must be"),
        (".", b"photo", range(1, 1002), "batch_sizes must be"),
    ],
)
def test_wrong_arguments_write_nothing(tmp_path, directory, photo, batch_sizes, message):
    with pytest.raises(ValueError, match=message):
        write_warmup_requests(tmp_path / directory, photo, "cspn", batch_sizes)
    assert list(tmp_path.iterdir()) == []
