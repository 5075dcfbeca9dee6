"""Worker script for YOLO-pose in PyTorch.

Options: work_dir and stem (of the files of `yolo_export`), size, threads.
"""

import json
from pathlib import Path

import cv2
import networks
import photos as pictures
import torch

_STRIDE = 32


def load(options):
    """Return the runner; see `benchmarks/workers/worker.py`."""
    torch.set_num_threads(options["threads"])
    cv2.setNumThreads(options["threads"])
    size = options["size"]
    stem = Path(options["work_dir"]) / options["stem"]
    model = torch.load(stem.with_suffix(".pt"), weights_only=False).eval().fuse(verbose=False)
    blank = torch.zeros(1, 3, size, size)

    @torch.inference_mode()
    def predict(tensors, layout):
        return model(torch.from_numpy(tensors).to(memory_format=layout))[0].numpy()

    layout, layout_name = networks.faster_layout(model, lambda layout: predict(blank.numpy(), layout))

    def one(photo):
        tensor, transform = pictures.letterbox(pictures.decode(photo), size, _STRIDE)
        return pictures.yolo_keypoints(predict(tensor, layout)[0], transform)

    batch = pictures.yolo_batch(lambda tensors: predict(tensors, layout), size)
    return {
        "one": one,
        "batches": {"one batch": lambda: batch, "one by one": lambda: lambda photos: [one(photo) for photo in photos]},
        "facts": {
            **json.loads(stem.with_suffix(".json").read_text()),
            "precision": "fp32",
            "threads": str(torch.get_num_threads()),
            "note": f"{layout_name}; batch normalisation fused; padded to the photo's rectangle",
        },
    }
