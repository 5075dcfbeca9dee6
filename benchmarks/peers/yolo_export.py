"""Worker script that builds YOLO11n-pose for garments, with random weights, and exports it when it is loaded.

Options: work_dir, sizes, threads, photos. For each size it writes yolo-SIZE.pt, yolo-SIZE.onnx, yolo-SIZE-batch.onnx,
yolo-SIZE_openvino/ and yolo-SIZE.json (parameters, flops).
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
_CONFIG = "cfg/models/11/yolo11-pose.yaml"


def load(options):
    """Write the files of all sizes."""
    torch.set_num_threads(options["threads"])
    photos = [Path(path).read_bytes() for path in options["photos"]]
    for size in options["sizes"]:
        _export(Path(options["work_dir"]), size, photos)
    return {"facts": {}}


def _export(work_dir, size, photos):
    torch.manual_seed(0)
    # Ultralytics reads the model scale (n) from the file name.
    description = work_dir / "yolo11n-pose.yaml"
    config = yaml.safe_load((Path(ultralytics.__file__).parent / _CONFIG).read_text())
    config |= {"kpt_shape": [pictures.NUM_KEYPOINTS, 3], "nc": pictures.NUM_TYPES, "flip_idx": [1, 0, 3, 2, 5, 4, 7, 6]}
    description.write_text(yaml.safe_dump(config))
    model = ultralytics.YOLO(str(description))
    tensors = [pictures.letterbox(pictures.decode(photo), size)[0] for photo in photos]
    batch = torch.from_numpy(np.concatenate(tensors * 2)[: max(2, len(tensors))])
    networks.settle(model.model, lambda: model.model(batch))
    target = work_dir / f"yolo-{size}"
    torch.save(model.model, target.with_suffix(".pt"))
    facts = {
        "parameters": networks.num_parameters(model.model),
        "flops": networks.num_flops(lambda: model.model(batch[:1])),
    }
    target.with_suffix(".json").write_text(json.dumps(facts))
    Path(model.export(format="onnx", imgsz=size, batch=BATCH_SIZE)).rename(work_dir / f"yolo-{size}-batch.onnx")
    Path(model.export(format="onnx", imgsz=size)).rename(target.with_suffix(".onnx"))
    Path(model.export(format="openvino", imgsz=size)).rename(work_dir / f"yolo-{size}_openvino")
