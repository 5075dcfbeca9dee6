import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cspn_tf import drawing
from cspn_tf.cli import client as client_command
from cspn_tf.config import Config
from cspn_tf.console import UserError, run
from cspn_tf.serve import client as client_module
from cspn_tf.serve.client import Client
from tests import photos as photo_kinds
from tests.fake_model import encode, expected_result, make_pixels

ROOT = Path(__file__).parents[2]


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


def expected_line(pixels, photo):
    return expected_result(pixels, str(photo)).to_dict()


def call(server, *args):
    address = server if isinstance(server, str) else server.address
    return run(client_command.main, ["--server", address, *map(str, args)])


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
    assert lines[0] == expected_line(make_pixels(41, 52), photos[0])
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


@pytest.mark.parametrize("signature", ["serving_default", "pixels"])
def test_webp_in_a_folder_is_requested_and_drawn(server, tmp_path, signature, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.webp").write_bytes(photo_kinds.webp(make_pixels(41, 52)))
    assert call(server, "--signature", signature, "--out", tmp_path / "out", "--draw", folder) == 0
    assert json.loads(capsys.readouterr().out) == expected_line(make_pixels(41, 52), folder / "a.webp")
    assert Image.open(tmp_path / "out" / "a.keypoints.jpg").size == (52, 41)


def test_pixels_signature_turns_photos_and_names_what_is_wrong(server, tmp_path, monkeypatch, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned, cut, large = (tmp_path / name for name in ("turned.jpg", "cut.jpg", "large.png"))
    turned.write_bytes(encode(make_pixels(40, 51), "JPEG", exif=exif))
    cut.write_bytes(encode(make_pixels(64, 64), "JPEG")[:400])
    large.write_bytes(encode(make_pixels(200, 200)))
    monkeypatch.setattr(Config, "max_pixels", 10_000)
    assert call(server, "--signature", "pixels", turned, cut, large) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["status"]["code"] for line in lines] == [0, 3, 2]
    assert lines[0]["image_size"] == {"height": 51, "width": 40}


@pytest.mark.parametrize("signature", ["serving_default", "pixels"])
@pytest.mark.parametrize("batch_size", [1, 8])
def test_command_answers_the_photos_beside_a_missing_one(server, photos, tmp_path, signature, batch_size, capsys):
    given = [tmp_path / "no.jpg", photos[0], tmp_path / "none.png", photos[2]]
    assert call(server, "--signature", signature, "--batch-size", batch_size, *given) == 1
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [line["photo"] for line in lines] == list(map(str, given))
    assert [line["status"]["code"] for line in lines] == [4, 0, 4, 0]
    assert lines[3] == expected_line(make_pixels(63, 35), photos[2])
    assert captured.err == "".join(
        f"error: {tmp_path}/{name}: the file could not be read\n" for name in ("no.jpg", "none.png")
    )


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
    assert not (tmp_path / "out").exists()
    assert time.monotonic() - start < 15  # mostly Python's start; loaded machines included


def test_a_host_without_an_address_is_one_line(photos, monkeypatch, capsys):
    monkeypatch.setattr(client_module, "REFUSAL_SECONDS", 0.2)
    assert call("nowhere.invalid:8500", photos[0]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: no server at nowhere.invalid:8500: ")
    assert captured.err.count("\n") == 1


def test_a_server_that_listens_but_never_answers_is_one_line(photos, monkeypatch, capsys):
    monkeypatch.setattr(Client.wait_until_connected, "__defaults__", (0.3,))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert call(address, photos[0]) == 1
    assert capsys.readouterr().err == f"error: no server at {address}: no answer within 0.3 s\n"


@contextlib.contextmanager
def gone_after(num_answers):
    """Let the server be gone after some answers, within a `with` block."""
    real, answered = Client._results, []

    def results(self, response, batch):
        if len(answered) == num_answers:
            raise UserError("gone")
        answered.append(batch)
        return real(self, response, batch)

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(Client, "_results", results)
        yield


def test_what_arrived_before_a_failure_is_kept_and_resume_requests_the_rest(server, photos, tmp_path, capsys):
    out, missing = tmp_path / "out", tmp_path / "none.jpg"
    arguments = ["--out", out, "--batch-size", 1, photos[0], missing, *photos[1:]]
    with gone_after(1):
        assert call(server, *arguments) == 1
    captured = capsys.readouterr()
    assert [json.loads(line)["photo"] for line in captured.out.splitlines()] == [str(photos[0])]
    assert captured.err == (
        f"error: 3 photos have no result, see {out}/unanswered.txt; 1 are kept in {out}/predictions.partial.jsonl: "
        "the same command with --resume requests the others\nerror: gone\n"
    )
    assert (out / "unanswered.txt").read_text().splitlines() == [str(missing), str(photos[1]), str(photos[2])]
    # A kill can cut off a line.
    (out / "predictions.partial.jsonl").write_text(captured.out + '{"photo": "x')

    assert call(server, *arguments, "--resume", "--coco") == 1
    captured = capsys.readouterr()
    requested = [json.loads(line) for line in captured.out.splitlines()]
    assert [line["photo"] for line in requested] == [str(missing), str(photos[1]), str(photos[2])]
    assert captured.err == f"error: {missing}: the file could not be read\nerror: {photos[1]}: not a JPEG or PNG\n"
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert [line["photo"] for line in lines] == [str(photos[0]), str(missing), str(photos[1]), str(photos[2])]
    assert lines[3] == expected_line(make_pixels(63, 35), photos[2])
    assert {path.name for path in out.iterdir()} == {"predictions.jsonl", "predictions.coco.json"}
    coco = json.loads((out / "predictions.coco.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == [str(photos[0]), str(photos[2])]

    assert call(server, *arguments, "--resume") == 1
    assert [json.loads(line)["photo"] for line in capsys.readouterr().out.splitlines()] == [str(missing)]


def test_results_of_an_earlier_run_are_not_those_of_one_that_was_interrupted(server, photos, tmp_path):
    out = tmp_path / "out"
    arguments = ["--out", out, "--batch-size", 1, photos[0], photos[2]]
    assert call(server, *arguments) == 0
    photos[2].write_bytes(encode(make_pixels(30, 48)))
    with gone_after(1):
        assert call(server, *arguments) == 1
    assert call(server, *arguments, "--resume") == 0
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert lines[1] == expected_line(make_pixels(30, 48), photos[2])


def test_resume_draws_what_has_no_picture(server, photos, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--out", out, photos[0], photos[2]]
    assert call(server, *arguments) == call(server, *arguments, "--draw", "--resume") == 0
    (out / "a.keypoints.jpg").unlink()
    capsys.readouterr()
    assert call(server, *arguments, "--draw", "--resume") == 0
    assert [json.loads(line)["photo"] for line in capsys.readouterr().out.splitlines()] == [str(photos[0])]
    assert {path.name for path in out.iterdir()} == {"a.keypoints.jpg", "c.keypoints.jpg", "predictions.jsonl"}


def test_a_picture_is_of_its_photo_after_a_photo_of_the_same_stem_was_added(server, tmp_path):
    def add(folder, value):
        (tmp_path / "sku" / folder).mkdir(parents=True)
        (tmp_path / "sku" / folder / "front.png").write_bytes(encode(np.full((30, 40, 3), value, np.uint8)))

    def levels():
        pictures = [Image.open(out / f"front{number}.keypoints.jpg") for number in ("", "-2", "-3")]
        return [int(np.median(picture)) for picture in pictures]

    out = tmp_path / "out"
    add("b", 80)
    add("c", 160)
    assert call(server, "--out", out, "--draw", tmp_path / "sku") == 0
    add("a", 40)
    assert call(server, "--out", out, "--draw", "--resume", tmp_path / "sku") == 0
    np.testing.assert_allclose(levels(), [40, 80, 160], atol=20)


def test_what_is_kept_is_not_lost_by_a_call_without_photos_or_without_resume(server, photos, tmp_path, capsys):
    out, empty = tmp_path / "out", tmp_path / "empty"
    empty.mkdir()
    arguments = ["--out", out, "--batch-size", 1, photos[0], photos[2]]
    assert call(server, *arguments) == 0
    kept = (out / "predictions.jsonl").read_bytes()
    assert call(server, "--out", out, empty) == call(server, "--out", out, tmp_path / "typo.jpg") == 1
    assert (out / "predictions.jsonl").read_bytes() == kept
    with gone_after(1):
        assert call(server, *arguments) == 1
    partial = (out / "predictions.partial.jsonl").read_bytes()
    capsys.readouterr()
    assert call(server, *arguments) == 2
    assert "has the results of an unfinished run: continue it with --resume" in capsys.readouterr().err
    assert (out / "predictions.partial.jsonl").read_bytes() == partial != b""
    assert call(server, *arguments, "--resume") == 0
    assert (out / "predictions.jsonl").read_bytes() == kept


def test_resume_requests_a_photo_that_could_not_be_read_and_names_one_that_failed(server, photos, tmp_path, capsys):
    out, late = tmp_path / "out", tmp_path / "late.png"
    arguments = ["--out", out, photos[0], photos[1], late]
    assert call(server, *arguments) == 1
    late.write_bytes(photos[2].read_bytes())
    capsys.readouterr()
    assert call(server, *arguments, "--resume") == 1
    said = capsys.readouterr()
    assert json.loads(said.out) == expected_line(make_pixels(63, 35), late)
    assert said.err == f"error: {photos[1]}: not a JPEG or PNG\n"


def test_a_pipe_among_the_photos_is_not_waited_for(server, photos, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert call(server, tmp_path / "pipe.jpg", photos[0]) == 1
    captured = capsys.readouterr()
    assert captured.err == f"error: {tmp_path / 'pipe.jpg'}: the file could not be read\n"
    assert [json.loads(line)["photo"] for line in captured.out.splitlines()] == [
        str(tmp_path / "pipe.jpg"),
        str(photos[0]),
    ]


def test_pixels_beyond_the_server_s_limit_are_a_status_and_the_others_go_on(server, photos, monkeypatch, capsys):
    real = Client.predict_pixels

    def refuse_first(self, images):
        if images.shape[1:3] == (41, 52):
            raise UserError("there answered INVALID_ARGUMENT: images must be of at most 300000 pixels")
        return real(self, images)

    monkeypatch.setattr(Client, "predict_pixels", refuse_first)
    assert call(server, "--signature", "pixels", photos[0], photos[2]) == 1
    captured = capsys.readouterr()
    assert captured.err == f"error: {photos[0]}: more pixels than the cap\n"
    assert [json.loads(line)["status"]["code"] for line in captured.out.splitlines()] == [2, 0]


@pytest.mark.parametrize(("text", "pair"), [("A-Key=b=c", ("a-key", "b=c")), ("x-bin=abc", ("x-bin", b"abc"))])
def test_metadata_are_pairs_and_binary_ones_are_bytes(text, pair):
    assert client_command._pair(text) == pair


@pytest.mark.parametrize("text", ["a b=c", "=c", "a", "a=ü", "a=b\n"])
def test_metadata_that_grpc_refuses_are_a_wrong_call(server, photos, text):
    with pytest.raises(SystemExit, match="2"):
        call(server, "--metadata", text, photos[0])


def test_an_unanswered_photo_whose_name_is_not_utf_8_is_listed_byte_for_byte(server, tmp_path, capsys):
    photo = os.fsdecode(os.fsencode(tmp_path) + b"/n\xff.jpg")
    Path(photo).write_bytes(b"no photo")
    with gone_after(0):
        assert call(server, "--out", tmp_path / "out", photo) == 1
    assert capsys.readouterr().err.endswith("error: gone\n")
    assert (tmp_path / "out" / "unanswered.txt").read_bytes() == os.fsencode(photo) + b"\n"


def test_a_folder_is_searched_for_photos(server, photos, capsys):
    assert call(server, photos[0].parent) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["photo"] for line in lines] == [str(photo) for photo in photos]


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
        ["--ca", "ca.pem", "a.jpg"],
        ["--in-flight", "0", "a.jpg"],
        ["--metadata", "token", "a.jpg"],
    ],
)
def test_a_wrong_call_is_one_line_and_2(args, capsys):
    with pytest.raises(SystemExit) as caught:
        run(client_command.main, args)
    err = capsys.readouterr().err
    assert caught.value.code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("option", ["--draw", "--resume", "--coco"])
def test_what_needs_out_is_2_without(option, capsys):
    assert run(client_command.main, [option, "a.jpg"]) == 2
    assert capsys.readouterr().err == f"error: {option} needs --out\n"


# One frame -----------------------------------------------------------------------------------------------------------

NUM_CELLS = 4


def export_frame_model(model_dir):
    """Export a model that reads photos as every model does; its one garment has `fingerprint` for keypoints."""
    import tensorflow as tf

    from cspn_tf.decoding import decode_photo

    def cells_of(size):
        return tf.one_hot(tf.range(size) * NUM_CELLS // size, NUM_CELLS) / tf.cast(size, tf.float32)

    def answer(photo, image_size, status):
        sums = tf.einsum("hi,wj,hwc->ijc", cells_of(image_size[0]), cells_of(image_size[1]), tf.cast(photo, tf.float32))
        return {
            "status": status,
            "image_size": image_size,
            "num_garments": tf.constant(1),
            "boxes": tf.zeros([1, 4]),
            "classes": tf.constant([3]),
            "scores": tf.ones([1]),
            "keypoints": tf.reshape(tf.linalg.matvec(sums, [1.0, 2.0, 4.0]), [1, 8, 2]),
            "keypoint_scores": tf.ones([1, 8]),
        }

    types = dict.fromkeys(("boxes", "scores", "keypoints", "keypoint_scores"), tf.float32)
    types |= dict.fromkeys(("status", "image_size", "num_garments", "classes"), tf.int32)
    model = tf.Module()
    model.files = tf.function(
        lambda image_bytes: tf.map_fn(
            lambda file: answer(*decode_photo(file, Config.max_pixels)), image_bytes, fn_output_signature=types
        ),
        input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")],
    )
    model.pixels = tf.function(
        lambda images: tf.map_fn(
            lambda photo: answer(photo, tf.shape(photo)[:2], tf.constant(0)), images, fn_output_signature=types
        ),
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "images")],
    )
    signatures = {"serving_default": model.files, "pixels": model.pixels}
    tf.saved_model.save(model, str(model_dir / "1"), signatures=signatures)


def fingerprint(pixels):
    """Return 16 numbers that tell a photo's pixels and how it is turned: weighted sums of its parts."""
    cells = [np.eye(NUM_CELLS)[np.arange(size) * NUM_CELLS // size] / size for size in pixels.shape[:2]]
    return np.einsum("hi,wj,hwc,c->ij", *cells, pixels.astype(float), [1.0, 2.0, 4.0]).ravel()


@pytest.fixture(scope="module")
def frame_server(tmp_path_factory):
    from cspn_tf.serve.grpc_server import LocalServer

    model_dir = tmp_path_factory.mktemp("models") / "cspn"
    export_frame_model(model_dir)
    with LocalServer(model_dir, "cspn", num_workers=2) as server:
        yield server


def photos_of_all_kinds():
    pixels = photo_kinds.picture(40, 56)
    alpha = np.broadcast_to(np.linspace(0, 255, 56).astype(np.uint8)[:, np.newaxis], (40, 56, 1))
    turned = Image.Exif()
    turned[0x0112] = 6
    samples = pixels.astype(np.uint16) * 256 + 77
    palette = np.arange(768, dtype=np.uint8).reshape(256, 3)
    files = {f"orientation {number}.jpg": photo_kinds.jpeg(pixels, orientation=number) for number in range(1, 9)}
    return files | {
        "grey.jpg": photo_kinds.jpeg(pixels, mode="L"),
        "cmyk.jpg": photo_kinds.jpeg(pixels, mode="CMYK"),
        "ycck.jpg": photo_kinds.jpeg_ycck(pixels),
        "orientation.png": photo_kinds.png(pixels, exif=turned),
        "alpha.png": photo_kinds.png(np.concatenate([pixels, alpha], axis=-1)),
        "grey.png": photo_kinds.png(pixels[..., 0]),
        "grey 16.png": photo_kinds.png_of_samples(samples[..., :1], photo_kinds.GREY, 16),
        "rgb 16.png": photo_kinds.png_of_samples(samples, photo_kinds.RGB, 16),
        "palette.png": photo_kinds.png_of_samples(pixels[..., :1], photo_kinds.PALETTE, 8, palette, bytes(range(256))),
    }


def test_what_is_drawn_on_what_is_sent_and_what_the_model_read_is_one_frame(
    frame_server, tmp_path, monkeypatch, capsys
):
    files = photos_of_all_kinds()
    for name, file in files.items():
        (tmp_path / name).write_bytes(file)
    painted = []

    def keep(image, garments, min_keypoint_score=0.0, scale=1.0):
        painted.append(np.asarray(image))
        return image

    monkeypatch.setattr(drawing, "draw_garments", keep)
    lines = {}
    for signature in ("serving_default", "pixels"):
        out = tmp_path / signature
        paths = [tmp_path / name for name in files]
        assert call(frame_server, "--signature", signature, "--out", out, "--draw", *paths) == 0
        lines[signature] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert len(list(out.glob("*.jpg"))) == len(files)
    assert len(painted) == 2 * len(files)
    for name, read, sent, drawn, drawn_of_sent in zip(
        files, *lines.values(), painted[: len(files)], painted[len(files) :], strict=True
    ):
        assert sent == read, name
        np.testing.assert_array_equal(drawn_of_sent, drawn, err_msg=name)
        assert drawn.shape == (read["image_size"]["height"], read["image_size"]["width"], 3), name
        points = [[point["x"], point["y"]] for point in read["garments"][0]["keypoints"].values()]
        np.testing.assert_allclose(np.ravel(points), fingerprint(drawn), atol=0.02, err_msg=name)
    # The photos are told apart, so that equal fingerprints mean something.
    prints = np.array([fingerprint(drawn) for drawn in painted[:8]])
    assert np.abs(prints[:, None] - prints).max(axis=-1)[~np.eye(8, dtype=bool)].min() > 1
    turned = dict(zip(files, painted, strict=False))
    assert turned["orientation.png"].shape == turned["orientation 6.jpg"].shape == (56, 40, 3)
