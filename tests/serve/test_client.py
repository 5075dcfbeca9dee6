import asyncio
import contextlib
import socket
import threading
import time
import types
from concurrent import futures

import grpc
import numpy as np
import pytest
import trustme
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from cspn_tf.console import UserError
from cspn_tf.contract import OUTPUTS
from cspn_tf.serve import client as client_module
from cspn_tf.serve.client import AsyncClient, Client, Tls, batches, is_this_machine
from tests import photos
from tests.fake_model import encode, expected_outputs, expected_result, make_pixels


@pytest.fixture
def client(server):
    with Client(server.address) as client:
        yield client


def outputs_of(num_photos):
    one = expected_outputs(make_pixels(41, 52))
    return {name: np.stack([array] * num_photos) for name, array in one.items()}


# Client --------------------------------------------------------------------------------------------------------------


def test_predict_gives_each_photo_its_answer_over_several_requests(server):
    pixels = [make_pixels(40 + i, 50 + i) for i in range(5)]
    with Client(server.address, batch_size=2) as client:
        results = client.predict([encode(p) for p in pixels])
    assert [result.image_size for result in results] == [(40 + i, 50 + i) for i in range(5)]
    for result, p in zip(results, pixels, strict=True):
        expected = expected_result(p)
        np.testing.assert_array_equal(result.garments.types, expected.garments.types)
        for name in ("boxes_xyxy", "keypoints_xy", "scores", "keypoint_scores"):
            found, wanted = getattr(result.garments, name), getattr(expected.garments, name)
            np.testing.assert_allclose(found, wanted, rtol=1e-5, err_msg=name)


def test_webp_is_answered_as_its_png(client):
    pixels = make_pixels(41, 52)
    of_webp, of_png = client.predict([photos.webp(pixels), encode(pixels)])
    assert of_webp.garments == of_png.garments and of_webp.ok
    assert client.predict([photos.webp(pixels)[:50]])[0].status == 1


def test_predict_pixels_answers_as_the_files(client):
    pixels = np.stack([make_pixels(41, 52, seed) for seed in range(2)])
    assert client.predict_pixels(pixels) == client.predict([encode(p) for p in pixels])


def test_nothing_to_ask_is_refused_before_a_request(free_address):
    with Client(free_address) as client:
        with pytest.raises(ValueError, match="at least one photo, received none"):
            client.predict([])
        with pytest.raises(ValueError, match=r"received \(0, 4, 4, 3\)"):
            client.predict_pixels(np.zeros((0, 4, 4, 3), np.uint8))


def test_wait_until_ready_gives_the_version(client):
    assert client.wait_until_ready(timeout=10) == 1


def test_wait_until_ready_says_what_it_saw_last(server, free_address):
    with Client(free_address) as client, pytest.raises(UserError, match="not ready within 2 s: no server at"):
        client.wait_until_ready(timeout=2)
    with Client(server.address, "shoes") as client, pytest.raises(UserError, match="any versions of model shoes"):
        client.wait_until_ready(timeout=2)


def test_wait_until_ready_finds_a_server_that_starts_later():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with futures.ThreadPoolExecutor(1) as pool, Client(address) as client:
        ready = pool.submit(client.wait_until_ready, timeout=20)
        time.sleep(0.5)
        with serve(address, OddService({})):
            assert ready.result() == 4


def test_what_the_server_refuses_is_said_in_one_line(server):
    message = r"answered NOT_FOUND: Servable not found for request: Latest\(shoes\)"
    with Client(server.address, "shoes") as client, pytest.raises(UserError, match=message) as caught:
        client.predict([b"x"])
    assert "\n" not in str(caught.value)


class OddService(prediction_service_pb2_grpc.PredictionServiceServicer, model_service_pb2_grpc.ModelServiceServicer):
    """A server that answers Predict with the given outputs after a delay, and has version 4 ready."""

    def __init__(self, outputs, delay_seconds=0.0):
        self.outputs = outputs
        self.delay_seconds = delay_seconds

    def Predict(self, request, context):
        import tensorflow as tf

        time.sleep(self.delay_seconds)
        return predict_pb2.PredictResponse(
            outputs={name: tf.make_tensor_proto(array) for name, array in self.outputs.items()}
        )

    def GetModelStatus(self, request, context):
        response = get_model_status_pb2.GetModelStatusResponse()
        response.model_version_status.add(version=3, state=get_model_status_pb2.ModelVersionStatus.END)
        response.model_version_status.add(version=4, state=get_model_status_pb2.ModelVersionStatus.AVAILABLE)
        response.model_version_status.add(version=5, state=get_model_status_pb2.ModelVersionStatus.LOADING)
        return response


