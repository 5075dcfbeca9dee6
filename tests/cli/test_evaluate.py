"""The evaluation command from end to end, on models that answer from a table instead of looking at the photo."""

import json
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

from cspn_tf import config as configs
from cspn_tf import console
from cspn_tf.cli import evaluate
from cspn_tf.data.coco import write_coco
from cspn_tf.data.samples import Sample
from cspn_tf.evaluation.inputs import Photos
from cspn_tf.evaluation.pictures import SHEET_TILE_SIZE
from cspn_tf.garment_set import Garments
from cspn_tf.garments import KEYPOINTS_OF_TYPE, GarmentType, Variation
from cspn_tf.inference import predictors
from cspn_tf.result import Result

NUM_PHOTOS, NUM_ROWS = 5, 3
KEYPOINTS = np.array([[40, 20], [60, 20], [20, 80], [80, 80], [30, 90], [70, 90], [25, 120], [75, 120]], np.float32)
BOX = (10.0, 10.0, 90.0, 130.0)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Five photos of 100 x 140: photo i is grey level 40 i and shows one garment, except that the last shows two."""
    from cspn_tf.data import shards

    root = tmp_path_factory.mktemp("photos")
    for index in range(NUM_PHOTOS):
        Image.new("RGB", (100, 140), (40 * index,) * 3).save(root / f"photo_{index}.png")
    folder = tmp_path_factory.mktemp("data")
    _, rejected = shards.write_dataset(folder, samples(root), about={"source": "by hand"})
    assert not rejected
    return folder


def samples(root):
    """Return the labels of the five photos in a folder."""
    types_ = [[1], [2], [3], [1], [1, 3]]
    return [
        Sample(
            f"photo_{index}.png",
            "test",
            Garments.concatenate(garment(GarmentType(garment_type)) for garment_type in of_photo),
            f"labels.txt:{index + 3}",
            str(root / f"photo_{index}.png"),
        )
        for index, of_photo in enumerate(types_)
    ]


def garment(garment_type):
    visibility = np.array(KEYPOINTS_OF_TYPE[garment_type], np.int32) * 2
    keypoints = KEYPOINTS * (visibility > 0)[:, np.newaxis]
    return Garments.label(garment_type, BOX, keypoints, visibility, Variation.NORMAL_POSE)


def served(garment_types, offset_x=2.0, status=0):
    """Return the served outputs of one photo with these garments, without the batch's dimension."""
    num = len(garment_types)
    outputs = {
        "status": np.int32(status),
        "image_size": np.array([140, 100] if status == 0 else [0, 0], np.int32),
        "num_garments": np.int32(num),
        "boxes": np.zeros((NUM_ROWS, 4), np.float32),
        "classes": np.zeros(NUM_ROWS, np.int32),
        "scores": np.zeros(NUM_ROWS, np.float32),
        "keypoints": np.zeros((NUM_ROWS, 8, 2), np.float32),
        "keypoint_scores": np.zeros((NUM_ROWS, 8), np.float32),
    }
    has = np.array([KEYPOINTS_OF_TYPE[t] for t in garment_types], np.float32).reshape(num, 8)
    outputs["boxes"][:num] = BOX
    outputs["classes"][:num] = garment_types
    outputs["scores"][:num] = np.linspace(0.9, 0.8, num)
    outputs["keypoints"][:num] = (KEYPOINTS + np.array([offset_x, 0], np.float32)) * has[..., np.newaxis]
    outputs["keypoint_scores"][:num] = 0.7 * has
    return outputs


# Two pixels to the right everywhere; photo 1 fails; photo 2 has a garment too many, photo 4 misses one of its two.
ANSWERS = [served([1]), served([], status=3), served([3, 2]), served([1]), served([1])]


def stacked(answers):
    return {name: np.stack([answer[name] for answer in answers]) for name in predictors.OUTPUTS}


