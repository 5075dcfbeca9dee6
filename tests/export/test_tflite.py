import json
import tempfile
import zipfile

import ai_edge_litert.interpreter
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cspn_tf import geometry, resampling
from cspn_tf.cli.export_tflite import main
from cspn_tf.console import UserError
from cspn_tf.export import tflite as export_tflite
from cspn_tf.garments import GARMENT_TYPE_NAMES
from cspn_tf.inference.pipeline import GarmentPipeline
from cspn_tf.resampling import CanvasPyramid

# Boxes and keypoints may differ from the SavedModel's by this, canvas pixels; 3e-5 was measured.
PIXELS = 0.1


@pytest.fixture(scope="module")
def tflite_file(tiny_tflite):
    return tiny_tflite


@pytest.fixture(scope="module")
def photo_bytes(tiny_fld):
    return [path.read_bytes() for path in sorted((tiny_fld / "img").iterdir())[:3]]


@pytest.fixture(scope="module")
def canvases(photo_bytes, tiny_pipeline):
    """The photos as the file takes them: arrays uint8 `(1, S, S, 3)`."""
    size = tiny_pipeline.config.canvas_size
    photos = [tf.io.decode_image(photo, channels=3) for photo in photo_bytes]
    return [resampling.letterbox(photo, size)[0][tf.newaxis].numpy() for photo in photos]


def runner_of(path, make_interpreter=tf.lite.Interpreter):
    return make_interpreter(str(path)).get_signature_runner()


@pytest.mark.parametrize("make_interpreter", [tf.lite.Interpreter, ai_edge_litert.interpreter.Interpreter])
def test_file_answers_as_the_saved_model_on_the_same_canvas(make_interpreter, tflite_file, tiny_model, canvases):
    model = tf.saved_model.load(str(tiny_model / "1"))
    runner = runner_of(tflite_file, make_interpreter)
    for canvas in canvases:
        assert canvas.std() > 10
        expected = model.signatures["pixels"](images=tf.constant(canvas))
        found = runner(image=canvas)
        assert set(found) == set(expected) - {"status", "image_size"}
        for name in ("num_garments", "classes"):
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
        for name, tolerance in (("boxes", PIXELS), ("keypoints", PIXELS), ("scores", 1e-3), ("keypoint_scores", 1e-3)):
            np.testing.assert_allclose(found[name], expected[name], atol=tolerance, rtol=0, err_msg=name)
        assert found["num_garments"][0] > 0


def test_loop_over_the_found_garments_runs_in_tflite_for_none_one_and_all(tiny_pipeline, canvases):
    size, num_rows = tiny_pipeline.config.canvas_size, tiny_pipeline.config.detector.max_garments
    canvas = canvases[0]
    random = np.random.default_rng(0)
    corners = random.uniform(0, size - 1, (1, num_rows, 2, 2)).astype(np.float32)
    boxes = np.concatenate([corners.min(axis=2), corners.max(axis=2)], axis=-1)

    def find(canvases, boxes, scores):
        return tiny_pipeline.keypoints_on_canvas(CanvasPyramid.of(canvases), boxes, scores)

    function = tf.function(find, autograph=False)
    concrete = function.get_concrete_function(
        canvases=tf.TensorSpec(canvas.shape, tf.uint8),
        boxes=tf.TensorSpec(boxes.shape),
        scores=tf.TensorSpec([1, num_rows, 3]),
    )
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(tf.Module(), folder, signatures=concrete)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        runner = tf.lite.Interpreter(model_content=converter.convert()).get_signature_runner()
    for num_found in (0, 1, num_rows):
        scores = random.uniform(0.1, 0.3, (1, num_rows, 3)).astype(np.float32)
        scores[:, num_found:] = 0
        found = runner(canvases=canvas, boxes=boxes, scores=scores)
        expected = function(canvases=tf.constant(canvas), boxes=tf.constant(boxes), scores=tf.constant(scores))
        assert found["num_garments"].tolist() == [num_found]
        assert (found["keypoint_scores"][0].max(axis=-1) > 0).tolist() == [row < num_found for row in range(num_rows)]
        for name, tolerance in (("boxes", PIXELS), ("keypoints", PIXELS), ("keypoint_scores", 1e-3)):
            np.testing.assert_allclose(found[name], expected[name], atol=tolerance, rtol=0, err_msg=name)


