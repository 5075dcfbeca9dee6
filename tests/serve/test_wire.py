import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2, predict_pb2

from cspn_tf.serve import wire


def test_predict_request_has_the_bytes_of_the_generated_message():
    photos = [b"one\x00\x00", b"", b"\xff\xd8three"]
    ours = wire.PredictRequest(
        model_spec=wire.ModelSpec(name="cspn", signature_name="serving_default"),
        inputs={"image_bytes": wire.tensor_from_strings(photos)},
        output_filter=["status", "boxes"],
    )
    ours.model_spec.version.value = 7
    theirs = predict_pb2.PredictRequest.FromString(ours.SerializeToString())
    assert (theirs.model_spec.name, theirs.model_spec.signature_name, theirs.model_spec.version.value) == (
        "cspn",
        "serving_default",
        7,
    )
    assert list(theirs.output_filter) == ["status", "boxes"]
    assert tf.make_ndarray(theirs.inputs["image_bytes"]).tolist() == photos
    assert theirs.SerializeToString(deterministic=True) == ours.SerializeToString(deterministic=True)


def test_pixels_keep_their_shape_and_values():
    images = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    tensor = wire.tensor_from_pixels(images)
    theirs = predict_pb2.PredictRequest.FromString(
        wire.PredictRequest(inputs={"images": tensor}).SerializeToString()
    ).inputs["images"]
    np.testing.assert_array_equal(tf.make_ndarray(theirs), images)
    np.testing.assert_array_equal(wire.array_from_tensor(tensor), images)
    with pytest.raises(ValueError, match="must be uint8, received float64"):
        wire.tensor_from_pixels(images / 255)


@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("shape", [(), (0, 4), (3,), (2, 1, 3)])
def test_answers_read_back_packed_or_listed(dtype, packed, shape):
    array = (np.arange(np.prod(shape), dtype=np.float64).reshape(shape) * 1.5 + 1).astype(dtype)
    theirs = tf.make_tensor_proto(array)
    if not packed:
        theirs = tf.make_tensor_proto(array.ravel().tolist(), dtype, shape) if array.size else theirs
        field = theirs.float_val if dtype == "float32" else theirs.int_val
        del field[:]
        field.extend(array.ravel().tolist())
        theirs.tensor_content = b""
    received = wire.array_from_tensor(wire.Tensor.FromString(theirs.SerializeToString()))
    assert received.dtype == dtype
    np.testing.assert_array_equal(received, array)


def test_listed_values_may_leave_out_a_repeated_tail():
    tensor = wire.Tensor(dtype=1, float_val=[1.0, 2.5])
    tensor.tensor_shape.dim.add(size=4)
    assert wire.array_from_tensor(tensor).tolist() == [1.0, 2.5, 2.5, 2.5]


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (wire.Tensor(dtype=2), "dtype must be one of"),
        (wire.Tensor(dtype=1, float_val=[1.0, 2.0]), r"shape \(\) must have 1 values, received 2"),
        (wire.Tensor(dtype=1), "must have 1 values, received 0"),
        (wire.Tensor(dtype=3, tensor_content=b"12345"), "multiple of element size"),
    ],
)
def test_answers_that_do_not_fit_are_refused(tensor, message):
    with pytest.raises(ValueError, match=message):
        wire.array_from_tensor(tensor)


def test_model_status_reads_as_the_generated_message():
    theirs = get_model_status_pb2.GetModelStatusResponse()
    for number, state in ((1, "END"), (2, "AVAILABLE")):
        status = theirs.model_version_status.add(version=number)
        status.state = get_model_status_pb2.ModelVersionStatus.State.Value(state)
        status.status.error_message = f"message {number}"
    ours = wire.GetModelStatusResponse.FromString(theirs.SerializeToString())
    assert [(s.version, wire.MODEL_STATES[s.state], s.status.error_message) for s in ours.model_version_status] == [
        (1, "END", "message 1"),
        (2, "AVAILABLE", "message 2"),
    ]
    numbers = {value.number: value.name for value in get_model_status_pb2.ModelVersionStatus.State.DESCRIPTOR.values}
    assert numbers == wire.MODEL_STATES


def test_fields_have_the_numbers_and_types_of_the_generated_messages():
    pairs = [
        (wire.PredictRequest, predict_pb2.PredictRequest),
        (wire.PredictResponse, predict_pb2.PredictResponse),
        (wire.GetModelStatusRequest, get_model_status_pb2.GetModelStatusRequest),
        (wire.GetModelStatusResponse, get_model_status_pb2.GetModelStatusResponse),
    ]
    for ours, theirs in pairs:
        _compare_fields(ours.DESCRIPTOR, theirs.DESCRIPTOR)


def _compare_fields(ours, theirs):
    for field in ours.fields:
        other = theirs.fields_by_name[field.name]
        assert (field.number, field.label) == (other.number, other.label), other.full_name
        # An enum travels as an int32.
        other_type = field.TYPE_INT32 if other.type == field.TYPE_ENUM else other.type
        assert field.type == other_type, other.full_name
        if field.message_type:
            _compare_fields(field.message_type, other.message_type)
