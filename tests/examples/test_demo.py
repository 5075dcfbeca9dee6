import json

import pytest
from PIL import Image

from cspn_tf.console import UserError, run
from examples import demo


@pytest.fixture
def steps(monkeypatch):
    """The commands that the demo runs, which here only leave what the next one looks for."""
    taken = []

    def step(title, module, *arguments):
        taken.append(module)
        options = dict(zip(arguments[::2], arguments[1::2], strict=False))
        out = options["--out"]
        if module == "training.prepare":
            out.mkdir(parents=True)
            (out / "dataset.json").write_text("{}")
        elif module.startswith("training.train_"):
            out.mkdir(parents=True)
            history = [{"epoch": epoch + 1} for epoch in range(options["--epochs"])]
            (out / "history.json").write_text(json.dumps(history))
        elif module == "serving.export_saved_model":
            (out / "1").mkdir(parents=True)
        elif module == "serving.export_tflite":
            out.mkdir(parents=True)
            (out / "cspn.tflite").write_bytes(b"")
        else:
            out.mkdir(parents=True)
            (out / "metrics.json").write_text("{}")

    monkeypatch.setattr(demo, "_step", step)
    return taken


ALL_STEPS = [
    "training.prepare",
    "training.train_detector",
    "training.train_keypoints",
    "serving.export_saved_model",
    "serving.export_tflite",
    "training.evaluate",
]


def train_and_build(out):
    demo.train(out)
    demo.build(out, True)


def test_second_run_leaves_out_what_stands(steps, tmp_path):
    train_and_build(tmp_path)
    assert steps == ALL_STEPS
    train_and_build(tmp_path)
    assert steps == ALL_STEPS


def test_run_goes_on_in_the_middle_of_a_training(steps, tmp_path):
    train_and_build(tmp_path)
    steps.clear()
    (tmp_path / "keypoints" / "history.json").write_text(json.dumps([{"epoch": 1}]))
    (tmp_path / "keypoints").rename(tmp_path / "moved")
    train_and_build(tmp_path)
    assert steps == ["training.train_keypoints"]


def test_without_a_training_it_exports_what_comes_with_the_package(steps, tmp_path):
    demo.build(tmp_path, False)
    assert steps == ["serving.export_saved_model", "serving.export_tflite"]


def test_photos_are_drawn_once(tmp_path):
    photos = demo.drawn_photos(tmp_path)
    assert len(photos) == demo.NUM_PHOTOS_DRAWN
    assert all(Image.open(photo).format == "JPEG" for photo in photos)
    times = [photo.stat().st_mtime_ns for photo in photos]
    assert [photo.stat().st_mtime_ns for photo in demo.drawn_photos(tmp_path)] == times


def test_failing_step_is_named(tmp_path):
    with pytest.raises(UserError, match=r"python -m training\.prepare ended with exit code 2"):
        demo._step("Prepare", "training.prepare", "--no-such-flag")


def test_photo_that_is_not_there_is_named_before_anything_is_done(tmp_path, capsys):
    assert run(demo.main, ["--out", str(tmp_path / "demo"), "--photos", str(tmp_path / "no.jpg")]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path / 'no.jpg'}: no such photo\n"
    assert not (tmp_path / "demo").exists()


ANSWERS = [
    {
        "photo": "a/one.jpg",
        "status": {"code": 0, "meaning": "ok"},
        "image_size": {"height": 40, "width": 30},
        "garments": [
            {
                "type": "lower-body",
                "class_id": 2,
                "score": 0.913,
                "box_xyxy": [1.2, 2.0, 20.6, 38.0],
                "keypoints": {
                    "left_waistline": {"x": 3.4, "y": 2.6, "score": 0.9},
                    "right_hem": {"x": 19.0, "y": 37.0, "score": 0.8},
                },
            }
        ],
    },
    {"photo": "b/two.png", "status": {"code": 1, "meaning": "not a JPEG or PNG"}, "garments": []},
]


def test_table_has_a_row_a_garment_and_says_why_there_is_none():
    _, garment, nothing = demo.garment_table(ANSWERS).splitlines()
    assert garment.split() == ["one.jpg", "lower-body", "0.91", "1", "2", "21", "38", "LW", "3,3", "RH", "19,37"]
    assert nothing.split(maxsplit=1) == ["two.png", "none (not a JPEG or PNG)"]


def test_contact_sheet_holds_the_pictures_there_are(tmp_path):
    Image.new("RGB", (30, 40), (200, 30, 30)).save(tmp_path / "one.keypoints.jpg")
    demo.write_contact_sheet(tmp_path, ANSWERS)
    colours = Image.open(tmp_path / demo.CONTACT_SHEET).convert("RGB").getcolors(2**20)
    assert max(count for count, (red, green, _) in colours if red > 150 and green < 80) > 100


def test_contact_sheet_of_many_photos_has_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "_MOST_ON_SHEET", 1)
    for name, colour in (("one", (200, 30, 30)), ("two", (30, 30, 200))):
        Image.new("RGB", (30, 40), colour).save(tmp_path / f"{name}.keypoints.jpg")
    demo.write_contact_sheet(tmp_path, [{**ANSWERS[0], "photo": name} for name in ("one.jpg", "two.jpg")])
    colours = Image.open(tmp_path / demo.CONTACT_SHEET).convert("RGB").getcolors(2**20)
    assert sum(count for count, (red, _, blue) in colours if red > 150 and blue < 80) > 100
    assert sum(count for count, (red, _, blue) in colours if blue > 150 and red < 80) == 0


def test_contact_sheet_has_the_pictures_of_photos_of_one_name(tmp_path):
    answers = [{**ANSWERS[0], "photo": f"{folder}/one.jpg"} for folder in "ab"]
    Image.new("RGB", (30, 40), (200, 30, 30)).save(tmp_path / "one.keypoints.jpg")
    Image.new("RGB", (30, 40), (30, 30, 200)).save(tmp_path / "one-2.keypoints.jpg")
    demo.write_contact_sheet(tmp_path, answers)
    colours = Image.open(tmp_path / demo.CONTACT_SHEET).convert("RGB").getcolors(2**20)
    for first, second in ((0, 2), (2, 0)):
        assert sum(count for count, colour in colours if colour[first] > 150 and colour[second] < 80) > 100


def test_the_phone_file_is_timed_in_both_of_its_runtimes(fake_tflite, fake_photos, tmp_path, capfd):
    (tmp_path / "phone").mkdir()
    (tmp_path / "phone" / "cspn.tflite").symlink_to(fake_tflite)
    (tmp_path / "photo.png").write_bytes(fake_photos[0])
    capfd.readouterr()  # the converter has its say
    demo.time_on_phone_runtime(tmp_path, [])
    demo.time_on_phone_runtime(tmp_path, [tmp_path / "photo.png"])
    lines = capfd.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["TFLite file in tf.lite", "TFLite file in ai-edge-litert"]
    assert all(line.endswith(" ms per photo, median") for line in lines)