@contextlib.contextmanager
def serve(address, service, credentials=None, num_workers=2):
    """Serve an `OddService` for the time of a `with` block and give its address."""
    server = grpc.server(futures.ThreadPoolExecutor(num_workers))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(service, server)
    if credentials is None:
        port = server.add_insecure_port(address)
    else:
        port = server.add_secure_port(address, credentials)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def test_an_answer_that_is_not_the_contract_is_an_error_that_names_the_output():
    outputs = outputs_of(1)
    wrong = [
        ({name: array for name, array in outputs.items() if name != "boxes"}, "missing: boxes"),
        (outputs | {"scores": outputs["scores"].astype(np.float64)}, "dtype must be one of"),
        (outputs_of(2), "1 photos were sent, but the outputs"),
    ]
    for answer, message in wrong:
        with (
            serve("127.0.0.1:0", OddService(answer)) as address,
            Client(address) as client,
            pytest.raises(UserError, match=f"{address} does not serve the cspn contract: .*{message}"),
        ):
            client.predict([b"x"])


def test_a_server_that_takes_too_long_is_an_error():
    with (
        serve("127.0.0.1:0", OddService({}, delay_seconds=1.0)) as address,
        Client(address, timeout=0.2) as client,
        pytest.raises(UserError, match=rf"no answer from {address} within 0\.2 s"),
    ):
        client.predict([b"x"])


def test_outputs_asked_for_are_the_contract():
    """The filter keeps outputs beyond the contract off the wire."""
    seen = []

    class Service(OddService):
        def Predict(self, request, context):
            seen.extend(request.output_filter)
            return super().Predict(request, context)

    with serve("127.0.0.1:0", Service(outputs_of(1))) as address, Client(address) as client:
        client.predict([b"x"])
    assert seen == list(OUTPUTS)


def test_several_requests_are_in_flight_and_results_keep_their_order(server):
    """The service answers a request only when three have arrived; a fourth is not sent before one is answered."""
    arrived, read = threading.Semaphore(0), []

    class Service(OddService):
        def Predict(self, request, context):
            arrived.release()
            photo = request.inputs["image_bytes"].string_val[0]
            if photo != b"3":
                while arrived._value < 3:
                    time.sleep(0.01)
            return OddService({**outputs_of(1), "image_size": np.int32([[10 * int(photo)] * 2])}).Predict(
                request, context
            )

    def photos():
        for number in range(4):
            read.append(number)
            yield b"%d" % number

    with (
        serve("127.0.0.1:0", Service({}), num_workers=4) as address,
        Client(address, batch_size=1, in_flight=3, timeout=10) as client,
    ):
        stream = client.stream(photos())
        first = next(stream)
        # A photo is read ahead, to know whether a batch has room for it.
        assert read == [0, 1, 2, 3] and arrived._value == 3
        assert [result.image_size[0] for result in (first, *stream)] == [0, 10, 20, 30]
    with Client(server.address, batch_size=2, in_flight=3) as client:
        sizes = [(40 + i, 50 + i) for i in range(11)]
        results = list(client.stream(encode(make_pixels(*size)) for size in sizes))
    assert [result.image_size for result in results] == sizes


class Unavailable(OddService):
    """A service that refuses the first requests, and keeps metadata, seconds left and time of each."""

    def __init__(self, num_refused, code=grpc.StatusCode.UNAVAILABLE):
        super().__init__(outputs_of(1))
        self.num_refused, self.code, self.seen = num_refused, code, []

    def Predict(self, request, context):
        self.seen.append((dict(context.invocation_metadata()), context.time_remaining(), time.monotonic()))
        if len(self.seen) <= self.num_refused:
            context.abort(self.code, "not now")
        return super().Predict(request, context)


def test_an_unavailable_server_is_asked_again_within_the_deadline():
    service = Unavailable(num_refused=2)
    with serve("127.0.0.1:0", service) as address:
        # Bounds are wide: a busy machine may stop for seconds.
        with Client(address, timeout=300, metadata=[("authorization", "Bearer x")]) as client:
            assert client.predict([b"x"])[0].ok
        assert len(service.seen) == 3
        # gRPC sends the time left in whole seconds, rounded up.
        assert all(200 < seconds <= 301 for _, seconds, _ in service.seen)
        assert 0.05 < service.seen[-1][2] - service.seen[0][2] < 100
        assert all(metadata["authorization"] == "Bearer x" for metadata, *_ in service.seen)
        service.num_refused = 99
        with (
            Client(address, timeout=30) as client,
            pytest.raises(UserError, match=f"{address} is unavailable: not now"),
        ):
            client.predict([b"x"])
        assert len(service.seen) == 3 + 5


