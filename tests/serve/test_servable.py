import shutil

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from cspn_tf.console import UserError
from cspn_tf.serve.servable import RequestError, Servable
from cspn_tf.serve.warmup import warmup_file, write_warmup_requests
from tests.fake_model import encode, expected_outputs, export_fake_model, make_pixels


@pytest.fixture(scope="module")
def servable(model_dir):
    return Servable(1, model_dir / "1")


def make_request(photos, signature="", outputs=()):
    request = predict_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name = "cspn"
    request.model_spec.signature_name = signature
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(photos, tf.string, [len(photos)]))
    return request


def read(response):
    return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


def test_outputs_are_those_of_the_graph(servable):
    pixels = make_pixels(41, 52)
    response = servable.predict(make_request([encode(pixels)]))
    outputs, expected = read(response), expected_outputs(pixels)
    assert outputs.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(outputs[name][0], array, rtol=1e-5, err_msg=name)
    spec = response.model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == ("cspn", "serving_default", 1)


def test_pixels_answer_as_their_file(servable):
    pixels = make_pixels(41, 52)
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = "pixels"
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(pixels[None]))
    from_pixels, from_file = read(servable.predict(request)), read(servable.predict(make_request([encode(pixels)])))
    for name in from_file:
        np.testing.assert_array_equal(from_pixels[name], from_file[name], err_msg=name)


def test_a_file_keeps_the_nul_bytes_at_its_end(servable):
    seen = []
    function = servable._functions["serving_default"]
    servable._functions["serving_default"] = lambda image_bytes: seen.append(image_bytes) or function(image_bytes)
    try:
        servable.predict(make_request([b"nothing\x00\x00", b"\x00"]))
    finally:
        servable._functions["serving_default"] = function
    assert seen[0].numpy().tolist() == [b"nothing\x00\x00", b"\x00"]


def test_output_filter_picks_outputs(servable):
    response = servable.predict(make_request([b"no photo"], outputs=["status", "boxes"]))
    assert {name: array.tolist() for name, array in read(response).items()} == {
        "status": [1],
        "boxes": [[[0.0] * 4] * 2],
    }


def wrong_requests():
    extra, missing, renamed, wrong_dtype, wrong_rank, short, raw = (make_request([b"x"]) for _ in range(7))
    extra.inputs["more"].CopyFrom(tf.make_tensor_proto(1))
    missing.inputs.clear()
    renamed.inputs["photos"].CopyFrom(renamed.inputs.pop("image_bytes"))
    wrong_dtype.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([1.0]))
    wrong_rank.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(b"x"))
    short.model_spec.signature_name = "pixels"
    short.inputs.clear()
    short.inputs["images"].CopyFrom(tf.make_tensor_proto(make_pixels(4, 5)[None]))
    short.inputs["images"].tensor_shape.dim[1].size = 3
    raw.inputs["image_bytes"].dtype = 0
    unknown, negative, huge, repeated, expanded = (make_request([b"x" * 2000]) for _ in range(5))
    expanded.inputs["image_bytes"].tensor_shape.dim[0].size = 2**20
    repeated.inputs["image_bytes"].tensor_shape.dim[0].size = 2**20 + 1
    unknown.inputs["image_bytes"].dtype = 9999
    negative.inputs["image_bytes"].tensor_shape.dim[0].size = -1
    huge.model_spec.signature_name = "pixels"
    huge.inputs.clear()
    huge.inputs["images"].CopyFrom(tf.make_tensor_proto(np.zeros((1, 1, 1, 3), np.uint8)))
    for dim in huge.inputs["images"].tensor_shape.dim[:3]:
        dim.size = 2**40
    invalid, precondition = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
    size = "input size does not match signature: "
    return {
        "unknown signature": (make_request([b"x"], "faces"), precondition, 'Serving signature key "faces" not found.'),
        "extra input": (
            extra,
            invalid,
            size + "2!=1 len({image_bytes,more}) != len({image_bytes}). Sent extra: {more}. Missing but required: {}.",
        ),
        "missing input": (
            missing,
            invalid,
            size + "0!=1 len({}) != len({image_bytes}). Sent extra: {}. Missing but required: {image_bytes}.",
        ),
        "renamed input": (
            renamed,
            invalid,
            "input tensor alias not found in signature: photos. Inputs expected to be in the set {image_bytes}.",
        ),
        "wrong dtype": (wrong_dtype, invalid, "input image_bytes must be string, received float32"),
        "no dtype": (raw, invalid, "input image_bytes must be string, received no dtype"),
        "wrong rank": (wrong_rank, invalid, "input image_bytes must have the shape (None,), received []"),
        "unknown dtype": (unknown, invalid, "input image_bytes must be string, received the unknown dtype 9999"),
        "one value for a million": (
            repeated,
            invalid,
            "input image_bytes must have at most 1048576 values, received [1048577]",
        ),
        "one photo for gigabytes": (
            expanded,
            invalid,
            "input image_bytes has 1 values for the shape [1048576]",
        ),
        "negative size": (negative, invalid, "input image_bytes must have the shape (None,), received [-1]"),
        "impossible size": (
            huge,
            invalid,
            f"input images must have at most 1073741824 values, received {[2**40] * 3 + [3]}",
        ),
        "values that do not fill the shape": (short, invalid, "tensor parsing error: images"),
        "unknown output": (
            make_request([b"x"], outputs=["masks"]),
            invalid,
            "output tensor alias not found in signature: masks Outputs expected to be in the set {boxes,classes,"
            "image_size,keypoint_scores,keypoints,num_garments,scores,status}.",
        ),
        "output twice": (
            make_request([b"x"], outputs=["status", "status"]),
            invalid,
            "duplicate output tensor alias: status",
        ),
    }


