"""Client of a served model, without TensorFlow: photos in, one result per photo out."""

import ipaddress
import os
import socket
import threading
import time

import grpc

from cspn_tf.console import UserError
from cspn_tf.contract import (
    BYTES_INPUT,
    BYTES_SIGNATURE,
    DEFAULT_MODEL_NAME,
    OUTPUTS,
    PIXELS_INPUT,
    PIXELS_SIGNATURE,
)
from cspn_tf.result import results_of_outputs
from cspn_tf.serve import wire

DEFAULT_BATCH_SIZE = 8
# Limit on the photo files in a request, exceeded only by a single larger photo.
MAX_REQUEST_BYTES = 16 * 2**20
CONNECT_TIMEOUT_SECONDS = 5.0
# How long to retry after a refused connection: a busy machine may refuse one, and a restarting server is back soon.
REFUSAL_SECONDS = 1.5
POLL_SECONDS = 0.2
# Parts of gRPC's error message when the server speaks HTTP/1.
_HTTP_1_WORDS = ("http1", "Failed parsing HTTP/2")


class Client:
    """A connection to one served model; as a context manager, it closes the connection on exit.

    Args:
        server: `host:port`.
        model_name: the name under which the model is served.
        timeout: seconds allowed per request.
        signature: the signature that takes photo files.
        batch_size: maximum number of photos per request.
    """

    def __init__(
        self,
        server,
        model_name=DEFAULT_MODEL_NAME,
        timeout=120.0,
        signature=BYTES_SIGNATURE,
        batch_size=DEFAULT_BATCH_SIZE,
    ):
        self.server = server
        self.model_name = model_name
        self.timeout = timeout
        self.signature = signature
        self.batch_size = batch_size
        self._channel = grpc.insecure_channel(server, options=_channel_options(server))
        self._predict = self._channel.unary_unary(
            wire.PREDICT_METHOD, wire.PredictRequest.SerializeToString, wire.PredictResponse.FromString
        )
        self._get_model_status = self._channel.unary_unary(
            wire.GET_MODEL_STATUS_METHOD,
            wire.GetModelStatusRequest.SerializeToString,
            wire.GetModelStatusResponse.FromString,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def predict(self, photos) -> list:
        """Request the garments in photos.

        Args:
            photos: list of at least one JPEG or PNG file as bytes; sizes may differ.

        Returns:
            list of `Result`, in the order of the photos; each result holds its photo.

        Raises:
            ValueError: the list is empty; TensorFlow 2.15 fails on an empty batch.
            UserError: the server is unreachable, rejects the request, or violates the served contract.
        """
        if not photos:
            raise ValueError("photos must hold at least one photo, received none")
        return [
            result
            for batch in batches(photos, self.batch_size)
            for result in self._ask(self.signature, BYTES_INPUT, wire.tensor_from_strings(batch), batch)
        ]

    def predict_pixels(self, images) -> list:
        """Request the garments in decoded photos of equal size, in one request.

        Args:
            images: uint8 `(B, H, W, 3)`, upright, B at least 1.

        Returns, Raises:
            As `predict`.
        """
        if images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape:
            raise ValueError(f"images must be (B, H, W, 3) with at least one pixel, received {images.shape}")
        return self._ask(PIXELS_SIGNATURE, PIXELS_INPUT, wire.tensor_from_pixels(images), images)

    def wait_until_connected(self, timeout=CONNECT_TIMEOUT_SECONDS) -> None:
        """Wait for a server to accept the connection.

        Raises:
            UserError: connections were refused for `REFUSAL_SECONDS`, or there was no answer within `timeout` seconds.
        """
        connected, answered = threading.Event(), threading.Event()

        def watch(state):
            if state == grpc.ChannelConnectivity.READY:
                connected.set()
            if state in (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE):
                answered.set()

        self._channel.subscribe(watch, try_to_connect=True)
        try:
            if not answered.wait(timeout):
                raise UserError(f"no server at {self.server}: no answer within {timeout:g} s")
            if not connected.wait(REFUSAL_SECONDS):
                # Only the error of a request says why the connection failed.
                versions, reason = self._look_for_versions(REFUSAL_SECONDS)
                if not versions:
                    raise UserError(reason)
        finally:
            self._channel.unsubscribe(watch)

    def wait_until_ready(self, timeout=60.0) -> int:
        """Wait until the model is ready, by TF Serving's definition: a version is AVAILABLE.

        Returns:
            The highest available version.

        Raises:
            UserError: no version is available within `timeout` seconds; the message has the last known state.
        """
        deadline = time.monotonic() + timeout
        while True:
            remaining = deadline - time.monotonic()
            versions, reason = self._look_for_versions(max(remaining, POLL_SECONDS))
            if versions:
                return max(versions)
            if remaining <= POLL_SECONDS:
                raise UserError(f"not ready within {timeout:g} s: {reason}")
            time.sleep(POLL_SECONDS)

    def _look_for_versions(self, timeout):
        request = wire.GetModelStatusRequest(model_spec=wire.ModelSpec(name=self.model_name))
        try:
            statuses = self._get_model_status(request, timeout=timeout).model_version_status
        except grpc.RpcError as error:
            return [], str(self._explain(error, timeout))
        states = {status.version: wire.MODEL_STATES.get(status.state, "UNKNOWN") for status in statuses}
        reason = f"{self.model_name} at {self.server} has versions {states or 'none'}"
        return [version for version, state in states.items() if state == "AVAILABLE"], reason

    def _ask(self, signature, input_name, tensor, photos):
        spec = wire.ModelSpec(name=self.model_name, signature_name=signature)
        request = wire.PredictRequest(model_spec=spec, inputs={input_name: tensor}, output_filter=list(OUTPUTS))
        try:
            response = self._predict(request, timeout=self.timeout)
        except grpc.RpcError as error:
            raise self._explain(error, self.timeout) from error
        try:
            outputs = {name: wire.array_from_tensor(t) for name, t in response.outputs.items()}
            return results_of_outputs(outputs, photos=photos)
        except ValueError as error:
            raise UserError(f"{self.server} does not serve the cspn contract: {error}") from error

    def _explain(self, error, timeout):
        code, details = error.code(), " ".join((error.details() or "").split())
        if code == grpc.StatusCode.UNAVAILABLE and any(words in details for words in _HTTP_1_WORDS):
            return UserError(
                f"{self.server} speaks HTTP, not gRPC: is it TF Serving's REST port? The default ports are 8501 for "
                "REST and 8500 for gRPC"
            )
        if code == grpc.StatusCode.UNAVAILABLE:
            return UserError(f"no server at {self.server}: {details}")
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return UserError(f"no answer from {self.server} within {timeout:g} s")
        return UserError(f"{self.server} answered {code.name}: {details}")


def _channel_options(server):
    return [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        # Retry often, to notice soon when a starting server listens.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 1000),
        # By default gRPC uses the proxy from the environment even for this machine, unless no_proxy lists it.
        ("grpc.enable_http_proxy", int(not (_has_proxy() and is_this_machine(server)))),
    ]


def _has_proxy():
    return any(os.environ.get(name) for name in ("grpc_proxy", "https_proxy", "http_proxy"))


def is_this_machine(server) -> bool:
    """Check whether a gRPC address belongs to this machine, by resolving its host name.

    Args:
        server: `host:port`, `[v6]:port`, either with a scheme such as `dns:///`, or `unix:path`.
    """
    scheme, _, rest = server.partition(":")
    if scheme in ("unix", "unix-abstract"):
        return True
    if scheme in ("dns", "ipv4", "ipv6"):
        server = rest.rpartition("/")[2]
    host = server.rpartition(":")[0].strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(_is_own_address(family, address[0]) for family, *_, address in found)


def _is_own_address(family, text):
    address = ipaddress.ip_address(text.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback or address.is_unspecified:
        return True
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((text, 0))  # binding fails unless the address is local
            return True
    except OSError:
        return False


def batches(photos, batch_size, max_bytes=MAX_REQUEST_BYTES, size=len):
    """Split photos into lists of at most `batch_size`, and at most `max_bytes` unless a single photo is larger.

    Args:
        photos: iterable, read lazily, at most one photo ahead.
        batch_size: maximum number of photos in a list.
        max_bytes: maximum total size of a list.
        size: function that returns the size of a photo in bytes.

    Yields:
        non-empty lists of photos.
    """
    batch, num_bytes = [], 0
    for photo in photos:
        if batch and (len(batch) == batch_size or num_bytes + size(photo) > max_bytes):
            yield batch
            batch, num_bytes = [], 0
        batch.append(photo)
        num_bytes += size(photo)
    if batch:
        yield batch
