"""End-to-end demo on a small scale: export a model, serve it, send it photos, and draw the predictions.

    python -m examples.demo [--photos FILE_OR_FOLDER...]     with the pair that comes with the package
    python -m examples.demo --train                          train a pair on synthetic clothes first

Every step is one of the project's commands, printed as it runs. A step whose result exists is skipped, so an
interrupted demo resumes where it stopped, and a second run only serves and predicts.

Files it writes::

    drawn/               synthetic photos, without --photos; with --train the dataset, laid out as DeepFashion FLD
    models/cspn/1/       the SavedModel
    phone/cspn.tflite    the TensorFlow Lite file
    pictures/            overlays and contact_sheet.jpg
    predictions.jsonl

and with --train

::

    data/                the dataset as TFRecords
    detector/, keypoints/    training runs
    evaluation/          report of the test split, through the SavedModel
"""

import functools
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

from cspn_tf.cli.photo_paths import find_photos
from cspn_tf.console import Parser, UserError, run
from cspn_tf.contract import PICTURE_SUFFIX
from cspn_tf.files import write_picture
from cspn_tf.garments import KEYPOINT_ABBREVIATIONS, KEYPOINT_NAMES
from cspn_tf.models import checkpoints

# Chosen so that the demo takes less than a quarter of an hour on two cores and reaches the accuracy in the README.
NUM_TRAIN, NUM_VAL, NUM_TEST, SEED = 1600, 80, 200, 1
DETECTOR_EPOCHS, KEYPOINT_EPOCHS = 3, 4
# Fewer hard photos than in FLD: so short a training on so little data does not learn them.
VARIATIONS = "normal-pose=5,medium-pose=4,large-pose=1,medium-zoom-in=2,large-zoom-in=0.5"
NUM_PHOTOS_SENT, NUM_PHOTOS_DRAWN = 24, 12
CONTACT_SHEET = "contact_sheet.jpg"
_MOST_ON_SHEET = 120

_ABBREVIATIONS = dict(zip(KEYPOINT_NAMES, KEYPOINT_ABBREVIATIONS, strict=True))


def main(argv=None):
    """Run the demo and print where its results are."""
    parser = Parser(any_names=("photos",), description="Export a model, serve it, and send it photos.")
    parser.add_argument("--out", metavar="DIR", help="output folder (default: out/demo, or out/demo-train)")
    parser.add_argument(
        "--photos", nargs="+", default=[], metavar="FILE_OR_FOLDER", help="photos to send (default: synthetic ones)"
    )
    parser.add_argument("--train", action="store_true", help="train on synthetic clothes, and send its test photos")
    arguments = parser.parse_args(argv)
    out = Path(arguments.out or ("out/demo-train" if arguments.train else "out/demo"))
    photos, failed = find_photos(arguments.photos)
    missing = [photo for photo in photos if not Path(photo).is_file()]
    if missing or failed:
        raise UserError(f"{(missing or failed)[0]}: no such photo")
    start = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    if arguments.train:
        train(out)
    build(out, arguments.train)
    show(out, [Path(photo) for photo in photos] or drawn_photos(out))
    print(f"\ndone in {(time.monotonic() - start) / 60:.1f} minutes")


def train(out: Path) -> None:
    """Prepare the dataset and train both networks, skipping what exists already."""
    from cspn_tf.train.fitting import read_history

    data = out / "data"
    if not (data / "dataset.json").exists():
        _step(
            "Render photos of clothes, labelled like DeepFashion FLD, and prepare TFRecords",
            *("training.prepare", "--source", "synthetic", "--root", out / "drawn", "--out", data),
            *("--num-train", NUM_TRAIN, "--num-val", NUM_VAL, "--num-test", NUM_TEST, "--seed", SEED),
            *("--variations", VARIATIONS),
        )
    for name, title, epochs in (
        ("detector", "detector", DETECTOR_EPOCHS),
        ("keypoints", "keypoint network", KEYPOINT_EPOCHS),
    ):
        if len(read_history(out / name)) < epochs:
            _step(
                f"Train the {title}",
                *(f"training.train_{name}", "--data", data, "--preset", "mobile", "--out", out / name),
                *("--epochs", epochs, "--seed", SEED, "--resume"),
            )


def build(out: Path, trained: bool) -> None:
    """Export the model, and evaluate it if it was trained here, skipping what exists already."""
    model, phone, evaluation = out / "models" / "cspn", out / "phone", out / "evaluation"
    networks = ("--detector", out / "detector", "--keypoints", out / "keypoints") if trained else ()
    if not (model / "1").exists():
        _step("Export one SavedModel", "serving.export_saved_model", *networks, "--out", model, "--version", 1)
    if not (phone / "cspn.tflite").exists():
        _step("Export one TensorFlow Lite file", "serving.export_tflite", *networks, "--out", phone)
    if trained and not (evaluation / "metrics.json").exists():  # written last
        _step(
            "Evaluate the SavedModel on the test split",
            *("training.evaluate", "--data", out / "data", "--split", "test", "--model", model, "--out", evaluation),
        )


