"""The page in a browser: it answers as Python does, and sends nothing. `make test-web` runs this."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cspn_tf import drawing, garments, lengths
from cspn_tf.cli.answers import write_csv
from cspn_tf.contract import STATUS_NOT_A_PHOTO, STATUS_OK, STATUS_UNDECODABLE
from cspn_tf.data.synthetic.photo import render
from cspn_tf.inference.model import Model
from cspn_tf.inference.predictors import from_tflite
from cspn_tf.models.checkpoints import shipped_tflite
from cspn_tf.result import Result
from tests import photos
from tests.web.browser import CHROMIUM, node, program, serve_page

pytestmark = [pytest.mark.slow, pytest.mark.web]
# Above and below twice the canvas of 512, where the filter changes; photos are up to a quarter smaller.
SIZES = (300, 512, 640, 900, 1023, 1100, 1300, 1500, 1800, 2200)
MAX_PIXELS_APART = 0.5


def test_tables_are_those_of_python():
    tables = json.loads(node("tables.mjs"))
    types = list(garments.GarmentType)
    assert tables["KEYPOINT_NAMES"] == list(garments.KEYPOINT_NAMES)
    assert tables["KEYPOINT_ABBREVIATIONS"] == list(garments.KEYPOINT_ABBREVIATIONS)
    assert tables["GARMENT_TYPE_NAMES"] == [None, *(garments.GARMENT_TYPE_NAMES[t] for t in types)]
    assert tables["KEYPOINT_SLOTS"] == [[], *(list(garments.KEYPOINT_SLOTS[t]) for t in types)]
    assert tables["SKELETON"] == [list(line) for line in garments.SKELETON]
    assert tables["TYPE_COLOURS"] == [None, *(list(drawing.TYPE_COLOURS[t]) for t in types)]
    assert tables["PAIR_COLOURS"] == [list(colour) for colour in drawing.PAIR_COLOURS]
    assert tables["LENGTHS"] == {name: [list(end) for end in ends] for name, ends in lengths.LENGTHS.items()}
    assert list(tables["LENGTHS"]) == list(lengths.LENGTHS)
    assert tables["LENGTHS_OF_TYPE"] == [[], *(list(lengths.LENGTHS_OF_TYPE[t]) for t in types)]
    assert tables["KEYPOINT_SDS"] == [[], *(list(lengths.KEYPOINT_SDS[t]) for t in types)]
    assert tables["MIN_VISIBLE"] == lengths.MIN_VISIBLE


@pytest.mark.parametrize(
    ("height", "width"),
    [
        (512, 512),
        (1, 1),
        (3, 700),
        (333, 512),
        (700, 501),
        (1023, 64),
        (1024, 768),
        (771, 2000),
        (3000, 7),
        (1501, 1500),
    ],
)
def test_letterbox_is_that_of_python(height, width, tmp_path):
    from cspn_tf.resampling import letterbox

    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    canvas, _ = letterboxed(pixels, tmp_path)
    expected = letterbox(pixels, 512)[0].numpy().astype(int)
    # Python computes in float32, so that a value between two levels may round either way.
    assert np.abs(canvas - expected).max() <= 1
    assert (canvas != expected).mean() < 1e-3


def letterboxed(pixels, folder, *jpeg):
    """Return the page's canvas of a photo, and its transform; `jpeg` is the path of the file, if it is to be one."""
    height, width, _ = pixels.shape
    rgba = np.concatenate([pixels, np.full((height, width, 1), 255, np.uint8)], axis=-1)
    (folder / "pixels").write_bytes(rgba.tobytes())
    printed = json.loads(node("letterbox.mjs", folder / "pixels", height, width, 512, folder / "canvas", *jpeg))
    canvas = np.frombuffer((folder / "canvas").read_bytes(), np.uint8).reshape(512, 512, 3)
    return canvas.astype(int), printed