def test_file_holds_builtin_operations_only(tflite_file):
    interpreter = tf.lite.Interpreter(
        str(tflite_file),
        # Without the resolver's own delegate, so that the operations are those of the file.
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    operations = {operation["op_name"] for operation in interpreter._get_ops_details()}
    assert "CONV_2D" in operations
    assert not {name for name in operations if name.startswith(("Flex", "Custom", "CUSTOM"))}


def test_every_size_is_fixed(tflite_file, tiny_pipeline):
    interpreter = tf.lite.Interpreter(str(tflite_file))
    (image,) = interpreter.get_input_details()
    size, num = tiny_pipeline.config.canvas_size, tiny_pipeline.config.detector.max_garments
    assert image["dtype"] == np.uint8 and image["shape_signature"].tolist() == [1, size, size, 3]
    shapes = shapes_of(interpreter)["outputs"]
    assert shapes["boxes"] == [1, num, 4] and shapes["keypoints"] == [1, num, 8, 2]


def shapes_of(interpreter):
    runner = interpreter.get_signature_runner()
    details = {"inputs": runner.get_input_details(), "outputs": runner.get_output_details()}
    return {side: {name: one["shape"].tolist() for name, one in found.items()} for side, found in details.items()}


def test_parts_of_an_earlier_export_do_not_stay(tiny_pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(export_tflite, "convert", lambda pipeline, name, precision: name.encode())
    monkeypatch.setattr(export_tflite, "with_metadata", lambda content, name, about: content)
    names = ["cspn", "detector", "keypoints"]
    paths = export_tflite.export(tiny_pipeline, tmp_path, with_parts=True)
    assert [(path.name, path.read_text()) for path in paths] == [(f"{name}.tflite", name) for name in names]
    (tmp_path / "labels.txt").touch()
    export_tflite.export(tiny_pipeline, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cspn.json", "cspn.tflite", "labels.txt"]


def test_description_stands_beside_the_file_and_in_it(tflite_file, tiny_pipeline):
    description = json.loads((tflite_file.parent / "cspn.json").read_text())
    size = tiny_pipeline.config.canvas_size
    assert "status" not in description["outputs"] and description["inputs"]["image"]["shape"] == [1, size, size, 3]
    assert "canvas pixels" in description["outputs"]["keypoints"]["meaning"]
    assert sorted(path.name for path in tflite_file.parent.iterdir()) == ["cspn.json", "cspn.tflite"]
    with zipfile.ZipFile(tflite_file) as attached:
        assert json.loads(attached.read("cspn.json")) == description
        assert attached.read("garment_types.txt").decode().split() == ["padding", *GARMENT_TYPE_NAMES.values()]


# Parts and precisions ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def halves(tiny_pipeline, tmp_path_factory):
    out = tmp_path_factory.mktemp("phone16")
    paths = export_tflite.export(tiny_pipeline, out, "float16", with_parts=True)
    assert [path.name for path in paths] == ["cspn.tflite", "detector.tflite", "keypoints.tflite"]
    return {path.stem: path for path in paths}


def test_float16_file_is_half_as_large_and_answers_about_the_same(halves, tflite_file, canvases):
    assert halves["cspn"].stat().st_size < 0.65 * tflite_file.stat().st_size
    assert json.loads(halves["cspn"].with_suffix(".json").read_text())["precision"] == "float16"
    runners = [runner_of(path) for path in (halves["cspn"], tflite_file)]
    for canvas in canvases:
        found, expected = (runner(image=canvas) for runner in runners)
        np.testing.assert_array_equal(found["classes"], expected["classes"])
        np.testing.assert_allclose(found["boxes"], expected["boxes"], atol=1.0)
        np.testing.assert_allclose(found["scores"], expected["scores"], atol=0.01)


def test_descriptions_have_the_shapes_of_the_files(halves):
    for path in halves.values():
        description = json.loads(path.with_suffix(".json").read_text())
        described = {
            side: {name: tensor["shape"] for name, tensor in description[side].items()}
            for side in ("inputs", "outputs")
        }
        assert described == shapes_of(tf.lite.Interpreter(str(path)))


def test_parts_one_after_the_other_answer_as_the_whole_but_for_types(halves, canvases):
    whole, detector, keypoints = (runner_of(halves[name]) for name in ("cspn", "detector", "keypoints"))
    num_compared = 0
    for image in canvases:
        expected, boxes = whole(image=image), detector(image=image)
        assert set(boxes) == {"num_garments", "boxes", "classes", "scores"}
        np.testing.assert_array_equal(boxes["num_garments"], expected["num_garments"])
        # The whole corrects the detector's types and scores, and sorts by these.
        assert sorted(boxes["boxes"][0].tolist()) == sorted(expected["boxes"][0].tolist())
        for row in range(int(boxes["num_garments"][0])):
            found = keypoints(image=image, box=expected["boxes"][:, row], garment_type=expected["classes"][:, row])
            np.testing.assert_allclose(found["keypoints"], expected["keypoints"][:, row], atol=PIXELS)
            np.testing.assert_allclose(found["keypoint_scores"], expected["keypoint_scores"][:, row], atol=1e-3)
            num_compared += 1
    assert num_compared > 0


def test_dynamic_file_is_a_quarter_as_large_with_weights_of_8_bits(
    tiny_pipeline, tflite_file, canvases, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(export_tflite, "LARGE_BYTES", 100_000)
    (path,) = export_tflite.export(tiny_pipeline, tmp_path, "dynamic")
    size = path.stat().st_size / 1e6
    assert capsys.readouterr().err.startswith(f"warning: cspn.tflite has {size:.0f} MB, more than most apps carry")
    assert path.stat().st_size < 0.45 * tflite_file.stat().st_size
    found, expected = (runner_of(file)(image=canvases[0])["scores"] for file in (path, tflite_file))
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, atol=0.1)
    # XNNPACK takes depthwise convolutions in float32 only; their weights are those of the other file, rounded.
    weights, exact = depthwise_weights(path), depthwise_weights(tflite_file)
    assert len(weights) == len(exact) > 5 and all(values.dtype == np.float32 for values in weights)
    for values, unrounded in zip(weights, exact, strict=True):
        np.testing.assert_allclose(values, unrounded, atol=np.abs(unrounded).max() / 200)
    assert any(detail["dtype"] == np.int8 for detail in tf.lite.Interpreter(str(path)).get_tensor_details())


def depthwise_weights(path):
    """Return the weights of a file's depthwise convolutions, in the order of its operations."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    wanted, dtypes = schema.BuiltinOperator.DEPTHWISE_CONV_2D, {schema.TensorType.FLOAT32: np.float32}
    found = []
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            if wanted in (code.builtinCode, code.deprecatedBuiltinCode):
                weights = graph.tensors[operator.inputs[1]]
                content = bytes(model.buffers[weights.buffer].data)
                found.append(np.frombuffer(content, dtypes.get(weights.type, np.int8)).reshape(weights.shape))
    return found


def test_operation_without_a_builtin_is_named_with_its_layer(tiny_pipeline, monkeypatch):
    predict = tiny_pipeline.predict

    def with_erfinv(crops):
        found = predict(crops)
        with tf.name_scope("odd_layer"):
            return tf.nest.map_structure(lambda value: tf.math.erfinv(value / 1e3), found)

    monkeypatch.setattr(tiny_pipeline, "predict", with_erfinv)
    with pytest.raises(UserError) as raised:
        export_tflite.convert(tiny_pipeline, "keypoints", "float32")
    assert str(raised.value).startswith(
        "keypoints.tflite cannot be converted: TensorFlow Lite has no builtin for tf.Erf"
    )
    assert "odd_layer" in str(raised.value) and "\n" not in str(raised.value)


# 8 bits --------------------------------------------------------------------------------------------------------------


def with_much_text(photo, path):
    """Write a photo as a PNG that has 1.4 MB of compressed text, beyond what Pillow opens."""
    text = PngInfo()
    text.add_text("Comment", "garment " * 175_000, zip=True)
    with Image.open(photo) as pixels:
        pixels.save(path, pnginfo=text)
    return path


@pytest.fixture(scope="module")
def int8(tiny_detector, tiny_keypoints, tiny_pipeline, tiny_fld, tmp_path_factory):
    """The int8 file that the command writes, and the pipeline that it converted."""
    out = tmp_path_factory.mktemp("phone8")
    photos = [str(path) for path in sorted((tiny_fld / "img").iterdir())[:16]]
    photos[0] = str(with_much_text(photos[0], out / "text.png"))
    networks = ["--detector", str(tiny_detector), "--keypoints", str(tiny_keypoints)]
    made, quantized = [], GarmentPipeline.quantized
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(GarmentPipeline, "quantized", lambda *args: made.append(quantized(*args)) or made[0])
        # The two networks, loaded already.
        loaded = {(str(tiny_detector), str(tiny_keypoints)): tiny_pipeline}
        patches.setattr("cspn_tf.inference.pipeline.load_pipeline", lambda *directories: loaded[directories])
        main([*networks, "--out", str(out), "--precision", "int8", "--photos", *photos])
    return out / "cspn.tflite", made[0]


@pytest.fixture(scope="module")
def int8_file(int8):
    return int8[0]


def test_int8_file_computes_in_int8_and_is_smaller(int8_file, tflite_file):
    assert int8_file.stat().st_size < 0.7 * tflite_file.stat().st_size
    assert json.loads((int8_file.parent / "cspn.json").read_text())["precision"] == "int8"
    assert json.loads((tflite_file.parent / "cspn.json").read_text())["precision"] == "float32"
    details = tf.lite.Interpreter(str(int8_file)).get_tensor_details()
    kernels = [detail for detail in details if detail["dtype"] == np.int8 and len(detail["shape"]) == 4]
    assert len(kernels) > 50
    # One scale a channel.
    assert max(len(detail["quantization_parameters"]["scales"]) for detail in kernels) > 8


def test_int8_file_scores_garments_about_as_the_float_one(int8_file, tflite_file, canvases):
    runners = [runner_of(path) for path in (int8_file, tflite_file)]
    for canvas in canvases:
        found, expected = (runner(image=canvas) for runner in runners)
        assert expected["scores"].max() > 0
        np.testing.assert_allclose(found["scores"], expected["scores"], atol=0.05)


def test_int8_networks_predict_about_the_same_keypoints_of_a_crop(int8, tiny_pipeline, canvases):
    size, crop_size = tiny_pipeline.config.canvas_size, tiny_pipeline.config.keypoints.crop_size
    windows = geometry.whole_window(size) * tf.ones([3, 1])
    crops = CanvasPyramid.of(tf.concat(canvases, axis=0)).crops(windows, crop_size, tf.range(3))
    quantized = int8[1]
    assert (quantized.precision, tiny_pipeline.precision) == ("int8", "float32")
    for one, other in zip(*(tf.nest.flatten(p.predict(crops)) for p in (quantized, tiny_pipeline)), strict=True):
        assert 0 < np.abs(one - other).mean() < 0.02 * np.ptp(other)


def test_int8_and_photos_go_together(tiny_detector, tiny_keypoints, tmp_path, photo_bytes, capsys):
    (tmp_path / "photo.jpg").write_bytes(photo_bytes[0])
    common = ["--detector", str(tiny_detector), "--keypoints", str(tiny_keypoints), "--out", str(tmp_path / "out")]
    for options in (["--precision", "int8"], ["--photos", str(tmp_path / "photo.jpg")]):
        with pytest.raises(SystemExit) as stop:
            main([*common, *options])
        assert stop.value.code == 2
        assert capsys.readouterr().err == "error: --precision int8 and --photos go together (see --help)\n"
    with pytest.raises(UserError, match=r"missing\.jpg: no such file or folder"):
        main([*common, "--precision", "int8", "--photos", str(tmp_path / "missing.jpg")])
    (tmp_path / "cut.jpg").write_bytes(photo_bytes[0][: len(photo_bytes[0]) // 2])
    with pytest.raises(UserError, match=r"cut\.jpg: could not be decoded$"):
        main([*common, "--precision", "int8", "--photos", str(tmp_path / "photo.jpg"), str(tmp_path / "cut.jpg")])
    (tmp_path / "empty").mkdir()
    assert main([*common, "--precision", "int8", "--photos", str(tmp_path / "empty")]) == 1
    assert f"{tmp_path / 'empty'}: no photo in it" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_photos_without_garments_are_no_examples(tiny_pipeline, photo_bytes, monkeypatch):
    def none_found(pyramid):
        num = pyramid.canvases.shape[0]
        return tf.zeros([num, 3, 4]), tf.zeros([num, 3, 3])

    monkeypatch.setattr(tiny_pipeline, "detect_on_canvas", none_found)
    with pytest.raises(UserError, match="no garment was found in the 3 calibration photos"):
        tiny_pipeline.quantized(photo_bytes)