def show(out: Path, photos: list[Path]) -> None:
    """Serve the model, send it photos, and print and draw the predictions."""
    from cspn_tf.serve.local_server import running_server

    pictures, predictions = out / "pictures", out / "predictions.jsonl"
    # What an earlier demo left, which may have been about other photos.
    for path in (pictures / "predictions.partial.jsonl", *pictures.glob(f"*{PICTURE_SUFFIX}")):
        path.unlink(missing_ok=True)
    print("\n== Serve it over gRPC and send photos with the client", flush=True)
    with running_server(out / "models" / "cspn") as address:
        command = ["serving.client", "--server", address, "--out", str(pictures), "--draw", *map(str, photos)]
        print(f"   python -m {shlex.join(command[:6])} {len(photos)} photos", flush=True)
        answered = subprocess.run([sys.executable, "-m", *command], stdout=subprocess.DEVNULL, check=False)
    if not (pictures / predictions.name).exists():
        raise UserError("the client did not finish, see above")
    (pictures / predictions.name).replace(predictions)
    answers = [json.loads(line) for line in predictions.read_text().splitlines()]
    print(garment_table(answers))
    write_contact_sheet(pictures, answers)
    time_on_phone_runtime(out, [Path(answer["photo"]) for answer in answers if answer["status"]["code"] == 0])
    metrics = out / "evaluation" / "metrics.json"
    if metrics.exists():
        from cspn_tf.evaluation.report import main_table

        print(f"\n== The test split, synthetic photos\n\n{main_table(json.loads(metrics.read_text()))}")
    print(f"\npictures     {pictures}/, all on one: {pictures / CONTACT_SHEET}")
    print(f"predictions  {predictions}")
    if metrics.exists():
        print(f"metrics      {metrics}, in all slices: {metrics.with_name('report.md')}")
    else:
        print(f"model card   {checkpoints.SHIPPED_PAIR.parent / 'MODEL_CARD.md'}")
    print(f"model        {out / 'models' / 'cspn' / '1'}, for phones: {out / 'phone' / 'cspn.tflite'}")
    if answered.returncode:
        raise UserError("some photos failed, see above")


def drawn_photos(out: Path) -> list[Path]:
    """Return synthetic photos: those of the training's test split, or a few that are rendered on the first run."""
    drawn = out / "drawn"
    if not drawn.exists():
        from cspn_tf.data.synthetic import write_synthetic_dataset

        write_synthetic_dataset(drawn, num_train=0, num_val=0, num_test=NUM_PHOTOS_DRAWN, seed=SEED)
    rows = (drawn / "Eval" / "list_eval_partition.txt").read_text().splitlines()[2:]
    names = [row.split()[0] for row in rows if row.split()[1] == "test"]
    return [drawn / name for name in names[:NUM_PHOTOS_SENT]]


def _step(title, module, *arguments):
    """Print one command of the project and run it; raise `UserError` if it fails."""
    arguments = [str(argument) for argument in arguments]
    print(f"\n== {title}\n   python -m {shlex.join([module, *arguments])}", flush=True)
    start = time.monotonic()
    result = subprocess.run([sys.executable, "-m", module, *arguments], check=False)
    if result.returncode:
        raise UserError(
            f"python -m {module} ended with exit code {result.returncode}; run the demo again to resume there"
        )
    print(f"   {time.monotonic() - start:.0f} s", flush=True)


def garment_table(answers: list[dict]) -> str:
    """Return the client's predictions as a text table, one row per garment."""
    rows = [f"{'photo':24} {'garment':11} {'score':>5}  {'box':22} keypoints"]
    for answer in answers:
        name = Path(answer["photo"]).name[:24]
        if not answer["garments"]:
            rows.append(f"{name:24} none ({answer['status']['meaning']})")
        for garment in answer["garments"]:
            box = " ".join(f"{side:.0f}" for side in garment["box_xyxy"])
            points = "  ".join(
                f"{_ABBREVIATIONS[name]} {point['x']:.0f},{point['y']:.0f}"
                for name, point in garment["keypoints"].items()
            )
            rows.append(f"{name:24} {garment['type']:11} {garment['score']:5.2f}  {box:22} {points}")
    return "\n".join(rows)


def write_contact_sheet(pictures: Path, answers: list[dict]) -> None:
    """Combine the overlays of the photos, or of the first of many, in one contact sheet."""
    from PIL import Image

    from cspn_tf.cli.answers import name_pictures
    from cspn_tf.drawing import contact_sheet

    paths = name_pictures([answer["photo"] for answer in answers], pictures)
    drawn = {photo: path for photo, path in paths.items() if path.exists()}
    if drawn:
        shown = list(drawn.items())[:_MOST_ON_SHEET]
        sheet = contact_sheet([Image.open(path) for _, path in shown], 6, 320, [Path(photo).name for photo, _ in shown])
        write_picture(pictures / CONTACT_SHEET, sheet, quality=90)


def time_on_phone_runtime(out: Path, photos: list[Path]) -> None:
    """Run the TensorFlow Lite file on one photo's canvas in both runtimes, and print the latency."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    from cspn_tf.config import Config
    from cspn_tf.inference.predictors import tflite_function
    from cspn_tf.pillow_photos import as_served
    from cspn_tf.resampling import read_photo
    from cspn_tf.timing import measure_in_turns

    if not photos:
        return
    runners = {}
    for name, runtime in (("tf.lite", tf.lite.Interpreter), ("ai-edge-litert", Interpreter)):
        find, canvas_size = tflite_function(out / "phone" / "cspn.tflite", make_interpreter=runtime)
        canvas = read_photo(as_served(photos[0].read_bytes()), canvas_size, Config.max_pixels)[0].numpy()
        runners[name] = functools.partial(find, canvas[None])
    for name, timing in measure_in_turns(runners, repeats=15, num_warmup=3).items():
        print(f"TFLite file in {name}: {timing.median:.1f} ms per photo, median", flush=True)


if __name__ == "__main__":
    sys.exit(run(main))
