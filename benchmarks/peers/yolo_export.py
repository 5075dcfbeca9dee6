"""Worker script that builds YOLO-pose networks for garments, with random weights, and exports them when it is loaded.

Options: work_dir, models (pairs of a network, such as yolo11n-pose, and an input size), threads, photos. For each
model it writes NETWORK-SIZE.pt, NETWORK-SIZE.onnx, NETWORK-SIZE-batch.onnx, NETWORK-SIZE_openvino/ and
NETWORK-SIZE.json (parameters, flops).
"""

import json
from pathlib import Path

import networks
import numpy as np
import photos as pictures
import torch
import ultralytics
import yaml

BATCH_SIZE = 8
_CONFIGS = {"yolo11n-pose": "11/yolo11-pose.yaml", "yolo26n-pose": "26/yolo26-pose.yaml"}


def load(options):
    """Write the files of all models."""
    torch.set_num_threads(options["threads"])
    photos = [Path(path).read_bytes() for path in options["photos"]]
    for network, size in options["models"]:
        _export(Path(options["work_dir"]), network, size, photos)
    return {"facts": {}}


def _export(work_dir, network, size, photos):
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
    target = work_dir / f"{network}-{size}"
    torch.save(model.model, target.with_suffix(".pt"))
    facts = {
        "parameters": networks.num_parameters(model.model),
        "flops": networks.num_flops(lambda: model.model(batch[:1])),
    }
    target.with_suffix(".json").write_text(json.dumps(facts))
    Path(model.export(format="onnx", imgsz=size, batch=BATCH_SIZE)).rename(work_dir / f"{target.name}-batch.onnx")
    Path(model.export(format="onnx", imgsz=size)).rename(target.with_suffix(".onnx"))
    Path(model.export(format="openvino", imgsz=size)).rename(work_dir / f"{target.name}_openvino")
