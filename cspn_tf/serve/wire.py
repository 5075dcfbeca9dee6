"""The protobuf messages needed by a TF Serving client and for warm-up files, without `tensorflow-serving-api`.

The generated modules of that package import TensorFlow, which costs seconds and half a gigabyte of memory. These
messages have the same field numbers and types, so they serialize to the same bytes. They use a separate descriptor
pool, so they can coexist with the generated messages in one process.

Source: `predict.proto`, `prediction_log.proto`, `get_model_status.proto` and `model.proto` of TF Serving,
`tensor.proto` of TensorFlow.
"""

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PREDICT_METHOD = "/tensorflow.serving.PredictionService/Predict"
GET_MODEL_STATUS_METHOD = "/tensorflow.serving.ModelService/GetModelStatus"

MODEL_STATES = {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}

_PACKAGE = "tensorflow.serving"
# message -> (field, number, type). "[]" before a type marks a repeated field, "{}" a map from string to the type.
_MESSAGES = {
    "Int64Value": [("value", 1, "int64")],
    "ModelSpec": [("name", 1, "string"), ("version", 2, "Int64Value"), ("signature_name", 3, "string")],
    "Dim": [("size", 1, "int64")],
    "TensorShape": [("dim", 2, "[]Dim")],
    "Tensor": [
        ("dtype", 1, "int32"),
        ("tensor_shape", 2, "TensorShape"),
        ("tensor_content", 4, "bytes"),
        ("float_val", 5, "[]float"),
        ("int_val", 7, "[]int32"),
        ("string_val", 8, "[]bytes"),
    ],
    "PredictRequest": [
        ("model_spec", 1, "ModelSpec"),
        ("inputs", 2, "{}Tensor"),
        ("output_filter", 3, "[]string"),
    ],
    "PredictResponse": [("outputs", 1, "{}Tensor"), ("model_spec", 2, "ModelSpec")],
    "PredictLog": [("request", 1, "PredictRequest")],
    "PredictionLog": [("predict_log", 6, "PredictLog")],
    "GetModelStatusRequest": [("model_spec", 1, "ModelSpec")],
    "Status": [("error_code", 1, "int32"), ("error_message", 2, "string")],
    "ModelVersionStatus": [("version", 1, "int64"), ("state", 2, "int32"), ("status", 3, "Status")],
    "GetModelStatusResponse": [("model_version_status", 1, "[]ModelVersionStatus")],
}
_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {name: getattr(_FIELD, f"TYPE_{name.upper()}") for name in ("int64", "int32", "bytes", "float", "string")}


def _build_messages():
    file = descriptor_pb2.FileDescriptorProto(name="cspn_tf_wire.proto", package=_PACKAGE, syntax="proto3")
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for field_name, number, kind in fields:
            if kind.startswith("{}"):
                entry = message.nested_type.add(name=f"{field_name.capitalize()}Entry")
                entry.options.map_entry = True
                _add_field(entry, "key", 1, "string")
                _add_field(entry, "value", 2, kind[2:])
                kind = f"[]{message_name}.{entry.name}"
            _add_field(message, field_name, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


def _add_field(message, name, number, kind):
    label = _FIELD.LABEL_REPEATED if kind.startswith("[]") else _FIELD.LABEL_OPTIONAL
    kind = kind.removeprefix("[]")
    field = message.field.add(name=name, number=number, label=label)
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"


_CLASSES = _build_messages()
ModelSpec = _CLASSES["ModelSpec"]
Tensor = _CLASSES["Tensor"]
PredictRequest = _CLASSES["PredictRequest"]
PredictResponse = _CLASSES["PredictResponse"]
PredictionLog = _CLASSES["PredictionLog"]
GetModelStatusRequest = _CLASSES["GetModelStatusRequest"]
GetModelStatusResponse = _CLASSES["GetModelStatusResponse"]

# TensorFlow's DataType numbers, and the fields that hold the values of tensors not packed into tensor_content.
_DT_STRING = 7
_DT_UINT8 = 4
_NUMERIC = {1: (np.float32, "float_val"), 3: (np.int32, "int_val"), _DT_UINT8: (np.uint8, "int_val")}


def tensor_from_strings(values):
    """Return a string tensor `(B,)` of a list of bytes; trailing NUL bytes are kept."""
    tensor = Tensor(dtype=_DT_STRING, string_val=values)
    tensor.tensor_shape.dim.add(size=len(values))
    return tensor


def tensor_from_pixels(images):
    """Convert a uint8 array of any shape to a tensor."""
    if images.dtype != np.uint8:
        raise ValueError(f"images must be uint8, received {images.dtype}")
    tensor = Tensor(dtype=_DT_UINT8, tensor_content=images.tobytes())
    for size in images.shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor


def array_from_tensor(tensor):
    """Return the numpy array of a float32, int32 or uint8 tensor.

    Servers may pack the values as bytes or list them; a list may omit trailing repetitions of its last value.

    Raises:
        ValueError: unsupported dtype, or number of values that does not match the shape.
    """
    if tensor.dtype not in _NUMERIC:
        raise ValueError(f"dtype must be one of {sorted(_NUMERIC)} (TensorFlow's numbers), received {tensor.dtype}")
    dtype, field = _NUMERIC[tensor.dtype]
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    num = int(np.prod(shape, dtype=np.int64))
    if tensor.tensor_content:
        values = np.frombuffer(tensor.tensor_content, np.dtype(dtype).newbyteorder("<")).astype(dtype)
    else:
        values = np.array(getattr(tensor, field), dtype)
        if 0 < len(values) < num:
            values = np.pad(values, (0, num - len(values)), mode="edge")
    if len(values) != num:
        raise ValueError(f"a tensor of shape {shape} must have {num} values, received {len(values)}")
    return values.reshape(shape)
