"""Worker script for a top-down pipeline as with MMPose: a detector, and a keypoint network on its crops.

The detector is torchvision's Faster R-CNN with MobileNetV3 at 320 pixels; crops are 256x192. Flip testing, the default
in MMPose, is left out.

Options: network (`hrnet_w48` or `simple_baseline_r50`), garments (crops per photo), threads, photos.
"""

from pathlib import Path

import cv2
import networks
import numpy as np
import photos as pictures
import timm
import torch
import torchvision
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

_CROP_WH = (192, 256)
_STRIDE = 4
_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def load(options):
    """Return the runner; see `benchmarks/workers/worker.py`."""
    torch.set_num_threads(options["threads"])
    cv2.setNumThreads(options["threads"])
    torch.manual_seed(0)
    photos = [Path(path).read_bytes() for path in options["photos"]]
    system = _TwoStages(options["network"], options["garments"], photos)
    return {
        "one": lambda photo: system.keypoints([photo])[0],
        "batches": {
            "one batch": lambda: system.keypoints,
            "one by one": lambda: lambda photos: [system.keypoints([photo])[0] for photo in photos],
        },
        "facts": {
            "parameters": networks.num_parameters(system.detector, system.network),
            "flops": networks.num_flops(lambda: system.keypoints([photos[0]])),
            "precision": "fp32",
            "threads": str(torch.get_num_threads()),
            "note": f"crops {system.layout_name}; {options['garments']} per photo, no flip testing",
        },
    }


class _TwoStages:
    def __init__(self, network, garments, photos):
        self._garments = garments
        self.detector = fasterrcnn_mobilenet_v3_large_320_fpn(
            weights=None,
            weights_backbone=None,
            num_classes=1 + pictures.NUM_TYPES,
            box_detections_per_img=garments,
        ).eval()
        pixels = [pictures.decode(photo) for photo in photos]
        seen = self.detector.transform([networks.to_tensor(picture) for picture in pixels])[0].tensors
        networks.settle(self.detector.backbone, lambda: self.detector.backbone(seen))
        self.network = _HRNet() if network == "hrnet_w48" else _SimpleBaseline()
        whole = [pictures.crop(picture, (0, 0, *picture.shape[1::-1]), _CROP_WH)[0] for picture in pixels]
        crops = _normalise(whole * 2)
        networks.settle(self.network, lambda: self.network(crops))
        self._layout, self.layout_name = networks.faster_layout(
            self.network, lambda layout: self._heatmaps(crops[:1], layout)
        )

    def keypoints(self, photos):
        """Return for each photo a list of keypoints `(K, 2)`, one per garment, in photo pixels."""
        with torch.inference_mode():
            pixels = [pictures.decode(photo) for photo in photos]
            found = self.detector([networks.to_tensor(picture) for picture in pixels])
        cut = []
        for picture, answer in zip(pixels, found, strict=True):
            boxes = answer["boxes"].numpy()
            if len(boxes) < self._garments:  # so that every photo costs the same
                whole = np.array([[0, 0, *picture.shape[1::-1]]])
                boxes = np.concatenate([boxes, np.repeat(whole, self._garments - len(boxes), axis=0)])
            cut += [pictures.crop(picture, box, _CROP_WH) for box in boxes]
        heatmaps = self._heatmaps(_normalise([crop for crop, _ in cut]), self._layout)
        points = [pictures.peaks(maps, back, _STRIDE) for maps, (_, back) in zip(heatmaps, cut, strict=True)]
        return [points[i : i + self._garments] for i in range(0, len(points), self._garments)]

    def _heatmaps(self, crops, layout):
        # Not `inference_mode`, in which FLOP are not counted.
        with torch.no_grad():
            return self.network(crops.to(memory_format=layout)).numpy()


class _HRNet(torch.nn.Module):
    """HRNet-w48's highest-resolution branch with a 1x1 convolution as head."""

    def __init__(self):
        super().__init__()
        body = timm.create_model("hrnet_w48", features_only=True, feature_location="", out_indices=(1,))
        # The last fusion of the other branches is unused.
        body.stage4[-1].fuse_layers = body.stage4[-1].fuse_layers[:1]
        self.body = body
        self.head = torch.nn.Conv2d(48, pictures.NUM_KEYPOINTS, 1)

    def forward(self, crops):
        return self.head(self.body(crops)[0])


class _SimpleBaseline(torch.nn.Module):
    """ResNet-50, three deconvolutions of width 256 and a 1x1 convolution."""

    def __init__(self):
        super().__init__()
        body = torchvision.models.resnet50(weights=None)
        layers = [*list(body.children())[:-2]]
        width = 2048
        for _ in range(3):
            layers.append(torch.nn.ConvTranspose2d(width, 256, 4, stride=2, padding=1, bias=False))
            layers += [torch.nn.BatchNorm2d(256), torch.nn.ReLU(inplace=True)]
            width = 256
        self.layers = torch.nn.Sequential(*layers, torch.nn.Conv2d(width, pictures.NUM_KEYPOINTS, 1))

    def forward(self, crops):
        return self.layers(crops)


def _normalise(crops):
    crops = np.stack(crops)[..., ::-1].astype(np.float32)
    crops = (crops - np.float32(_MEAN)) / np.float32(_STD)
    return torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))
