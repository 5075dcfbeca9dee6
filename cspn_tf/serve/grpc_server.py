"""TF Serving's gRPC services for the versions of a model: prediction, model status, health."""

import sys
from concurrent import futures

import grpc
from google.protobuf import any_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from cspn_tf.console import UserError, one_line
from cspn_tf.serve.model_versions import ModelVersions, say
from cspn_tf.serve.servable import RequestError, Servable

# Requests at a time, waiting ones included; more are refused with RESOURCE_EXHAUSTED, so that none waits without end.
MAX_REQUESTS = 32
# Time that running requests have to finish when the server stops.
GRACE_SECONDS = 60.0
_UNLIMITED_MESSAGES = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
# Otherwise a second server could start on the same port, and clients would reach either one at random.
_REFUSE_USED_PORT = [("grpc.so_reuseport", 0)]


class LocalServer:
    """A development server for one model; as a context manager, it serves inside the `with` block.

    Args:
        model_dir: directory with one subdirectory per version.
        model_name: the name clients request.
        host, port: address to listen on; port 0 picks a free port.
        num_workers: number of requests processed concurrently, including health and status requests; others wait.
        poll_seconds: interval between checks for a new version.

    Attributes:
        port: the port it listens on; with port 0, known only after the start.
        address: `host:port`.
        versions: the served `ModelVersions`.

    Raises:
        UserError: on start, if the model cannot be loaded or the address cannot be used.
    """

    def __init__(self, model_dir, model_name, host="localhost", port=0, num_workers=4, poll_seconds=2.0):
        self.versions = ModelVersions(model_dir, load=Servable, poll_seconds=poll_seconds)
        self._server = grpc.server(
            futures.ThreadPoolExecutor(num_workers, thread_name_prefix="grpc"),
            options=_UNLIMITED_MESSAGES + _REFUSE_USED_PORT,
            maximum_concurrent_rpcs=MAX_REQUESTS,
        )
        services = ModelServices(model_name, self.versions)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(services, self._server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(services, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(_make_health(), self._server)
        self._host = f"[{host}]" if ":" in host else host
        self.port = port

    @property
    def address(self) -> str:
        return f"{self._host}:{self.port}"

    def __enter__(self):
        self.versions.load_first()
        # Listen only now: clients of a server that listens but does not answer would wait.
        try:
            self.port = self._server.add_insecure_port(self.address)
        except RuntimeError as error:
            raise UserError(f"cannot listen on {self.address}: in use, or not an address of this machine") from error
        self._server.start()
        self.versions.start_polling()
        return self

    def __exit__(self, *_):
        self._server.stop(GRACE_SECONDS).wait()
        self.versions.stop()


def _make_health():
    # As in TF Serving, the health status is set once and never changes; readiness is reported by GetModelStatus.
    servicer = health.HealthServicer()
    for service in ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"):
        servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
    return servicer


def _rpc(method):
    """Make a servicer's method from one of a request; turns a `RequestError` or other exception into a gRPC status."""

    def answer(self, request, context):
        try:
            return method(self, request)
        except RequestError as error:
            code, message = error.code, str(error)
        except Exception as error:
            code, message = grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {one_line(error)}"
            say(f"error: a request failed: {message}", sys.stderr)
        return context.abort(code, message)

    return answer


def _unimplemented(name):
    def method(self, request, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{name} is not implemented by the local server")

    return method


class ModelServices(prediction_service_pb2_grpc.PredictionServiceServicer, model_service_pb2_grpc.ModelServiceServicer):
    """Predict, GetModelMetadata and GetModelStatus; the other methods answer UNIMPLEMENTED."""

    def __init__(self, model_name, versions):
        self._model_name = model_name
        self._versions = versions

    Classify = _unimplemented("Classify")
    Regress = _unimplemented("Regress")
    MultiInference = _unimplemented("MultiInference")
    HandleReloadConfigRequest = _unimplemented("HandleReloadConfigRequest")

    @_rpc
    def Predict(self, request):
        return self._find_servable(request.model_spec).predict(request)

    @_rpc
    def GetModelMetadata(self, request):
        _check_has_model_spec(request)
        if not request.metadata_field:
            raise RequestError("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise RequestError(f"Metadata field {field} is not supported")
        servable = self._find_servable(request.model_spec)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in servable.signature_defs.items():
            signatures.signature_def[name].CopyFrom(signature)
        packed = any_pb2.Any()
        packed.Pack(signatures)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = self._model_name
        response.model_spec.version.value = servable.version
        response.metadata["signature_def"].CopyFrom(packed)
        return response

    @_rpc
    def GetModelStatus(self, request):
        _check_has_model_spec(request)
        name, version = request.model_spec.name, _requested_version(request.model_spec)
        states = self._versions.states() if name == self._model_name else {}
        if not states:
            raise RequestError(f"Could not find any versions of model {name}", grpc.StatusCode.NOT_FOUND)
        if version is not None:
            if version not in states:
                raise RequestError(f"Could not find version {version} of model {name}", grpc.StatusCode.NOT_FOUND)
            states = {version: states[version]}
        response = get_model_status_pb2.GetModelStatusResponse()
        for number, state in states.items():
            status = response.model_version_status.add(version=number)
            status.state = get_model_status_pb2.ModelVersionStatus.State.Value(state.name)
            if state.error:
                status.status.error_code = grpc.StatusCode.UNKNOWN.value[0]
            status.status.error_message = state.error
        return response

    def _find_servable(self, spec):
        if not spec.name:
            raise RequestError("ModelSpec has no name specified.")
        version = _requested_version(spec)
        servable = self._versions.get(version) if spec.name == self._model_name else None
        if servable is None:
            wanted = f"Latest({spec.name})" if version is None else f"Specific({spec.name}, {version})"
            raise RequestError(f"Servable not found for request: {wanted}", grpc.StatusCode.NOT_FOUND)
        return servable


def _check_has_model_spec(request):
    if not request.HasField("model_spec"):
        raise RequestError("Missing ModelSpec")


def _requested_version(spec):
    """Return the version requested by a ModelSpec, None for the latest. The local server assigns no version labels."""
    choice = spec.WhichOneof("version_choice")
    if choice == "version_label":
        raise RequestError(f"Unrecognized servable version label: {spec.version_label}")
    return spec.version.value if choice == "version" else None