@pytest.mark.parametrize("case", wrong_requests())
def test_wrong_requests_are_told_what_tf_serving_says(servable, case):
    request, code, message = wrong_requests()[case]
    with pytest.raises(RequestError) as caught:
        servable.predict(request)
    assert (caught.value.code, str(caught.value)) == (code, message)


def test_a_failure_of_the_graph_carries_its_status_in_one_line(servable):
    broken = encode(make_pixels(41, 52))[:60]  # the fake model, unlike an exported one, has no guard
    with pytest.raises(RequestError) as caught:
        servable.predict(make_request([broken]))
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert "\n" not in str(caught.value)


def test_warm_up_requests_are_replayed_and_a_failing_one_fails_the_load(model_dir, tmp_path):
    version_dir = shutil.copytree(model_dir / "1", tmp_path / "a pattern [v1]\\" / "1")
    write_warmup_requests(version_dir, encode(make_pixels(41, 52)), 64)
    Servable(1, version_dir)
    write_warmup_requests(version_dir, b"\xff\xd8 no photo", 64)
    with pytest.raises(UserError, match=r"warm-up failed, .*tf_serving_warmup_requests: .*JPEG"):
        Servable(1, version_dir)


@pytest.mark.parametrize("content", [b"no record" * 9, b""])
def test_a_damaged_warm_up_file_fails_the_load_an_empty_one_does_not(model_dir, tmp_path, content):
    version_dir = shutil.copytree(model_dir / "1", tmp_path / "1")
    warmup_file(version_dir).parent.mkdir()
    warmup_file(version_dir).write_bytes(content)
    if content:
        with pytest.raises(UserError, match="warm-up failed"):
            Servable(1, version_dir)
    else:
        Servable(1, version_dir)


@pytest.mark.parametrize(
    "kind, count, message",
    [
        ("predict_log", 1001, "must have at most 1000 records, received 1001"),
        ("classify_log", 1, "only predict_log records can be replayed"),
    ],
)
def test_warm_up_requests_that_tf_serving_would_refuse_fail_the_load(model_dir, tmp_path, kind, count, message):
    version_dir = shutil.copytree(model_dir / "1", tmp_path / "1")
    path = warmup_file(version_dir)
    path.parent.mkdir()
    log = prediction_log_pb2.PredictionLog()
    getattr(log, kind).request.SetInParent()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(count):
            writer.write(log.SerializeToString())
    with pytest.raises(UserError, match=f"^{path}:? {message}$"):
        Servable(1, version_dir)


def test_a_directory_that_is_no_saved_model_is_an_error_that_names_it(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff not a protobuf")
    with pytest.raises(UserError, match=f"cannot read {tmp_path}/saved_model.pb"):
        Servable(1, tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(UserError, match=r"saved_model\.pb has no graph with the tag serve"):
        Servable(1, tmp_path)


def test_missing_weights_are_an_error_that_names_the_directory(tmp_path):
    version_dir = export_fake_model(tmp_path)
    shutil.rmtree(version_dir / "variables")
    with pytest.raises(UserError, match=f"cannot load {version_dir}: "):
        Servable(1, version_dir)
