"""Train YOLO-pose on garments for a given time, and write its predictions on test photos for `cspn-tf evaluate`.

    .venv-peers/bin/python -m benchmarks.yolo_accuracy --photos out/mobile/photos --model yolo11n-pose --size 320 \\
        --minutes 30 --out out/yolo/11n-320 \\
        --train training/labels/*.train.json --val training/labels/*.val.json --test training/labels/*.test.json
    cspn-tf evaluate --truth training/labels/street.test.json --out out/yolo/report \\
        --predictions out/yolo/11n-320/street.test.results.json

For the environment of `make .venv-peers/installed`. Ultralytics is AGPL-3.0: nothing in cspn-tf imports it or this
script. The network is built from its yaml with random weights, since the package ships none. Augmentation and
learning-rate schedule are Ultralytics' defaults. Run the same command to resume after an interruption.

Writes into --out: `dataset/` (symlinks to the photos, and labels in YOLO format), `run/` (Ultralytics' output), for
each test file `<name>.results.json` in COCO results format, and `training.json` (model, settings, duration). YOLO26
also has a head without suppression of duplicates: its predictions are `<name>.nms-free.results.json`.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ |= {"YOLO_OFFLINE": "True", "YOLO_AUTOINSTALL": "False"}

FLIPPED = [1, 0, 3, 2, 5, 4, 7, 6]
TYPES = ("upper-body", "lower-body", "full-body")


def main():
    """Train, predict, write."""
    parser = argparse.ArgumentParser(description="Train YOLO-pose on garments for a given time.")
    parser.add_argument("--photos", type=Path, required=True, help="folder that the labels' file names are relative to")
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="COCO keypoints to train on")
    parser.add_argument("--val", type=Path, nargs="+", required=True, help="COCO keypoints to select the epoch on")
    parser.add_argument("--test", type=Path, nargs="+", required=True, help="COCO keypoints of the photos to predict")
    parser.add_argument("--model", default="yolo11n-pose", help="name of Ultralytics' yaml, without its suffix")
    parser.add_argument("--size", type=int, default=320, help="side of the input, pixels")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, help="training time, on a machine that does nothing else")
    length.add_argument("--epochs", type=int, help="number of epochs, for a machine that has other work")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--confidence", type=float, default=0.05, help="detections below are not written")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    description = write_dataset(args.out / "dataset", args.photos, {"train": args.train, "val": args.val})
    finished = args.out / "training.json"
    if not finished.exists():
        write(finished, train(args, description))
    has_nms_free_head = hasattr(best_model(args.out).model.model[-1], "one2one_cv2")
    for suffix, nms in {"": None, ".nms-free": False}.items() if has_nms_free_head else [("", None)]:
        model = best_model(args.out)  # anew: a model that has predicted keeps its head
        for path in args.test:
            write(args.out / f"{path.stem}{suffix}.results.json", predict(model, path, args, nms))


def write_dataset(folder, photos, files) -> Path:
    """Write the dataset in Ultralytics' layout, with photos as symlinks; return the path of its yaml description."""
    for split, paths in files.items():
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
        for path in paths:
            labels = json.loads(path.read_text())
            rows = {image["id"]: [] for image in labels["images"]}
            sizes = {image["id"]: _size(photos, image) for image in labels["images"]}
            for annotation in labels["annotations"]:
                rows[annotation["image_id"]].append(_row(annotation, *sizes[annotation["image_id"]]))
            for image in labels["images"]:
                name = f"{path.stem}-{image['id']}"
                link = folder / "images" / split / f"{name}{Path(image['file_name']).suffix}"
                if not link.exists():
                    link.symlink_to((photos / image["file_name"]).resolve())
                (folder / "labels" / split / f"{name}.txt").write_text("".join(rows[image["id"]]))
    description = folder / "garments.yaml"
    names = "".join(f"  {number}: {name}\n" for number, name in enumerate(TYPES))
    description.write_text(
        f"path: {folder.resolve()}\ntrain: images/train\nval: images/val\nkpt_shape: [8, 3]\nflip_idx: {FLIPPED}\n"
        f"names:\n{names}"
    )
    return description


def _size(photos, image):
    if "width" in image:
        return image["width"], image["height"]
    from PIL import Image, ImageOps

    return ImageOps.exif_transpose(Image.open(photos / image["file_name"])).size