@pytest.mark.parametrize(
    ("height", "width", "orientation", "ratio"),
    [
        (1023, 700, 1, 1),
        (1024, 700, 1, 2),
        (1031, 701, 1, 2),  # the last row and column are of fewer pixels
        (1031, 701, 6, 1),  # and would be first ones
        (1032, 702, 6, 2),
        (2051, 1502, 1, 4),
        (1500, 4100, 1, 8),
    ],
)
def test_a_large_jpeg_is_reduced_as_python_decodes_it(height, width, orientation, ratio, tmp_path):
    from cspn_tf.decoding import pixels_as_displayed
    from cspn_tf.resampling import read_photo

    jpeg = photos.jpeg(photos.picture(height, width), orientation=orientation)
    (tmp_path / "a.jpg").write_bytes(jpeg)
    canvas, printed = letterboxed(pixels_as_displayed(jpeg), tmp_path, tmp_path / "a.jpg")
    expected, transform, _, _ = read_photo(jpeg, 512, 50_000_000)
    assert printed["ratio"] == ratio
    np.testing.assert_allclose([printed[key] for key in ("scale", "offsetX", "offsetY")], transform, rtol=0, atol=1e-5)
    # A decoder rounds colour and brightness, each reduced for itself: off by 1 in a tenth of a photo's values.
    difference = np.abs(canvas - expected.numpy().astype(int))
    assert difference.max() <= 3 and difference.mean() < 0.2


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_headers_say_what_python_says(tmp_path):
    from cspn_tf.decoding import decode_photo

    small = photos.picture(8, 9)
    files = {name: file for name, (file, _) in photos.awkward().items()}
    # Browsers read no XMP and check the picture data themselves; other formats are theirs to know.
    for name in ("XMP alone", "picture data with a wrong checksum", "GIF"):
        del files[name]
    files |= {f"orientation {number}": photos.jpeg(small, orientation=number) for number in range(1, 9)}
    files |= {
        "big-endian": photos.jpeg(small, orientation=6, big_endian=True),
        "orientation 9": photos.insert_segments(
            photos.jpeg(small), photos.exif_segment([(0x0112, 3, 1, b"\x09\0\0\0")])
        ),
        "EXIF that ends early": photos.insert_segments(photos.jpeg(small), photos.exif_segment([], num_entries=9000)),
        "progressive": photos.jpeg(small, progressive=True),
        "too large JPEG": photos.jpeg_with_size(10_000, 5_001),
        "too large PNG": photos.png_with_size(5_000, 5_001),
        "cut-off JPEG": photos.jpeg(photos.picture(40, 56))[:-300],
        "cut-off PNG": photos.png(photos.picture(40, 56))[:-300],
        "PNG with bytes behind its end": photos.png(photos.picture(40, 56)) + b"\n" * 20,
    }
    paths = [tmp_path / str(index) for index in range(len(files))]
    for path, file in zip(paths, files.values(), strict=True):
        path.write_bytes(file)
    for (name, file), header in zip(files.items(), json.loads(node("headers.mjs", *paths)), strict=True):
        _, size, status = decode_photo(file, 50_000_000)
        assert header["status"] == int(status), name
        if header["format"] == "jpeg" and header["status"] == STATUS_OK:
            with Image.open(io.BytesIO(file)) as stored:
                is_turned = stored.size != (int(size[1]), int(size[0]))
            assert (header["orientation"] >= 5) == is_turned, name
    assert [header["orientation"] for header in json.loads(node("headers.mjs", *paths))][-17:-9] == list(range(1, 9))


def test_numbers_are_rounded_as_in_python():
    values = [0.125, 0.375, 2.5, 1234.625, 0.03125, 0.09375, 767.995, *np.random.default_rng(0).uniform(0, 999, 50)]
    for digits in (2, 4):
        assert json.loads(node("rounded.mjs", digits, *values)) == [round(float(value), digits) for value in values]


@pytest.fixture(scope="module")
def python():
    """The page's file in Python, by LiteRT too."""
    from ai_edge_litert.interpreter import Interpreter

    return Model(from_tflite(shipped_tflite(), make_interpreter=Interpreter))


