import json
import socket
import subprocess
import sys
import time
from concurrent import futures
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from cspn_tf.console import UserError, run
from cspn_tf.contract import OUTPUTS, PhotoResult, decode_outputs
from cspn_tf.serve import client as client_module
from cspn_tf.serve.client import Client, batches
from tests.fake_model import encode, expected_outputs, make_pixels

ROOT = Path(__file__).parents[2]


@pytest.fixture
def client(server):
    with Client(server.address) as client:
        yield client


@pytest.fixture
def free_address():
    """An address of this machine where nobody listens, and nobody else can while the test runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def photos(tmp_path):
    """Two good photos with a bad one between them, as files; the bad one's name has a space."""
    directory = tmp_path / "photos"
    directory.mkdir()
    paths = [directory / name for name in ("a.png", "b ad.jpg", "c.png")]
    contents = [encode(make_pixels(41, 52)), b"no photo", encode(make_pixels(63, 35))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


def expected_result(pixels):
    return decode_outputs({name: array[None] for name, array in expected_outputs(pixels).items()})[0]


def call(server, *args):
    return run(client_module.main, ["--server", server if isinstance(server, str) else server.address, *map(str, args)])


# Client --------------------------------------------------------------------------------------------------------------


def test_predict_gives_each_photo_its_answer_over_several_requests(server):
    pixels = [make_pixels(40 + i, 50 + i) for i in range(5)]
    with Client(server.address, batch_size=2) as client:
        results = client.predict([encode(p) for p in pixels])
    assert [result.image_size for result in results] == [(40 + i, 50 + i) for i in range(5)]
    for result, p in zip(results, pixels, strict=True):
        expected = expected_result(p)
        assert [g.garment_type for g in result.garments] == [g.garment_type for g in expected.garments]
        for name, array in expected.arrays().items():
            np.testing.assert_allclose(result.arrays()[name], array, rtol=1e-5, err_msg=name)


def test_predict_answers_a_bad_photo_beside_a_good_one(client):
    bad, good = client.predict([b"no photo", encode(make_pixels(41, 52))])
    assert bad == PhotoResult(status=1)
    assert good.ok


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
    with Client(free_address) as client, pytest.raises(UserError, match=r"not ready within 0\.3 s: no server at"):
        client.wait_until_ready(timeout=0.3)
    with Client(server.address, "shoes") as client, pytest.raises(UserError, match="any versions of model shoes"):
        client.wait_until_ready(timeout=0.3)


def test_wait_until_ready_finds_a_server_that_starts_later():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with futures.ThreadPoolExecutor(1) as pool, Client(address) as client:
        ready = pool.submit(client.wait_until_ready, timeout=20)
        time.sleep(0.5)
        with serve(address, OddService({})):
            assert ready.result() == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_name": "shoes"}, r"answered NOT_FOUND: Servable not found for request: Latest\(shoes\)"),
        ({"signature": "faces"}, 'answered FAILED_PRECONDITION: Serving signature key "faces" not found.'),
        ({"signature": "pixels"}, "answered INVALID_ARGUMENT: input tensor alias not found"),
    ],
)
def test_what_the_server_refuses_is_said_in_one_line(server, changes, message):
    with Client(server.address, **changes) as client, pytest.raises(UserError, match=message) as caught:
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


class serve:
    """Serve an `OddService` for the time of a `with` block and give its address."""

    def __init__(self, address, service):
        self.server = grpc.server(futures.ThreadPoolExecutor(2))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, self.server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(service, self.server)
        self.port = self.server.add_insecure_port(address)

    def __enter__(self):
        self.server.start()
        return f"127.0.0.1:{self.port}"

    def __exit__(self, *_):
        self.server.stop(0).wait()