def _row(annotation, width, height):
    """Return a line of a YOLO label file: class, centre and size of the box, keypoints; relative to the photo size."""
    x, y, w, h = annotation["bbox"]
    # Integer coordinates are pixel centres in our labels, and pixel edges in YOLO's.
    numbers = [(x + w / 2 + 0.5) / width, (y + h / 2 + 0.5) / height, (w + 1) / width, (h + 1) / height]
    points = annotation["keypoints"]
    for x, y, visibility in zip(points[::3], points[1::3], points[2::3], strict=True):
        numbers += [(x + 0.5) / width, (y + 0.5) / height, visibility] if visibility else [0, 0, 0]
    return " ".join([str(annotation["category_id"] - 1), *(f"{min(max(n, 0), 2):.6g}" for n in numbers)]) + "\n"


def train(args, description):
    """Train for the given time; return a description of the training."""
    import torch
    import ultralytics

    def use_all_threads(_):  # Ultralytics' default leaves one core idle
        torch.set_num_threads(args.threads)

    yaml = args.out / f"{args.model}.yaml"
    yaml.write_text(_yaml_of(ultralytics, args.model))
    interrupted = args.out / "run" / "train" / "weights" / "last.pt"
    model = ultralytics.YOLO(str(interrupted if interrupted.exists() else yaml))
    model.add_callback("on_train_start", use_all_threads)
    start = time.monotonic()
    model.train(
        resume=interrupted.exists(),
        data=str(description),
        imgsz=args.size,
        **({"epochs": args.epochs} if args.epochs else {"time": args.minutes / 60}),
        cache="ram",
        batch=args.batch,
        device="cpu",
        amp=False,
        pretrained=False,
        workers=0,
        plots=False,
        seed=1,
        project=str((args.out / "run").resolve()),
        name="train",
        exist_ok=True,
    )
    minutes = (time.monotonic() - start) / 60
    epochs = len((Path(model.trainer.save_dir) / "results.csv").read_text().splitlines()) - 1
    parameters = sum(parameter.numel() for parameter in best_model(args.out).model.parameters())
    about = {"model": args.model, "size": args.size, "minutes": minutes, "epochs": epochs, "parameters": parameters}
    return {**about, "ultralytics": ultralytics.__version__, "start": "random weights, from the yaml"}


def best_model(out):
    """Return the trained model of the best epoch."""
    import ultralytics

    return ultralytics.YOLO(str(out / "run" / "train" / "weights" / "best.pt"))


def _yaml_of(ultralytics, name):
    """Return Ultralytics' model yaml, changed to our keypoints and garment types."""
    folder = Path(ultralytics.__file__).parent / "cfg" / "models"
    family, scale = name.removesuffix("-pose")[:-1], name.removesuffix("-pose")[-1]
    (found,) = folder.rglob(f"{family}-pose.yaml")
    lines = found.read_text().splitlines()
    changed = {"nc": "nc: 3", "kpt_shape": "kpt_shape: [8, 3]"}
    lines = [changed.get(line.split(":")[0], line) for line in lines]
    return "\n".join([*lines, f"scale: {scale}"]) + "\n"


def predict(model, path, args, nms):
    """Predict the photos of a COCO file; return the predictions in COCO results format.

    `nms` is Ultralytics' argument: None is the default head, False the one without suppression of duplicates.
    """
    results = []
    for image in json.loads(path.read_text())["images"]:
        (found,) = model.predict(
            str(args.photos / image["file_name"]),
            imgsz=args.size,
            conf=args.confidence,
            max_det=20,
            nms=nms,
            device="cpu",
            verbose=False,
        )
        boxes, points = found.boxes, found.keypoints
        for row in range(len(boxes)):
            x_min, y_min, x_max, y_max = (value - 0.5 for value in boxes.xyxy[row].tolist())
            keypoints = []
            for (x, y), score in zip(points.xy[row].tolist(), points.conf[row].tolist(), strict=True):
                keypoints += [x - 0.5, y - 0.5, score]
            results.append(
                {
                    "image_id": image["id"],
                    "category_id": int(boxes.cls[row]) + 1,
                    "score": float(boxes.conf[row]),
                    "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
                    "keypoints": keypoints,
                }
            )
    return results


def write(path, content):
    """Write JSON by atomic rename."""
    temporary = path.with_suffix(".partial")
    temporary.write_text(json.dumps(content, indent=1))
    temporary.replace(path)


if __name__ == "__main__":
    main()