class FakePipeline:
    """Answers like the pipeline, in the order of the photos."""

    max_photos, config = 64, configs.preset("tiny")

    def __init__(self, answers=None):
        self.answers, self.next, self.batch_sizes = answers or ANSWERS, 0, []

    def serve(self, photos):
        import tensorflow as tf

        num = int(photos.shape[0])
        batch = self.answers[self.next : self.next + num]
        self.next += num
        self.batch_sizes.append(num)
        return {name: tf.constant(value) for name, value in stacked(batch).items()}

    def keypoints_in_boxes(self, photo, boxes, garment_types):
        import tensorflow as tf

        assert photo.numpy().startswith(b"\x89PNG")
        np.testing.assert_array_equal(boxes, [BOX] * len(garment_types))
        has = tf.gather(tf.constant(KEYPOINTS_OF_TYPE), garment_types)
        return tf.constant(KEYPOINTS + [1, 0], tf.float32) * has[..., tf.newaxis], 0.6 * has


@pytest.fixture
def pipeline(monkeypatch):
    """Put a fake pipeline where the training directories' one would be loaded."""
    fake = FakePipeline()
    module = types.ModuleType("cspn_tf.inference.pipeline")
    module.load_pipeline = lambda detector_dir, keypoints_dir: fake
    monkeypatch.setitem(sys.modules, "cspn_tf.inference.pipeline", module)
    return fake


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    """A SavedModel with the contract that knows a photo by its grey level; versions 2 and 10, of which 2 is broken."""
    import tensorflow as tf

    class Model(tf.Module):
        def __init__(self):
            super().__init__()
            self.table = {name: tf.Variable(value) for name, value in stacked(ANSWERS).items()}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
        def serve(self, image_bytes):
            def read(photo):
                return tf.cast(tf.io.decode_png(photo, channels=3)[0, 0, 0], tf.int32) // 40

            return self.answer(tf.map_fn(read, image_bytes, fn_output_signature=tf.int32))

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")])
        def serve_pixels(self, images):
            return self.answer(tf.cast(images[:, 0, 0, 0], tf.int32) // 40)

        def answer(self, index):
            return {name: tf.gather(values, index) for name, values in self.table.items()}

    folder = tmp_path_factory.mktemp("saved")
    model = Model()
    signatures = {"serving_default": model.serve, "pixels": model.serve_pixels}
    tf.saved_model.save(model, str(folder / "10"), signatures=signatures)
    (folder / "2").mkdir()
    (folder / "2" / "saved_model.pb").write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def tflite_file(tmp_path_factory):
    """A TFLite file with the contract that answers the same for every canvas of 280: the photo's garment, doubled."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 280, 280, 3], tf.uint8, name="image")])
        def serve(self, image):
            answer = stacked([served([1])])
            # A photo of 100 x 140 fills the canvas's height and stands in its middle, 40 pixels in.
            answer["boxes"] = answer["boxes"] * 2 + np.array([40.5, 0.5, 40.5, 0.5], np.float32)
            answer["keypoints"] = answer["keypoints"] * 2 + np.array([40.5, 0.5], np.float32)
            zero = tf.cast(image[0, 0, 0, 0], tf.float32) * 0.0
            return {
                name: tf.constant(answer[name]) + tf.cast(zero, answer[name].dtype)
                for name in predictors.CANVAS_OUTPUTS
            }

    model = Model()
    signature = model.serve.get_concrete_function()
    content = tf.lite.TFLiteConverter.from_concrete_functions([signature], model).convert()
    path = tmp_path_factory.mktemp("tflite") / "model.tflite"
    path.write_bytes(content)
    return path


def call(*arguments):
    return console.run(evaluate.main, [str(argument) for argument in arguments])


def read(out):
    return json.loads((out / "metrics.json").read_text())


# End to end ----------------------------------------------------------------------------------------------------------


def check_numbers(scores):
    """Check what follows from ANSWERS: 6 garments, of which photo 1's and one of photo 4's are missed."""
    assert (scores["num_photos"], scores["num_failed_photos"], scores["num_garments"]) == (5, 1, 6)
    assert scores["num_keypoints"] == 6 + 4 + 8 + 6 + 6 + 8
    assert scores["detection_recall_50"]["value"] == pytest.approx(4 / 6)
    assert scores["miss_rate"]["value"] == pytest.approx(2 / 6)
    assert scores["precision_50"]["value"] == pytest.approx(4 / 5)
    assert scores["false_positives_per_photo"]["value"] == pytest.approx(1 / 5)
    assert scores["epe"]["value"] == pytest.approx(2)
    assert scores["pck_02"]["value"] == pytest.approx(26 / 38)
    assert scores["ne_longside"]["value"] == pytest.approx(2 / 120)
    assert scores["ne_garment"]["value"] == pytest.approx(2 / 60)
    assert scores["ne_bbox"]["value"] == pytest.approx(2 / 80)
    assert scores["detected_boxes"]["epe"]["overall"]["count"] == 26
    assert scores["intervals"] == {"level": 0.95, "over": "photos", "num_resamples": 1000, "seed": 0}
    for name in ("ne_garment", "ne_bbox", "ne_longside", "pck_02", "auc", "epe"):
        assert set(scores[name]) == {"value", "count", "skipped", "interval"}
    for name in ("pck_02", "detection_recall_50", "miss_rate"):
        low, high = scores[name]["interval"]
        assert low < scores[name]["value"] < high


def test_training_directories(data_dir, pipeline, tmp_path, capsys):
    out = tmp_path / "new" / "folder"
    assert call("--data", data_dir, "--detector", "d", "--keypoints", "k", "--batch-size", 2, "--out", out) == 0
    scores = read(out)
    check_numbers(scores)
    assert pipeline.batch_sizes == [2, 2, 1]
    # Given the ground-truth boxes it is off by one pixel, and only the photo that cannot be read is missed.
    truth_boxes = scores["ground_truth_boxes"]
    assert truth_boxes["epe"]["overall"]["value"] == pytest.approx(1)
    assert truth_boxes["pck_02"]["overall"]["value"] == pytest.approx(34 / 38)

    printed = capsys.readouterr().out
    assert "5 of 5 photos evaluated" in printed
    assert "PCK@0.2" in printed and "0.6842 (" in printed and str(out) in printed


def test_outputs_are_complete_and_readable(data_dir, pipeline, tmp_path):
    assert call("--data", data_dir, "--detector", "d", "--keypoints", "k", "--out", tmp_path) == 0
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    pictures = ["pictures/random.jpg", "pictures/reliability.png", "pictures/worst.jpg"]
    assert names == ["metrics.json", *pictures, "predictions.jsonl", "report.md"]
    for name in ("worst", "random"):
        with Image.open(tmp_path / "pictures" / f"{name}.jpg") as sheet:
            assert sheet.width > 4 * SHEET_TILE_SIZE
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert [line["photo"] for line in lines] == [f"photo_{index}.png" for index in range(5)]
    assert [line["status"]["code"] for line in lines] == [0, 3, 0, 0, 0]
    assert Result.from_dict(lines[2]).to_dict() == lines[2]
    assert lines[1]["garments"] == []
    first = lines[2]["garments"][0]
    assert (first["type"], first["score"], first["box_xyxy"]) == ("full-body", 0.9, list(BOX))
    assert first["keypoints"]["left_collar"] == {"x": 42.0, "y": 20.0, "score": 0.7}
    assert list(lines[2]["garments"][1]["keypoints"]) == ["left_waistline", "right_waistline", "left_hem", "right_hem"]

    report = (tmp_path / "report.md").read_text()
    low, high = read(tmp_path)["pck_02"]["interval"]
    assert f"| PCK@0.2 | higher | 0.6842 ({low:.4f} to {high:.4f}) | 38 | 0 | 0.8947 (" in report


def test_saved_model_by_its_folder_of_versions_or_one_version(data_dir, saved_model, tmp_path):
    for model in (saved_model, saved_model / "10"):
        assert call("--data", data_dir, "--model", model, "--batch-size", 3, "--out", tmp_path) == 0
        scores = read(tmp_path)
        check_numbers(scores)
        assert scores["model"].endswith("10")
        assert scores["ground_truth_boxes"] is None


def test_export_beside_what_it_was_exported_from(data_dir, saved_model, pipeline, tmp_path):
    training = ("--detector", "d", "--keypoints", "k")
    assert call("--data", data_dir, *training, "--model", saved_model, "--out", tmp_path) == 0
    scores = read(tmp_path)
    check_numbers(scores)
    assert scores["model"].endswith("10")
    # The boxes came from the export, only the keypoints in the ground-truth boxes from the training directories.
    assert pipeline.batch_sizes == []
    assert scores["ground_truth_boxes"]["epe"]["overall"]["value"] == pytest.approx(1)


def test_tflite_file_in_photo_pixels(data_dir, tflite_file, tmp_path):
    assert call("--data", data_dir, "--tflite", tflite_file, "--out", tmp_path) == 0
    scores = read(tmp_path)
    # The same upper-body garment everywhere: right in photos 0, 3 and 4.
    assert scores["detection_recall_50"]["value"] == pytest.approx(3 / 6)
    assert scores["epe"]["value"] == pytest.approx(2, abs=1e-4)
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert lines[0]["image_size"] == {"height": 140, "width": 100}
    assert lines[0]["garments"][0]["box_xyxy"] == list(BOX)


def test_tflite_predictor_zeroes_padding_and_photos_that_cannot_be_read(data_dir, tflite_file):
    photo = next(iter(Photos(data_dir, "test"))).photo_bytes
    outputs = predictors.from_tflite(tflite_file).predict([b"no photo", photo])
    assert set(outputs) == set(predictors.OUTPUTS)
    assert outputs["status"].tolist()[1] == 0 and outputs["status"][0] != 0
    assert outputs["num_garments"].tolist() == [0, 1]
    for name in ("image_size", "boxes", "classes", "scores", "keypoints", "keypoint_scores"):
        assert not outputs[name][0].any()
    for name in ("boxes", "classes", "scores", "keypoints", "keypoint_scores"):
        assert outputs[name][1, 0].any() and not outputs[name][1, 1:].any()
        assert outputs[name].dtype == (np.int32 if name == "classes" else np.float32)
    assert not outputs["keypoints"][1, 0, 4:6].any()


@pytest.mark.parametrize(("limit", "photos", "garments"), [(2, 2, 2), (100, 5, 6)])
def test_limit_takes_the_first_photos(data_dir, saved_model, tmp_path, limit, photos, garments):
    arguments = ("--data", data_dir, "--model", saved_model, "--limit", limit, "--num-pictures", 0, "--out", tmp_path)
    assert call(*arguments) == 0
    assert (read(tmp_path)["num_photos"], read(tmp_path)["num_garments"]) == (photos, garments)
    assert not (tmp_path / "pictures").exists()


def test_quarter_turns_turn_the_photos_and_say_so(data_dir, saved_model, tmp_path):
    arguments = ("--data", data_dir, "--model", saved_model, "--quarter-turns", 1, "--out", tmp_path)
    assert call(*arguments) == 0
    # The model knows photos by their grey level, and answers for those that are not turned: boxes of IoU 0.44 each.
    assert read(tmp_path)["quarter_turns"] == 1 and read(tmp_path)["detection_recall_50"]["value"] == 0.0
    assert "- photos turned by 90 degrees counter-clockwise" in (tmp_path / "report.md").read_text()


def test_pictures_of_an_earlier_run_do_not_stay(data_dir, saved_model, tmp_path):
    call_ = ("--data", data_dir, "--model", saved_model, "--out", tmp_path)
    assert call(*call_, "--limit", 2) == 0
    (tmp_path / "pictures" / "mine.jpg").touch()
    assert len(list((tmp_path / "pictures").iterdir())) == 4
    assert call(*call_, "--limit", 1, "--num-pictures", 0) == 0
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["mine.jpg"]


# Predictions of a file -----------------------------------------------------------------------------------------------


def as_results(answers):
    """Return served outputs, one photo each, as COCO results of images 1, 2 and so on."""
    results = []
    for image_id, answer in enumerate(answers, start=1):
        for row in range(int(answer["num_garments"])):
            x_min, y_min, x_max, y_max = answer["boxes"][row].astype(float).tolist()
            keypoints = np.concatenate([answer["keypoints"][row], answer["keypoint_scores"][row][:, np.newaxis]], 1)
            results.append(
                {
                    "image_id": image_id,
                    "category_id": int(answer["classes"][row]),
                    "score": float(answer["scores"][row]),
                    "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
                    "keypoints": keypoints.astype(float).ravel().tolist(),
                }
            )
    return results


@pytest.fixture
def truth_file(tmp_path):
    path = tmp_path / "labels.test.json"
    write_coco(path, [(sample, 140, 100) for sample in samples(tmp_path)])
    return path


def write_results(tmp_path, results):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    return path


def test_predictions_of_a_file(truth_file, tmp_path, capsys):
    results, out = write_results(tmp_path, as_results(ANSWERS)), tmp_path / "out"
    out.mkdir()
    (out / "predictions.jsonl").touch()  # of `predict`
    for _ in range(2):
        assert call("--truth", truth_file, "--predictions", results, "--out", out) == 0
        assert sorted(path.name for path in out.iterdir()) == ["metrics.json", "predictions.jsonl", "report.md"]
    scores = read(out)
    # A photo that was not answered and one without a garment are the same here.
    assert scores["num_failed_photos"] == 0
    check_numbers({**scores, "num_failed_photos": 1})
    assert (scores["truth"], scores["predictions"]) == ([str(truth_file)], str(results))
    assert (scores["num_boxes_from_keypoints"], scores["num_repeated_annotations"]) == (0, 0)
    assert scores["ground_truth_boxes"] is None
    report = (out / "report.md").read_text()
    assert f"# Evaluation of `{results}`" in report and str(truth_file) in report
    printed = capsys.readouterr().out
    assert "5 images, 6 garments, 38 labelled keypoints" in printed and "0.6842 (" in printed


def test_both_ways_give_the_same_numbers(data_dir, truth_file, pipeline, tmp_path):
    random = np.random.default_rng(0)
    pipeline.answers = [served([1]), served([2, 2]), served([3, 2]), served([]), served([1, 1, 3])]
    for answer in pipeline.answers:
        num = int(answer["num_garments"])
        answer["boxes"][:num] += random.normal(0, 3, (num, 4))
        answer["keypoints"][:num] += random.normal(0, 9, (num, 8, 2)) * (answer["keypoint_scores"][:num, :, None] > 0)
        answer["scores"][:num] = np.sort(random.uniform(0.3, 1, num))[::-1]
    assert call("--data", data_dir, "--detector", "d", "--keypoints", "k", "--out", tmp_path / "photos") == 0
    results = write_results(tmp_path, as_results(pipeline.answers))
    assert call("--truth", truth_file, "--predictions", results, "--out", tmp_path / "file") == 0

    photos, file = read(tmp_path / "photos"), read(tmp_path / "file")
    about = {"data", "split", "quarter_turns", "model", "ground_truth_boxes"}
    assert 0 < file["detection_recall_50"]["value"] < 1 and 0 < file["keypoint_detection"]["ap"] < 1
    for name in photos.keys() - about:
        assert photos[name] == file[name], name


def test_results_without_a_box_are_counted(truth_file, tmp_path):
    entries = as_results(ANSWERS)
    for entry in entries[:2]:
        del entry["bbox"]
    results = write_results(tmp_path, entries)
    assert call("--truth", truth_file, "--predictions", results, "--out", tmp_path / "out") == 0
    scores = read(tmp_path / "out")
    assert scores["num_boxes_from_keypoints"] == 2
    assert "because the result has none: 2" in (tmp_path / "out" / "report.md").read_text()
    # From (22, 20) to (82, 120) it overlaps the ground-truth box by 6000 / 9600, enough to be found.
    assert scores["detection_recall_50"]["value"] == pytest.approx(4 / 6)


def test_several_files_of_labels(tmp_path):
    of_photos = samples(tmp_path)
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    write_coco(files[0], [(sample, 140, 100) for sample in of_photos[:3]])
    write_coco(files[1], [(sample, 140, 100) for sample in of_photos[3:]])
    labels = json.loads(files[1].read_text())
    for entry in labels["images"]:
        entry["id"] += 3
    for entry in labels["annotations"]:
        entry["image_id"] += 3
    files[1].write_text(json.dumps(labels))
    results = write_results(tmp_path, as_results(ANSWERS))
    assert call("--truth", *files, "--predictions", results, "--out", tmp_path / "out") == 0
    check_numbers({**read(tmp_path / "out"), "num_failed_photos": 1})


def test_photos_without_labels_stay_in(truth_file, tmp_path):
    labels = json.loads(truth_file.read_text())
    labels["images"].append({"id": 6, "file_name": "empty.png"})
    truth_file.write_text(json.dumps(labels))
    entries = as_results([*ANSWERS, served([1, 2])])
    assert call("--truth", truth_file, "--predictions", write_results(tmp_path, entries), "--out", tmp_path / "o") == 0
    scores = read(tmp_path / "o")
    assert (scores["num_photos"], scores["num_garments"], scores["num_detections"]) == (6, 6, 7)
    assert scores["precision_50"]["value"] == pytest.approx(4 / 7)
    assert scores["false_positives_per_photo"]["value"] == pytest.approx(3 / 6)


def test_the_seed_decides_the_intervals(truth_file, tmp_path):
    answers = [served([1], 1), served([2], 5), served([3], 9), served([1], 3), served([1, 3], 7)]
    results = write_results(tmp_path, as_results(answers))
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        call("--truth", truth_file, "--predictions", results, "--seed", seed, "--out", tmp_path / name)
    first, again, other = (read(tmp_path / name) for name in "abc")
    assert first == again and first["intervals"]["seed"] == 1
    assert first["epe"]["value"] == other["epe"]["value"]
    assert first["epe"]["interval"] != other["epe"]["interval"]


def test_files_are_measured_without_tensorflow(truth_file, tmp_path):
    results = write_results(tmp_path, as_results(ANSWERS))
    program = f"""
import sys
from cspn_tf.cli import evaluate
evaluate.main(["--truth", {str(truth_file)!r}, "--predictions", {str(results)!r}, "--out", {str(tmp_path / "o")!r}])
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


# What goes wrong -----------------------------------------------------------------------------------------------------


def error_of(capsys):
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    return lines[0]


DATA, FILES = ("--data", "d"), ("--truth", "t.json", "--predictions", "p.json")


@pytest.mark.parametrize(
    "arguments",
    [
        (*DATA, "--detector", "d"),
        (*DATA, "--keypoints", "k"),
        (*DATA, "--detector", "d", "--keypoints", "k", "--model", "m", "--tflite", "t"),
        (*DATA, "--model", "m", "--tflite", "t"),
        (*DATA, "--model", "m", "--split", "rest"),
        (*DATA, "--model", "m", "--batch-size", "0"),
        (*DATA, "--model", "m", "--num-pictures", "-1"),
        (*DATA, "--model", "m", "--num-pictures", "501"),
        ("--model", "m"),
        ("--truth", "t.json"),
        ("--predictions", "p.json"),
        (*FILES, "--data", "d"),
        (*FILES, "--model", "m"),
        (*FILES, "--detector", "d", "--keypoints", "k"),
        (*FILES, "--split", "val"),
        (*FILES, "--limit", "3"),
        (*FILES, "--num-pictures", "0"),
    ],
)
def test_a_wrong_call_exits_with_two(tmp_path, capsys, arguments):
    with pytest.raises(SystemExit) as error:
        call("--out", tmp_path / "out", *arguments)
    assert error.value.code == 2
    assert error_of(capsys).startswith("error: ")
    assert not (tmp_path / "out").exists()


def test_an_out_that_is_a_file_exits_with_two(data_dir, saved_model, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert call("--data", data_dir, "--model", saved_model, "--out", tmp_path / "file") == 2
    assert "is a file" in error_of(capsys)


def test_a_wrong_result_is_named_and_nothing_is_written(truth_file, tmp_path, capsys):
    entries = as_results(ANSWERS)
    entries[1]["image_id"] = 99
    results = write_results(tmp_path, entries)
    assert call("--truth", truth_file, "--predictions", results, "--out", tmp_path / "out") == 1
    assert error_of(capsys) == f"error: {results}: entry 1: image_id 99 is not a labelled image"
    assert not (tmp_path / "out").exists()


def test_wrong_labels_are_named(truth_file, tmp_path, capsys):
    results = write_results(tmp_path, [])

    def error_with(labels):
        truth_file.write_text(json.dumps(labels))
        assert call("--truth", truth_file, "--predictions", results, "--out", tmp_path / "out") == 1
        assert not (tmp_path / "out").exists()
        return error_of(capsys)

    labels = json.loads(truth_file.read_text())
    assert error_with({**labels, "images": [], "annotations": []}).endswith("labels.test.json: no images to score")
    labels["annotations"][2]["bbox"] = [1, 2, 0, 4]
    assert error_with(labels).endswith("labels.test.json: annotation 3: box 1 2 1 6 has no area")
    labels["annotations"][0]["image_id"] = 77
    assert "annotation" in error_with(labels)
    results = tmp_path / "nowhere.json"
    assert call("--truth", tmp_path / "no.json", "--predictions", results, "--out", tmp_path / "out") == 1
    assert "no.json: cannot be read: No such file" in error_of(capsys)


@pytest.mark.parametrize("option", ["--model", "--tflite"])
def test_what_is_no_model_exits_with_one_and_is_named(data_dir, tmp_path, capsys, option):
    wrong = tmp_path / "wrong"
    assert call("--data", data_dir, option, wrong, "--out", tmp_path / "out") == 1
    assert str(wrong) in error_of(capsys)
    wrong.mkdir()
    (wrong / "saved_model.pb").write_bytes(b"broken")
    (tmp_path / "file").write_bytes(b"broken")
    path = tmp_path / "file" if option == "--tflite" else wrong
    assert call("--data", data_dir, option, path, "--out", tmp_path / "out") == 1
    assert str(path) in error_of(capsys)
    assert not (tmp_path / "out").exists()


def test_a_saved_model_of_another_contract_is_refused(tmp_path):
    import tensorflow as tf

    model = tf.Module()
    model.serve = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    tf.saved_model.save(model, str(tmp_path / "1"), signatures={"serving_default": model.serve})
    with pytest.raises(console.UserError, match="must have a signature serving_default from image_bytes to status"):
        predictors.from_saved_model(tmp_path)


def test_what_is_no_dataset_exits_with_one(saved_model, data_dir, tmp_path, capsys):
    assert call("--data", tmp_path, "--model", saved_model, "--out", tmp_path / "out") == 1
    assert "is not a prepared dataset" in error_of(capsys)
    assert call("--data", data_dir, "--split", "val", "--model", saved_model, "--out", tmp_path / "out") == 1
    assert "no photos in split 'val'" in error_of(capsys)
    assert not (tmp_path / "out").exists()


def test_an_answer_that_is_not_a_number_is_named(data_dir, pipeline, tmp_path, capsys):
    pipeline.answers = [served([1]), served([2]), served([3], offset_x=np.nan), served([1]), served([1])]
    assert call("--data", data_dir, "--detector", "d", "--keypoints", "k", "--out", tmp_path / "out") == 1
    assert error_of(capsys).endswith("keypoints must be finite, received NaN or infinity")
    assert not (tmp_path / "out").exists()
