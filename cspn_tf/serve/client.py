"""Clients of a served model, without TensorFlow: photos in, one result per photo out.

`Client` is for threads, `AsyncClient` for asyncio; both send several requests at a time, retry what a server did not
begin to answer, and give every request a deadline that the server is told.
"""

import collections
import contextlib
import dataclasses
import ipaddress
import json
import os
import re
import socket
import threading
import time
from pathlib import Path

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
from cspn_tf.pillow_photos import as_served
from cspn_tf.result import results_of_outputs
from cspn_tf.serve import wire

DEFAULT_BATCH_SIZE = 8
DEFAULT_IN_FLIGHT = 4
# Limit on the photo files in a request, exceeded only by a single larger photo.
MAX_REQUEST_BYTES = 16 * 2**20
CONNECT_TIMEOUT_SECONDS = 5.0
# How long to retry after a refused connection: a busy machine may refuse one, and a restarting server is back soon.
REFUSAL_SECONDS = 1.5
POLL_SECONDS = 0.2
# gRPC retries a request that no server began to answer, after random waits that grow, within the request's deadline.
_RETRIES = {
    "maxAttempts": 5,  # gRPC's own limit
    "initialBackoff": "0.2s",
    "maxBackoff": "3s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
_SERVICE_CONFIG = {
    # Where the address stands for several servers, such as a headless service of Kubernetes, they take turns.
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [{"name": [{"service": "tensorflow.serving.PredictionService"}], "retryPolicy": _RETRIES}],
}
# Seconds: a year. gRPC's clock overflows at some 300 years, and no answer would be waited for at all.
_LONGEST_TIMEOUT = 3.2e7
# Parts of gRPC's error messages: when there is no connection, and when the server speaks HTTP/1.
_NO_CONNECTION = re.compile("failed to connect to|Socket closed|Connection reset|errors? resolving|DNS", re.IGNORECASE)
_HTTP_1_WORDS = ("http1", "Failed parsing HTTP/2")


@dataclasses.dataclass(frozen=True)
class Tls:
    """An encrypted connection; with a certificate and a key, the server can tell who the client is (mutual TLS).

    Attributes:
        ca: PEM file of the authorities that are trusted; None for those that gRPC comes with.
        certificate, key: PEM files of the client's certificate chain and private key; None for none.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def credentials(self):
        """Return the channel credentials.

        Raises:
            UserError: a file cannot be read, or one of certificate and key is missing.
        """
        if (self.certificate is None) != (self.key is None):
            raise UserError("a client certificate needs its key, and a key its certificate")
        ca, certificate, key = (_read_pem(path) for path in (self.ca, self.certificate, self.key))
        return grpc.ssl_channel_credentials(ca, key, certificate)


def _read_pem(path):
    if path is None:
        return None
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if b"-----BEGIN" not in content:
        raise UserError(f"{path} must be a PEM file, it has no -----BEGIN line")
    return content


class _Calls:
    """The calls of one served model, and what both clients make of requests, responses and errors.

    Args:
        As `Client`.
    """

    _transport = grpc

    def __init__(
        self,
        server,
        model_name=DEFAULT_MODEL_NAME,
        timeout=120.0,
        batch_size=DEFAULT_BATCH_SIZE,
        in_flight=DEFAULT_IN_FLIGHT,
        tls=None,
        metadata=(),
    ):
        if batch_size < 1 or in_flight < 1:
            raise ValueError(f"batch_size and in_flight must be at least 1, received {batch_size} and {in_flight}")
        self.server = server
        self.model_name = model_name
        self.timeout = min(timeout, _LONGEST_TIMEOUT)
        self.batch_size = batch_size
        self.in_flight = in_flight
        self._options = {"metadata": tuple(metadata)}
        options = _channel_options(server)
        if tls is None:
            self._channel = self._transport.insecure_channel(server, options=options)
        else:
            self._channel = self._transport.secure_channel(server, tls.credentials(), options=options)
        self._predict = self._channel.unary_unary(
            wire.PREDICT_METHOD,
            request_serializer=wire.PredictRequest.SerializeToString,
            response_deserializer=wire.PredictResponse.FromString,
        )
        self._get_model_status = self._channel.unary_unary(
            wire.GET_MODEL_STATUS_METHOD,
            request_serializer=wire.GetModelStatusRequest.SerializeToString,
            response_deserializer=wire.GetModelStatusResponse.FromString,
        )

    def _request(self, signature, input_name, tensor):
        spec = wire.ModelSpec(name=self.model_name, signature_name=signature)
        return wire.PredictRequest(model_spec=spec, inputs={input_name: tensor}, output_filter=list(OUTPUTS))

    def _request_of_files(self, photos):
        return self._request(BYTES_SIGNATURE, BYTES_INPUT, wire.tensor_from_strings(photos))

    def _results(self, response, photos):
        try:
            outputs = {name: wire.array_from_tensor(t) for name, t in response.outputs.items()}
            return results_of_outputs(outputs, photos=photos)
        except ValueError as error:
            raise UserError(f"{self.server} does not serve the cspn contract: {error}") from error

    @contextlib.contextmanager
    def _errors_explained(self):
        try:
            yield
        except grpc.RpcError as error:
            raise self._explain(error, self.timeout) from error

    def _explain(self, error, timeout):
        code, details = error.code(), " ".join((error.details() or "").split())
        if code == grpc.StatusCode.UNAVAILABLE and any(words in details for words in _HTTP_1_WORDS):
            return UserError(
                f"{self.server} speaks HTTP, not gRPC: is it TF Serving's REST port? The default ports are 8501 for "
                "REST and 8500 for gRPC"
            )
        if code == grpc.StatusCode.UNAVAILABLE:
            # A queue that is full and a certificate that is refused have the same code as a server that is not there.
            what = "no server at {}" if _NO_CONNECTION.search(details) else "{} is unavailable"
            return UserError(f"{what.format(self.server)}: {details}")
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return UserError(f"no answer from {self.server} within {timeout:g} s")
        return UserError(f"{self.server} answered {code.name}: {details}")


class AsyncClient(_Calls):
    """A connection to one served model for asyncio, as an asynchronous context manager.

    ::

        async with AsyncClient("localhost:8500") as client:
            results = await client.predict([photo_bytes, ...])
            async for result in client.stream(photos):
                ...

    Args:
        As `Client`.
    """

    _transport = grpc.aio

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self._channel.close()

    async def predict(self, photos) -> list:
        """Request the garments in photos; see `Client.predict`."""
        _check_not_empty(photos)
        return [result async for result in self.stream(photos)]

    async def stream(self, photos):
        """Yield the results of photos as they arrive, in order; see `Client.stream`."""
        pending = collections.deque()
        try:
            for batch in batches(photos, self.batch_size):
                call = self._predict(self._request_of_files(batch), timeout=self.timeout, **self._options)
                pending.append((batch, call))
                if len(pending) == self.in_flight:
                    for result in await self._received(*pending.popleft()):
                        yield result
            while pending:
                for result in await self._received(*pending.popleft()):
                    yield result
        finally:
            for _, call in pending:
                call.cancel()

    async def _received(self, photos, call):
        with self._errors_explained():
            response = await call
        return self._results(response, photos)


class Client(_Calls):
    """A connection to one served model; as a context manager, it closes the connection on exit.

    Args:
        server: `host:port`.
        model_name: the name under which the model is served.
        timeout: seconds allowed per request, retries included; the server is told.
        batch_size: maximum number of photos per request.
        in_flight: maximum number of requests at a time.
        tls: a `Tls`; None for a connection without encryption.
        metadata: pairs of key and value sent with every request, such as `("authorization", "Bearer ...")`.

    Raises:
        UserError: a file of `tls` cannot be used.
    """

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
            photos: list of at least one JPEG, PNG or WebP file as bytes; sizes may differ.

        Returns:
            list of `Result`, in the order of the photos; each result holds its photo.

        Raises:
            ValueError: the list is empty; TensorFlow 2.15 fails on an empty batch.
            UserError: the server is unreachable, rejects the request, or violates the served contract.
        """
        _check_not_empty(photos)
        return list(self.stream(photos))

    def stream(self, photos):
        """Yield the results of photos as they arrive, in order.

        Args:
            photos: iterable of JPEG, PNG or WebP files as bytes, read as far ahead as requests are in flight.

        Raises:
            UserError: as `predict`, after the results of all earlier requests.
        """
        pending = collections.deque()
        try:
            for batch in batches(photos, self.batch_size):
                call = self._predict.future(self._request_of_files(batch), timeout=self.timeout, **self._options)
                pending.append((batch, call))
                if len(pending) == self.in_flight:
                    yield from self._received(*pending.popleft())
            while pending:
                yield from self._received(*pending.popleft())
        finally:
            for _, call in pending:
                call.cancel()

    def _received(self, photos, call):
        with self._errors_explained():
            response = call.result()
        return self._results(response, photos)

    def predict_pixels(self, images) -> list:
        """Request the garments in decoded photos of equal size, in one request.

        Args:
            images: uint8 `(B, H, W, 3)`, upright, B at least 1.

        Returns, Raises:
            As `predict`.
        """
        if images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape:
            raise ValueError(f"images must be (B, H, W, 3) with at least one pixel, received {images.shape}")
        request = self._request(PIXELS_SIGNATURE, PIXELS_INPUT, wire.tensor_from_pixels(images))
        return self._received(images, self._predict.future(request, timeout=self.timeout, **self._options))

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
            statuses = self._get_model_status(request, timeout=timeout, **self._options).model_version_status
        except grpc.RpcError as error:
            return [], str(self._explain(error, timeout))
        states = {status.version: wire.MODEL_STATES.get(status.state, "UNKNOWN") for status in statuses}
        reason = f"{self.model_name} at {self.server} has versions {states or 'none'}"
        return [version for version, state in states.items() if state == "AVAILABLE"], reason


def _check_not_empty(photos):
    if not photos:
        raise ValueError("photos must hold at least one photo, received none")


def _channel_options(server):
    has_proxy = any(os.environ.get(name) for name in ("grpc_proxy", "https_proxy", "http_proxy"))
    return [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        # Retry often, to notice soon when a starting server listens.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
        # A request that does not fit into this buffer is not retried.
        ("grpc.per_rpc_retry_buffer_size", 2 * MAX_REQUEST_BYTES),
        # By default gRPC uses the proxy from the environment even for this machine, unless no_proxy lists it.
        ("grpc.enable_http_proxy", int(not (has_proxy and is_this_machine(server)))),
    ]


def is_this_machine(server) -> bool:
    """Check whether a gRPC address belongs to this machine, by resolving its host name.

    Args:
        server: `host:port`, `[v6]:port`, either with a scheme such as `dns:///`, or `unix:path`.
    """
    if server.startswith(("unix:", "unix-abstract:")):
        return True
    host = re.sub("^(dns|ipv4|ipv6):(.*/)?", "", server).rpartition(":")[0].strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM):
            if not ipaddress.ip_address(address[0]).is_loopback:
                with socket.socket(family, kind, protocol) as probe:
                    probe.bind(address)  # fails unless the address is local
    except (OSError, UnicodeError):
        return False
    return True


def batches(photos, batch_size, max_bytes=MAX_REQUEST_BYTES):
    """Split photos into lists of at most `batch_size`, and at most `max_bytes` unless a single photo is larger.

    Args:
        photos: iterable of files as bytes, read lazily, at most one photo ahead; a WebP is sent as a PNG or JPEG.
        batch_size: maximum number of photos in a list.
        max_bytes: maximum total size of a list.

    Yields:
        non-empty lists of photos.
    """
    batch, num_bytes = [], 0
    for photo in map(as_served, photos):
        if batch and (len(batch) == batch_size or num_bytes + len(photo) > max_bytes):
            yield batch
            batch, num_bytes = [], 0
        batch.append(photo)
        num_bytes += len(photo)
    if batch:
        yield batch