def test_an_answer_that_is_not_the_contract_is_an_error_that_names_the_output():
    outputs = {name: array[None] for name, array in expected_outputs(make_pixels(41, 52)).items()}
    wrong = [
        ({name: array for name, array in outputs.items() if name != "boxes"}, "missing: boxes"),
        (outputs | {"scores": outputs["scores"].astype(np.float64)}, "dtype must be one of"),
        ({name: array.repeat(2, axis=0) for name, array in outputs.items()}, "1 photos were sent, 2 answered"),
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

    outputs = {name: array[None] for name, array in expected_outputs(make_pixels(41, 52)).items()}
    with serve("127.0.0.1:0", Service(outputs)) as address, Client(address) as client:
        client.predict([b"x"])
    assert seen == list(OUTPUTS)


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


# The command ---------------------------------------------------------------------------------------------------------


def test_command_prints_one_line_a_photo_and_writes_them(server, photos, tmp_path, capsys):
    out = tmp_path / "new" / "out"
    code = call(server, "--out", out, "--draw", "--batch-size", 2, *photos)
    captured = capsys.readouterr()
    assert code == 1
    assert captured.err == f"error: {photos[1]}: not a JPEG or PNG\n"
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [line["photo"] for line in lines] == [str(photo) for photo in photos]
    assert [line["status"]["code"] for line in lines] == [0, 1, 0]
    assert lines[1]["garments"] == []
    expected = expected_result(make_pixels(41, 52))
    assert lines[0] == json.loads(expected.to_json(photos[0]))
    assert (out / "predictions.jsonl").read_text() == captured.out
    assert sorted(path.name for path in out.iterdir()) == ["a.keypoints.jpg", "c.keypoints.jpg", "predictions.jsonl"]
    with Image.open(out / "a.keypoints.jpg") as picture:
        assert picture.format == "JPEG"
        drawn = np.asarray(picture)
    assert drawn.shape == (41, 52, 3)
    assert abs(drawn.astype(int) - make_pixels(41, 52)).max() > 60


def test_command_is_0_when_every_photo_is_ok(server, photos, capsys):
    assert call(server, photos[0], photos[2]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 2
    assert captured.err == ""


def test_command_draws_photos_as_displayed(server, tmp_path, capsys):
    photo = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.write_bytes(encode(make_pixels(40, 51), "JPEG", exif=exif))
    assert call(server, "--out", tmp_path, "--draw", photo) == 0
    with Image.open(tmp_path / "turned.keypoints.jpg") as picture:
        assert picture.size == (40, 51)


@pytest.mark.parametrize("signature", ["serving_default", "pixels"])
def test_command_answers_alike_through_both_signatures(server, photos, capsys, signature):
    assert call(server, "--signature", signature, *photos) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == json.loads(expected_result(make_pixels(41, 52)).to_json(photos[0]))
    assert [line["status"]["code"] for line in lines] == [0, 1, 0]


def test_pixels_signature_turns_photos_and_names_what_is_wrong(server, tmp_path, monkeypatch, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned, cut, large = (tmp_path / name for name in ("turned.jpg", "cut.jpg", "large.png"))
    turned.write_bytes(encode(make_pixels(40, 51), "JPEG", exif=exif))
    cut.write_bytes(encode(make_pixels(64, 64), "JPEG")[:400])
    large.write_bytes(encode(make_pixels(200, 200)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    assert call(server, "--signature", "pixels", turned, cut, large) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["status"]["code"] for line in lines] == [0, 3, 2]
    assert lines[0]["image_size"] == {"height": 51, "width": 40}


def test_command_answers_the_photos_beside_a_missing_one(server, photos, tmp_path, capsys):
    assert call(server, tmp_path / "no.jpg", photos[0], tmp_path) == 1
    captured = capsys.readouterr()
    assert [json.loads(line)["photo"] for line in captured.out.splitlines()] == [str(photos[0])]
    assert captured.err == (
        f"error: cannot read {tmp_path}/no.jpg: No such file or directory\n"
        f"error: cannot read {tmp_path}: Is a directory\n"
    )


def test_command_needs_no_server_to_say_that_all_photos_are_missing(free_address, tmp_path, capsys):
    assert call(free_address, tmp_path / "no.jpg") == 1
    assert capsys.readouterr() == ("", f"error: cannot read {tmp_path}/no.jpg: No such file or directory\n")


def test_pictures_of_one_name_and_inputs_named_like_pictures_are_kept(server, tmp_path, capsys):
    one, two, named = tmp_path / "x.png", tmp_path / "sub" / "x.png", tmp_path / "x.keypoints.jpg"
    two.parent.mkdir()
    for path in (one, two):
        path.write_bytes(encode(make_pixels(41, 52)))
    named.write_bytes(encode(make_pixels(41, 52), "JPEG"))
    before = named.read_bytes()
    assert call(server, "--out", tmp_path, "--draw", one, two, named) == 0
    assert named.read_bytes() == before
    pictures = sorted(path.name for path in tmp_path.glob("*.jpg"))
    assert pictures == ["x-2.keypoints.jpg", "x-3.keypoints.jpg", "x.keypoints.jpg", "x.keypoints.keypoints.jpg"]


def test_no_server_is_one_line_within_seconds_and_nothing_is_written(photos, tmp_path, free_address):
    start = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-m", "serving.client", "--server", free_address, "--out", tmp_path / "out", photos[0]],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: no server at {free_address}: ")
    assert result.stderr.endswith("Connection refused\n")
    assert result.stderr.count("\n") == 1
    assert list((tmp_path / "out").iterdir()) == []
    assert time.monotonic() - start < 15  # mostly Python's start; loaded machines included


def test_a_host_without_an_address_is_one_line(photos, monkeypatch, capsys):
    monkeypatch.setattr(client_module, "REFUSAL_SECONDS", 0.2)
    assert call("nowhere.invalid:8500", photos[0]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: no server at nowhere.invalid:8500: ")
    assert captured.err.count("\n") == 1


def test_a_server_that_is_refused_at_first_is_found(photos):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with futures.ThreadPoolExecutor(1) as pool, Client(address) as client:
        connected = pool.submit(client.wait_until_connected)
        time.sleep(0.3)
        with serve(address, OddService({})):
            assert connected.result() is None


def test_a_server_that_listens_but_never_answers_is_one_line(photos, monkeypatch, capsys):
    monkeypatch.setattr(Client.wait_until_connected, "__defaults__", (0.3,))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert call(address, photos[0]) == 1
    assert capsys.readouterr().err == f"error: no server at {address}: no answer within 0.3 s\n"


def test_a_server_that_fails_midway_leaves_no_predictions_file(server, photos, tmp_path, monkeypatch, capsys):
    real = Client.predict
    asked = []

    def fail_second(self, batch):
        asked.append(batch)
        if len(asked) == 2:
            raise UserError("no server at there: gone")
        return real(self, batch)

    monkeypatch.setattr(Client, "predict", fail_second)
    assert call(server, "--out", tmp_path / "out", "--batch-size", 1, *photos) == 1
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    assert captured.err == "error: no server at there: gone\n"
    assert list((tmp_path / "out").iterdir()) == []


def test_out_that_is_a_file_is_one_line(server, photos, capsys):
    assert call(server, "--out", photos[0], photos[2]) == 1
    assert capsys.readouterr().err == f"error: {photos[0]}: File exists\n"


def test_a_reader_that_leaves_early_causes_no_traceback(server, photos):
    command = f"{sys.executable} -m serving.client --server {server.address} '{photos[0]}' '{photos[2]}' | true"
    result = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert result.stderr == ""


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["--server", "localhost", "a.jpg"],
        ["--server", "localhost:0", "a.jpg"],
        ["--server", ":8500", "a.jpg"],
        ["--batch-size", "0", "a.jpg"],
        ["--timeout", "0", "a.jpg"],
        ["--signature", "faces", "a.jpg"],
    ],
)
def test_a_wrong_call_is_one_line_and_2(args, capsys):
    with pytest.raises(SystemExit) as caught:
        run(client_module.main, args)
    err = capsys.readouterr().err
    assert caught.value.code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_draw_without_out_is_2(capsys):
    assert run(client_module.main, ["--draw", "a.jpg"]) == 2
    assert capsys.readouterr().err == "error: --draw needs --out\n"


def test_photos_that_pillow_cannot_draw_count_as_failed(server, photos, tmp_path, monkeypatch, capsys):
    def fail(data):
        raise OSError("damaged")

    monkeypatch.setattr(client_module, "_open_as_displayed", fail)
    assert call(server, "--out", tmp_path / "out", "--draw", photos[0]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["status"]["code"] == 0
    assert captured.err == f"error: {photos[0]}: cannot draw {tmp_path}/out/a.keypoints.jpg: damaged\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.jsonl"]