def test_servers_behind_one_address_take_turns():
    services = [Unavailable(num_refused=0) for _ in range(3)]
    with contextlib.ExitStack() as stack:
        addresses = [stack.enter_context(serve("127.0.0.1:0", service)) for service in services]
        client = stack.enter_context(Client(f"ipv4:{','.join(addresses)}"))
        client.predict([b"x"])
        # A connection may come later than the first request.
        for _ in range(200):
            client.predict([b"x"])
            if all(len(service.seen) >= 3 for service in services):
                break
            time.sleep(0.01)
    assert all(len(service.seen) >= 3 for service in services)


@pytest.mark.parametrize("name", ["batch_size", "in_flight"])
def test_sizes_below_one_are_wrong(name):
    with pytest.raises(ValueError, match="batch_size and in_flight must be at least 1"):
        Client("localhost:8500", **{name: 0})


@pytest.mark.parametrize("code", ["INTERNAL", "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT"])
def test_other_errors_are_not_asked_again(code):
    service = Unavailable(1, grpc.StatusCode[code])
    with (
        serve("127.0.0.1:0", service) as address,
        Client(address) as client,
        pytest.raises(UserError, match=f"{address} answered {code}: not now"),
    ):
        client.predict([b"x"])
    assert len(service.seen) == 1


def test_the_asynchronous_client_has_the_same_answers_and_errors(server):
    photos = [encode(make_pixels(40 + i, 50 + i)) for i in range(7)]

    async def ask(address, photos=photos, **options):
        async with AsyncClient(address, batch_size=2, in_flight=2, **options) as client:
            return await client.predict(photos)

    with Client(server.address) as client:
        assert asyncio.run(ask(server.address)) == client.predict(photos)
        with pytest.raises(ValueError, match="at least one photo"):
            asyncio.run(ask(server.address, []))
    service = Unavailable(num_refused=1)
    with (
        serve("127.0.0.1:0", service) as address,
        pytest.raises(UserError, match="2 photos were sent, but the outputs"),
    ):
        asyncio.run(ask(address))
    assert len(service.seen) >= 2
    service = Unavailable(99, grpc.StatusCode.INTERNAL)
    with (
        serve("127.0.0.1:0", service) as address,
        pytest.raises(UserError, match=f"{address} answered INTERNAL: not now"),
    ):
        asyncio.run(ask(address))
    with (
        serve("127.0.0.1:0", OddService({}, delay_seconds=1.0)) as address,
        pytest.raises(UserError, match=rf"no answer from {address} within 0\.2 s"),
    ):
        asyncio.run(ask(address, timeout=0.2))


# TLS -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    """Files of an authority, of a server's and a client's certificate that it signed, and of another authority."""
    folder = tmp_path_factory.mktemp("pem")
    ca, other = trustme.CA(), trustme.CA()
    names = {name: str(folder / f"{name}.pem") for name in ("ca", "other", "cert", "key", "no_pem")}
    ca.cert_pem.write_to_path(names["ca"])
    other.cert_pem.write_to_path(names["other"])
    client = ca.issue_cert("client@example.org")
    client.cert_chain_pems[0].write_to_path(names["cert"])
    client.private_key_pem.write_to_path(names["key"])
    (folder / "no_pem.pem").write_text("nothing")
    server = ca.issue_cert("localhost")
    pair = (server.private_key_pem.bytes(), server.cert_chain_pems[0].bytes())
    return types.SimpleNamespace(server=pair, ca_bytes=ca.cert_pem.bytes(), **names)


@pytest.mark.parametrize("is_mutual", [False, True])
def test_tls_needs_the_right_authority_and_mutual_tls_a_certificate(pem, is_mutual):
    credentials = grpc.ssl_server_credentials([pem.server], pem.ca_bytes if is_mutual else None, is_mutual)
    with serve("localhost:0", OddService(outputs_of(1)), credentials) as address:
        address = address.replace("127.0.0.1", "localhost")

        def ask(tls, timeout=30):
            with Client(address, tls=tls, timeout=timeout) as client:
                return client.predict([b"x"])[0].ok

        assert ask(Tls(pem.ca, pem.cert, pem.key))
        for tls in (Tls(pem.other), None, *([Tls(pem.ca)] if is_mutual else [])):
            with pytest.raises(UserError, match=f"no (server at|answer from) {address}"):
                ask(tls, timeout=2)
        if not is_mutual:
            assert ask(Tls(pem.ca))