@pytest.fixture(scope="module")
def pngs(tmp_path_factory):
    """Ten photos as PNG, so that decoders of JPEG do not differ."""
    folder = tmp_path_factory.mktemp("photos")
    for index, size in enumerate(SIZES):
        photo = Image.fromarray(render(seed=5, index=index, size=512, num_garments=1 + index % 2).image)
        photo.resize([side * size // 512 for side in photo.size]).save(folder / f"photo {index}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def others(pngs, tmp_path_factory):
    """A text, half a PNG and half a JPEG, and a JPEG of 12 megapixels that a camera took upright: name to path."""
    folder = tmp_path_factory.mktemp("others")
    large = np.asarray(Image.fromarray(render(seed=5, index=0, size=512, num_garments=1).image).resize((3000, 4000)))
    whole = photos.jpeg(photos.picture(300, 400))
    contents = {
        "text.jpg": b"not a photo",
        "half.png": pngs[1].read_bytes()[:200],
        "half.jpg": whole[: len(whole) // 2],
        "large.jpg": photos.jpeg(np.rot90(large), orientation=6),
        "small.jpg": whole,
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


@pytest.fixture(scope="module")
def visit(pngs, others, tmp_path_factory):
    """What came of a visit to the page, and the folder of what was saved there."""
    chromium, out = program(*CHROMIUM), tmp_path_factory.mktemp("saved")
    with serve_page() as (url, server):
        seen = json.loads(node("page.mjs", chromium, url, server.pid, out, *pngs, *others.values()))
        assert server.wait(timeout=30) == 0
    return {**seen, "url": url}, out


@pytest.fixture(scope="module")
def saved(visit):
    """The results in the JSON file that was saved, by name."""
    lines = (visit[1] / "predictions.jsonl").read_text().splitlines()
    return {result.name: result for result in map(Result.from_dict, map(json.loads, lines))}


def test_answers_are_those_of_python(saved, pngs, python):
    apart = []
    for expected in python(pngs):
        result = saved[Path(expected.name).name]
        assert result.image_size == expected.image_size
        assert result.garments.types.tolist() == expected.garments.types.tolist()
        np.testing.assert_allclose(result.garments.scores, expected.garments.scores, atol=0.02)
        np.testing.assert_allclose(result.garments.keypoint_scores, expected.garments.keypoint_scores, atol=0.02)
        for name in ("boxes_xyxy", "keypoints_xy"):
            apart.append(np.abs(getattr(result.garments, name) - getattr(expected.garments, name)).max(initial=0))
    assert sum(len(result.garments) for result in saved.values()) >= 10
    print(f"max {max(apart):.3f} px, mean of the photos' max {np.mean(apart):.3f} px")
    assert max(apart) <= MAX_PIXELS_APART


def test_a_photo_that_cannot_be_read_is_named_and_the_others_go_on(visit, saved, pngs, others):
    seen, _ = visit
    assert list(saved) == [path.name for path in pngs] + list(others)
    bad = {"text.jpg": STATUS_NOT_A_PHOTO, "half.png": STATUS_UNDECODABLE, "half.jpg": STATUS_UNDECODABLE}
    assert {name: result.status for name, result in saved.items() if result.status != STATUS_OK} == bad
    assert seen["found"]["faults"] == [
        "text.jpg: not a JPEG or PNG. It is left out.",
        "half.png: could not be decoded. It is left out.",
        "half.jpg: could not be decoded. It is left out.",
    ]


def test_a_photo_of_12_megapixels_is_upright(saved, others, python):
    result, (expected,) = saved["large.jpg"], python([others["large.jpg"]])
    assert result.image_size == expected.image_size == (4000, 3000)
    assert result.garments.types.tolist() == expected.garments.types.tolist()
    # Python reduces a JPEG while it decodes it, the page afterwards: 0.6 pixels of the canvas apart.
    atol = 4000 / 512
    np.testing.assert_allclose(result.garments.keypoints_xy, expected.garments.keypoints_xy, atol=atol)


def test_the_saved_table_is_that_of_python(visit, saved, tmp_path):
    _, out = visit
    first = next(iter(saved.values()))
    # The line of 50 cm lies over half the width, from mouse positions in whole screen pixels.
    cm_per_pixel = 50 / (first.image_size[1] / 2)
    write_csv(tmp_path / "python.csv", [first], cm_per_pixel)
    (expected,) = csv.DictReader((tmp_path / "python.csv").open())
    rows = list(csv.DictReader((out / "predictions.csv").open()))
    assert list(rows[0]) == list(expected)
    for name, value in expected.items():
        if "cm" in name and value:
            assert float(rows[0][name]) == pytest.approx(float(value), rel=0.01, abs=0.01)
        elif "pixels" in name and value:
            assert float(rows[0][name]) == pytest.approx(float(value), abs=0.011)
        else:
            assert rows[0][name] == value or float(rows[0][name]) == float(value)
    assert any(row["hem_width_cm"] for row in rows) and not any(row["hem_width_cm"] for row in rows[1:])
    assert [row["photo"] for row in rows if row["status"] != "0"] == ["text.jpg", "half.png", "half.jpg"]


def test_tables_and_drawings_tell_the_same(visit, saved):
    found = visit[0]["found"]
    names = [
        f"{index + 1} {garments.GARMENT_TYPE_NAMES[garment_type]}"
        for result in saved.values()
        for index, garment_type in enumerate(result.garments.types)
    ]
    assert found["captions"] == [f"{what} of {name}" for name in names for what in ("Lengths", "Keypoints")]
    assert found["drawn"] == sum(int(result.garments.of_type.sum()) for result in saved.values())
    assert found["status"].endswith(f"{len(saved)} of {len(saved)} photos done.")
    assert found["times"][0].startswith(f"{saved['photo 0.png'].image_size[1]} × ") and " ms" in found["times"][0]


def test_a_scale_is_laid_by_mouse_and_by_keys(visit):
    scale = visit[0]["scale"]
    assert " cm per pixel" in scale["dragged"]
    assert scale["placed"] != scale["moved"] and scale["moved"].endswith(": type its centimetres")
    assert scale["shared"].split(": ")[1] == scale["dragged"].split(": ")[1]


def test_the_page_fits_a_phone_takes_stills_and_works_without_a_server(visit):
    seen, _ = visit
    assert seen["fitsPhone"] and seen["isolated"] and seen["faults"] == []
    assert seen["worker"] == f"{seen['url']}model-worker.js"  # the page itself stays responsive
    assert (seen["camera"], seen["left"]) == ("camera-1.png", 0)
    assert seen["offline"].startswith("photo 0.png: ")


def test_a_file_that_is_gone_is_named_and_counted(visit):
    fault = "gone.png: could not be read: it is a folder, or is no longer there"
    assert visit[0]["unread"] == {"fault": fault, "status": "2 of 3 photos done."}


def test_nothing_is_uploaded(visit):
    seen, _ = visit
    beyond = [request for request in seen["requests"] if not request.startswith((f"GET {seen['url']}", "GET blob:"))]
    assert seen["requests"] and [request for request in beyond if not request.startswith("GET data:")] == []
