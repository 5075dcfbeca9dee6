import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from cspn_tf.serve.warmup import warmup_file, write_warmup_requests


def test_one_request_a_batch_size_with_the_photo_as_it_is(tmp_path):
    photo = b"\xff\xd8photo\x00\x00"
    write_warmup_requests(tmp_path, photo, 64)
    path = warmup_file(tmp_path)
    assert path == tmp_path / "assets.extra" / "tf_serving_warmup_requests"
    assert [p.name for p in path.parent.iterdir()] == ["tf_serving_warmup_requests"]
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record)
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]
    requests = [log.predict_log.request for log in logs]
    # The sizes are those of serving/tf_serving/batching.txt.
    assert [tf.make_ndarray(request.inputs["image_bytes"]).tolist() for request in requests] == [
        [photo] * size for size in (1, 2, 4, 8)
    ]
    assert {(r.model_spec.name, r.model_spec.signature_name) for r in requests} == {("cspn", "serving_default")}


def test_no_request_is_larger_than_the_model_takes(tmp_path):
    write_warmup_requests(tmp_path, b"photo", 3)
    records = list(tf.data.TFRecordDataset(str(warmup_file(tmp_path))).as_numpy_iterator())
    requests = [prediction_log_pb2.PredictionLog.FromString(record).predict_log.request for record in records]
    assert [len(request.inputs["image_bytes"].string_val) for request in requests] == [1, 2]
