"""Worker script that builds YOLO-pose networks for garments, with random weights, and exports them when it is loaded.

Options: work_dir, models (pairs of a network, such as yolo11n-pose, and an input size), threads, photos. For each
model it writes NETWORK-SIZE.pt, NETWORK-SIZE.onnx, NETWORK-SIZE-batch.onnx, NETWORK-SIZE_openvino/, NETWORK-SIZE.tflite
(int8 weights and activations, calibrated on the photos) and NETWORK-SIZE.json (parameters, flops).
"""

import json
from pathlib import Path

import networks
import numpy as np
import photos as pictures
import torch
import ultralytics
import yaml

_CONFIGS = {"yolo11n-pose": "11/yolo11-pose.yaml", "yolo26n-pose": "26/yolo26-pose.yaml"}


def load(options):
    """Write the files of all models."""
    torch.set_num_threads(options["threads"])
    photos = [Path(path).read_bytes() for path in options["photos"]]
    work_dir = Path(options["work_dir"])
    calibration = _write_calibration_photos(work_dir / "calibration", photos)
    for network, size in options["models"]:
        _export(work_dir, network, size, photos, calibration)
    return {"facts": {}}


def _export(work_dir, network, size, photos, calibration):
    torch.manual_seed(0)
    # Ultralytics reads the model scale (n) from the file name.
    description = work_dir / f"{network}.yaml"
    config = yaml.safe_load((Path(ultralytics.__file__).parent / "cfg/models" / _CONFIGS[network]).read_text())
    config |= {"kpt_shape": [pictures.NUM_KEYPOINTS, 3], "nc": pictures.NUM_TYPES, "flip_idx": [1, 0, 3, 2, 5, 4, 7, 6]}
    description.write_text(yaml.safe_dump(config))
    model = ultralytics.YOLO(str(description))
    tensors = [pictures.letterbox(pictures.decode(photo), size)[0] for photo in photos]
    batch = torch.from_numpy(np.concatenate(tensors * 2)[: max(2, len(tensors))])
    networks.settle(model.model, lambda: model.model(batch))
    # YOLO26 runs with the head that needs no suppression of duplicates; its int8 export has the other head only.
    has_nms_free_head = hasattr(model.model.model[-1], "one2one_cv2")
    model.model.end2end = has_nms_free_head
    nms = False if has_nms_free_head else None
    target = work_dir / f"{network}-{size}"
    torch.save(model.model, target.with_suffix(".pt"))
    facts = {
        "parameters": networks.num_parameters(model.model),
        "flops": networks.num_flops(lambda: model.model(batch[:1])),
    }
    target.with_suffix(".json").write_text(json.dumps(facts))
    exports = {
        f"{target.name}-batch.onnx": {"format": "onnx", "batch": pictures.BATCH_SIZE},
        f"{target.name}.onnx": {"format": "onnx"},
        f"{target.name}_openvino": {"format": "openvino"},
        f"{target.name}.tflite": {"format": "litert", "quantize": 8, "data": str(calibration)},
    }
    for name, options in exports.items():
        Path(model.export(imgsz=size, nms=nms, **options)).rename(work_dir / name)


def _write_calibration_photos(folder, photos):
    """Write the photos as a dataset without garments, as Ultralytics reads it; return its description."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for number, photo in enumerate(photos):
        (folder / "images" / f"{number}.jpg").write_bytes(photo)
        (folder / "labels" / f"{number}.txt").touch()
    description = folder / "photos.yaml"
    names = dict(enumerate(("upper-body", "lower-body", "full-body")))
    shape = {"kpt_shape": [pictures.NUM_KEYPOINTS, 3], "names": names}
    description.write_text(yaml.safe_dump({"path": str(folder), "train": "images", "val": "images", **shape}))
    return description