def test_files_of_tls_are_checked(pem, tmp_path):
    for tls, words in (
        (Tls(ca=str(tmp_path / "none.pem")), "cannot read .*none.pem: No such file"),
        (Tls(ca=pem.no_pem), "no_pem.pem must be a PEM file"),
        (Tls(certificate=pem.cert), "a client certificate needs its key"),
    ):
        with pytest.raises(UserError, match=words):
            Client("localhost:1", tls=tls)


# Batches -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "batch_size", "max_bytes", "expected"),
    [
        ([1, 1, 1], 2, 100, [[1, 1], [1]]),
        ([1, 1, 1], 3, 100, [[1, 1, 1]]),
        ([4, 4, 4, 9], 8, 8, [[4, 4], [4], [9]]),
        ([9, 1, 1], 8, 8, [[9], [1, 1]]),
        ([0, 0], 8, 0, [[0, 0]]),
        ([], 8, 8, []),
    ],
)
def test_batches_are_bounded_in_photos_and_bytes(sizes, batch_size, max_bytes, expected):
    photos = [bytes(size) for size in sizes]
    assert [[len(p) for p in batch] for batch in batches(photos, batch_size, max_bytes)] == expected


def test_a_server_that_is_refused_at_first_is_found():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with futures.ThreadPoolExecutor(1) as pool, Client(address) as client:
        connected = pool.submit(client.wait_until_connected)
        time.sleep(0.3)
        with serve(address, OddService({})):
            assert connected.result() is None


# What stands between -------------------------------------------------------------------------------------------------


@pytest.fixture
def http_server():
    """A server that answers everything as HTTP/1 does, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def test_a_port_that_speaks_http_is_told_from_one_where_nobody_listens(http_server):
    with Client(http_server) as client:
        for ask in (client.wait_until_connected, lambda: client.predict([b"x"])):
            with pytest.raises(
                UserError, match=rf"^{http_server} speaks HTTP, not gRPC: .* REST port\? .* 8500"
            ) as caught:
                ask()
            assert "\n" not in str(caught.value)


OWN_NAMES = ["localhost:1", "LOCALHOST.:1", "a.localhost:1", "127.0.0.1:1", "127.0.0.2:1", "[::1]:1", "0.0.0.0:1"]
OWN_NAMES += [
    "[::ffff:127.0.0.1]:1",
    "unix:/tmp/socket",
    "unix:///tmp/socket",
    "dns:///localhost:1",
    "ipv4:127.0.0.1:1",
]


@pytest.mark.parametrize("server", OWN_NAMES)
def test_this_machine_is_known_by_many_names(server):
    assert is_this_machine(server)


@pytest.mark.parametrize(
    ("address", "is_own"),
    [("127.0.1.1", True), ("::1", True), ("203.0.113.7", False), ("2001:db8::7", False)],
)
def test_names_are_looked_up(address, is_own, monkeypatch):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *_, **__: [(family, socket.SOCK_STREAM, 6, "", (address, 0))]
    )
    assert is_this_machine("myhost:8500") == is_own


def test_an_own_address_that_is_no_loopback_is_known(monkeypatch):
    """It is known by that one may listen on it."""
    monkeypatch.setattr(client_module.ipaddress.IPv4Address, "is_loopback", False)
    assert is_this_machine("127.0.0.1:1") and not is_this_machine("203.0.113.7:1")


@pytest.mark.parametrize(
    "server", ["nowhere.invalid:8500", "203.0.113.7:8500", "[2001:db8::7]:8500", "unix.invalid:1", "a\0b:1"]
)
def test_other_machines_and_names_nobody_knows_are_not_this_machine(server):
    assert not is_this_machine(server)


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "[::ffff:127.0.0.1]"])
def test_this_machine_is_asked_without_a_proxy(server, monkeypatch, variable, host):
    port = server.address.rpartition(":")[2]
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "http://203.0.113.7:1")
    assert ("grpc.enable_http_proxy", 0) in client_module._channel_options(f"{host}:{port}")
    if host == "localhost":
        with Client(f"{host}:{port}") as client:
            assert client.wait_until_ready(timeout=10) == 1


def test_others_are_asked_through_the_proxy_and_nothing_is_looked_up_without_one(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://203.0.113.7:1")
    assert ("grpc.enable_http_proxy", 1) in client_module._channel_options("nowhere.invalid:8500")
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", None)
    client_module._channel_options("nowhere.invalid:8500")
