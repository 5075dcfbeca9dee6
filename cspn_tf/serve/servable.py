"""One loaded version of a model, with TF Serving's interface: a PredictRequest in, a PredictResponse out."""

import math

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from cspn_tf.console import UserError, one_line
from cspn_tf.contract import BYTES_SIGNATURE
from cspn_tf.files import plain_path
from cspn_tf.inference.versions import read_served_graph
from cspn_tf.serve.warmup import MAX_WARMUP_RECORDS, read_warmup_records, warmup_file

# Values of an input, which a request of a few bytes can claim; above them memory may not do. TF Serving has no limit.
_MAX_STRINGS, _MAX_NUMBERS = 2**20, 2**30
_STATUS_OF_NUMBER = {status.value[0]: status for status in grpc.StatusCode}


class RequestError(Exception):
    """A request that cannot be answered, with its gRPC status code."""

    def __init__(self, message, code=grpc.StatusCode.INVALID_ARGUMENT):
        super().__init__(message)
        self.code = code


class Servable:
    """A loaded SavedModel that answers requests for its signatures.

    The checks, their order, status codes and messages are those of TF Serving, so that a client gets the same errors
    as in production. The exception: an input's dtype and shape are checked before the graph runs, and the message names
    the input.

    Args:
        version: version number.
        version_dir: version directory.

    Raises:
        UserError: the directory has no SavedModel that can be served, or a warm-up request fails.
    """

    def __init__(self, version, version_dir):
        self.version = version
        self.signature_defs = dict(read_served_graph(version_dir).signature_def)
        try:
            # Keep a reference: the functions below do not keep the model alive.
            with plain_path(version_dir) as folder:
                self._saved_model = tf.saved_model.load(folder, tags=["serve"])
        except Exception as error:  # a damaged SavedModel raises OSError, ValueError, KeyError and more
            raise UserError(f"cannot load {version_dir}: {_reason(error)}") from error
        self._functions = dict(self._saved_model.signatures)
        self._warm_up(version_dir)

    def predict(self, request):
        """Answer one request.

        Args:
            request: `predict_pb2.PredictRequest`; the caller has checked its model name and version.

        Returns:
            `predict_pb2.PredictResponse`.

        Raises:
            RequestError: unknown signature or output, wrong inputs, or an error in the graph.
        """
        signature_name = request.model_spec.signature_name or BYTES_SIGNATURE
        if signature_name not in self._functions:
            raise RequestError(
                f'Serving signature key "{signature_name}" not found.', grpc.StatusCode.FAILED_PRECONDITION
            )
        signature = self.signature_defs[signature_name]
        _check_input_names(request.inputs, signature.inputs)
        inputs = {name: _to_tensor(name, proto, signature.inputs[name]) for name, proto in request.inputs.items()}
        output_names = _choose_outputs(request.output_filter, signature.outputs)
        try:
            outputs = self._functions[signature_name](**inputs)
        except tf.errors.OpError as error:
            code = _STATUS_OF_NUMBER.get(error.error_code, grpc.StatusCode.INTERNAL)
            raise RequestError(_reason(error), code) from error
        response = predict_pb2.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.signature_name = signature_name
        response.model_spec.version.value = self.version
        for name in output_names:
            response.outputs[name].CopyFrom(tf.make_tensor_proto(outputs[name].numpy()))
        return response

    def _warm_up(self, version_dir):
        path = warmup_file(version_dir)
        if not path.is_file():
            return
        try:
            records = read_warmup_records(version_dir)
            if len(records) > MAX_WARMUP_RECORDS:
                raise UserError(f"{path} must have at most {MAX_WARMUP_RECORDS} records, received {len(records)}")
            for record in records:
                log = prediction_log_pb2.PredictionLog.FromString(record)
                if log.WhichOneof("log_type") != "predict_log":
                    raise UserError(f"{path}: only predict_log records can be replayed")
                self.predict(log.predict_log.request)
        except UserError:
            raise
        except Exception as error:  # whatever a damaged file does
            raise UserError(f"warm-up failed, {path}: {_reason(error)}") from error


def _check_input_names(inputs, wanted):
    if len(inputs) != len(wanted):
        sent, required = sorted(inputs), sorted(wanted)
        raise RequestError(
            f"input size does not match signature: {len(sent)}!={len(required)} "
            f"len({_braced(sent)}) != len({_braced(required)}). Sent extra: {_braced(set(sent) - set(required))}. "
            f"Missing but required: {_braced(set(required) - set(sent))}."
        )
    for name in inputs:
        if name not in wanted:
            raise RequestError(
                f"input tensor alias not found in signature: {name}. "
                f"Inputs expected to be in the set {_braced(wanted)}."
            )


def _to_tensor(name, proto, info):
    wanted_dtype, wanted_shape = tf.dtypes.as_dtype(info.dtype), tf.TensorShape(info.tensor_shape)
    if proto.dtype != info.dtype:
        raise RequestError(f"input {name} must be {wanted_dtype.name}, received {_dtype_name(proto)}")
    # Before it is parsed: a single value can stand for a tensor of any size.
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0 or not wanted_shape.is_compatible_with(shape):
        raise RequestError(f"input {name} must have the shape {wanted_shape}, received {shape}")
    limit = _MAX_STRINGS if wanted_dtype == tf.string else _MAX_NUMBERS
    if math.prod(shape) > limit:
        raise RequestError(f"input {name} must have at most {limit} values, received {shape}")
    # The last string stands for all that are missing.
    num_missing = math.prod(shape) - len(proto.string_val)
    if proto.string_val and num_missing * len(proto.string_val[-1]) > _MAX_NUMBERS:
        raise RequestError(f"input {name} has {len(proto.string_val)} values for the shape {shape}")
    try:
        return tf.constant(tf.make_ndarray(proto), wanted_dtype)
    except (ValueError, TypeError, MemoryError, OverflowError) as error:
        raise RequestError(f"tensor parsing error: {name}") from error


def _dtype_name(proto):
    try:
        return tf.dtypes.as_dtype(proto.dtype).name if proto.dtype else "no dtype"
    except TypeError:
        return f"the unknown dtype {proto.dtype}"


def _choose_outputs(output_filter, outputs):
    for name in output_filter:
        if name not in outputs:
            raise RequestError(
                f"output tensor alias not found in signature: {name} "
                f"Outputs expected to be in the set {_braced(outputs)}."
            )
    if len(set(output_filter)) != len(output_filter):
        twice = next(name for name in output_filter if list(output_filter).count(name) > 1)
        raise RequestError(f"duplicate output tensor alias: {twice}")
    return list(output_filter) or sorted(outputs)


def _braced(names):
    return "{" + ",".join(sorted(names)) + "}"


def _reason(error):
    text = one_line(getattr(error, "message", None) or error) or type(error).__name__
    return text if len(text) <= 500 else text[:500] + "…"
