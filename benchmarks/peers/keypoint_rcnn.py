"""Worker script for torchvision's Keypoint R-CNN.

Options: size (short side, pixels), garments, threads, photos.
"""

from pathlib import Path

import cv2
import networks
import photos as pictures
import torch
from torchvision.models.detection import keypointrcnn_resnet50_fpn


def load(options):
    """Return the runner; see `benchmarks/workers/worker.py`."""
    torch.set_num_threads(options["threads"])
    cv2.setNumThreads(options["threads"])
    torch.manual_seed(0)
    model = keypointrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=1 + pictures.NUM_TYPES,
        num_keypoints=pictures.NUM_KEYPOINTS,
        min_size=options["size"],
        # With random weights no detection is confident and none is discarded, so fix their number.
        box_detections_per_img=pictures.NUM_KEPT,
    ).eval()
    first = networks.to_tensor(pictures.decode(Path(options["photos"][0]).read_bytes()))
    seen = model.transform([first])[0].tensors
    networks.settle(model.backbone, lambda: model.backbone(seen))

    @torch.inference_mode()
    def one(photo):
        return model([networks.to_tensor(pictures.decode(photo))])[0]["keypoints"].numpy().tolist()

    return {
        "one": one,
        # A batch of photos of this size needs gigabytes and is not faster.
        "batches": {"one by one": lambda: lambda photos: [one(photo) for photo in photos]},
        "facts": {
            "parameters": networks.num_parameters(model),
            "flops": networks.num_flops(lambda: model([first])),
            "precision": "fp32",
            "threads": str(torch.get_num_threads()),
            "note": f"{pictures.NUM_KEPT} detections per photo",
        },
    }
