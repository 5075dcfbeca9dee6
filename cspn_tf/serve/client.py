"""A client of a served model: photos in, one result a photo out, without TensorFlow."""

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
# A request of photo files stays below this, unless one photo alone is larger.
MAX_REQUEST_BYTES = 16 * 2**20
CONNECT_TIMEOUT_SECONDS = 5.0
# A first refusal is not final: a busy machine refuses a connection now and then, and a restarted server is soon back.
REFUSAL_SECONDS = 1.5
POLL_SECONDS = 0.2
# How gRPC words that what answered is an HTTP/1 server.
_HTTP_1_WORDS = ("http1", "Failed parsing HTTP/2")


class Client:
    """A connection to one served model; a context manager that closes it.

    Args:
        server: `host:port`.
        model_name: the name the model is served under.
        timeout: seconds one request may take.
        signature: the signature that takes photo files.
        batch_size: photos a request, at most.
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
        """Ask for the garments of photos.

        Args:
            photos: list of bytes, one JPEG or PNG file each, sizes may differ; at least one.

        Returns:
            list of `Result`, in the order of the photos, which they hold.

        Raises:
            ValueError: there is no photo: an empty batch is refused here, since TensorFlow 2.15 fails on it.
            UserError: the server is not there, refuses the request, or answers against the contract.
        """
        if not photos:
            raise ValueError("photos must hold at least one photo, received none")
        return [
            result
            for batch in batches(photos, self.batch_size)
            for result in self._ask(self.signature, BYTES_INPUT, wire.tensor_from_strings(batch), batch)
        ]

    def predict_pixels(self, images) -> list:
        """Ask for the garments of decoded photos of one size, in one request.

        Args:
            images: uint8 `(B, H, W, 3)`, as displayed, B at least 1.

        Returns, Raises:
            As `predict`.
        """
        if images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape:
            raise ValueError(f"images must be (B, H, W, 3) with at least one pixel, received {images.shape}")
        return self._ask(PIXELS_SIGNATURE, PIXELS_INPUT, wire.tensor_from_pixels(images), images)

    def wait_until_connected(self, timeout=CONNECT_TIMEOUT_SECONDS) -> None:
        """Wait for a server to accept the connection.

        Raises:
            UserError: it was refused for `REFUSAL_SECONDS`, or nobody answered in `timeout` seconds.
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
                # Only a request is told why the connection failed.
                versions, reason = self._look_for_versions(REFUSAL_SECONDS)
                if not versions:
                    raise UserError(reason)
        finally:
            self._channel.unsubscribe(watch)

    def wait_until_ready(self, timeout=60.0) -> int:
        """Wait until the model can be asked, as TF Serving's readiness is defined: a version is AVAILABLE.

        Returns:
            The highest version that is available.

        Raises:
            UserError: none is in that time; the message says what was seen last.
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
                f"{self.server} speaks HTTP, not gRPC: is it TF Serving's REST port? That is 8501 and gRPC's 8500, "
                "unless it was started with others"
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
        # A server that is starting is found soon after it listens.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 1000),
        # gRPC would ask a proxy that is named in the environment even for this machine, unless no_proxy names it.
        ("grpc.enable_http_proxy", int(not (_has_proxy() and is_this_machine(server)))),
    ]


def _has_proxy():
    return any(os.environ.get(name) for name in ("grpc_proxy", "https_proxy", "http_proxy"))


def is_this_machine(server) -> bool:
    """Tell whether an address, as gRPC takes it, is one of this machine, by whatever name; it is looked up.

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
            probe.bind((text, 0))  # the system lets a program listen on its own addresses only
            return True
    except OSError:
        return False


def batches(photos, batch_size, max_bytes=MAX_REQUEST_BYTES, size=len):
    """Split photos into lists of at most `batch_size`, and of at most `max_bytes` unless one photo alone has more.

    Args:
        photos: iterable; it is read one photo ahead, no further.
        batch_size: photos in a list, at most.
        max_bytes: sum of sizes in a list, at most.
        size: function of a photo, bytes.

    Yields:
        lists of photos, none of them empty.
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
