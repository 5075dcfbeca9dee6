"""Configurations as frozen dataclasses, the four presets, overrides and their JSON form.

A `Config` defines the two networks and the geometry between them. It is saved as JSON with every checkpoint and in
every export. Settings of a single training run (epochs, batch size, learning rate) are in `TrainingConfig`, which has
separate presets for the two networks.
"""

import contextlib
import dataclasses
import json
import sys

from cspn_tf.console import UserError
from cspn_tf.files import read_json, write_json

BACKBONES = ("vgg16", "resnet50", "resnet101", "efficientnet_lite0", "mobilenet_v3_small")
WEIGHTS = ("none", "imagenet")
ROI_OPS = ("align", "pool")
METHODS = ("cspn", "fashionnet", "dfa", "dlan", "bcrnn")  # files of `cspn_tf/methods/`
REGIONS = ("garment", "photo")
SUBPIXELS = ("none", "parabola", "dark")
UPSAMPLINGS = ("bilinear", "nearest")

_KIND_NAMES = {float: "a finite number", int: "a whole number", bool: "true or false", str: "a string"}


def _is_number(value):
    # The comparison is false for NaN, and does not overflow for integers that are too large for a float.
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; received {value!r}")


def _check_range(name, value, low, high):
    if not _is_number(value):
        raise ValueError(f"{name} must be a finite number, received {value!r}")
    if value < low or (high is not None and value > high):
        wanted = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ValueError(f"{name} must be {wanted}, received {value}")


def _check_multiple(name, value, unit):
    if value < unit or value % unit:
        raise ValueError(f"{name} must be a positive multiple of {unit}, received {value}")


@dataclasses.dataclass(frozen=True)
class DetectorConfig:
    """The Faster R-CNN: its input, backbone, anchors, proposals, region head and detections."""

    backbone: str = "efficientnet_lite0"  # one of BACKBONES
    weights: str = "imagenet"  # backbone's initial weights, one of WEIGHTS
    frozen_level: int = 2  # pretrained backbone layers up to this level are not trained; 0 trains all
    input_size: int = 256  # side of the square input, pixels; the canvas is resized to it
    min_level: int = 4  # finest pyramid level; level l has stride 2**l
    max_level: int = 4  # coarsest pyramid level with anchors; beyond backbone_level, pooled from the previous level
    backbone_level: int = 5  # deepest backbone level; the pyramid starts there and merges down to min_level
    pyramid_width: int = 64  # channels of every pyramid level
    separable: bool = True  # depthwise-separable 3x3 convolutions in pyramid and RPN head
    anchor_scales: tuple[float, ...] = (2.5, 4.0, 6.5, 10.0, 15.0)  # anchor side divided by the stride, at every level
    anchor_aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # width over height
    num_proposals_train: int = 128  # proposals of the RPN in training, from which the ROIs are sampled
    num_sampled_rois: int = 32  # ROIs of a photo that train the head, at most half of them on garments
    num_proposals: int = 32  # proposals passed to the head in inference
    roi_op: str = "align"  # one of ROI_OPS; the paper uses "pool"
    roi_size: int = 7  # side of each proposal's feature map
    head_width: int = 256  # units of the head's two dense layers
    nms_sigma: float = 0.2  # of Soft-NMS: larger values lower overlapping detections less; 0 is hard suppression
    nms_iou: float = 0.9  # detections of any type with a larger IoU are one garment; the lower score is dropped
    score_threshold: float = 0.25  # detections with a lower score are dropped
    max_garments: int = 4  # rows of the served outputs, N

    def __post_init__(self):
        _check_choice("detector.backbone", self.backbone, BACKBONES)
        _check_choice("detector.weights", self.weights, WEIGHTS)
        _check_choice("detector.roi_op", self.roi_op, ROI_OPS)
        _check_range("detector.min_level", self.min_level, 2, 5)
        _check_range("detector.max_level", self.max_level, self.min_level, 6)
        _check_range("detector.frozen_level", self.frozen_level, 0, 5)
        _check_range("detector.backbone_level", self.backbone_level, self.min_level, 5)
        _check_multiple("detector.input_size", self.input_size, 2**self.max_level)
        _check_range("detector.nms_iou", self.nms_iou, 0.0, 1.0)
        _check_range("detector.nms_sigma", self.nms_sigma, 0.0, None)
        _check_range("detector.score_threshold", self.score_threshold, 0.0, 1.0)
        _check_range("detector.num_proposals_train", self.num_proposals_train, 1, None)
        _check_range("detector.num_sampled_rois", self.num_sampled_rois, 1, self.num_proposals_train)
        for name in ("pyramid_width", "num_proposals", "roi_size", "head_width"):
            _check_range(f"detector.{name}", getattr(self, name), 1, None)
        _check_range("detector.max_garments", self.max_garments, 1, self.num_proposals)


@dataclasses.dataclass(frozen=True)
class KeypointConfig:
    """The keypoint network: its method, crop, architecture and heatmaps.

    `num_stages`, `num_hard_keypoints`, `stage_weight_growth`, `offset_head`, `visibility_head` and `type_head` apply to
    the CSPN only; the other fields to every method that uses them. Additions to the paper's method are off in the
    preset `paper`.
    """

    method: str = "cspn"  # one of METHODS: the CSPN, or a method the paper compares it with
    region: str = "garment"  # content of the crop, one of REGIONS: the box, or the whole photo (the paper's NCSPN)
    backbone: str = "efficientnet_lite0"  # one of BACKBONES
    weights: str = "imagenet"  # backbone's initial weights, one of WEIGHTS
    frozen_level: int = 0  # pretrained backbone layers up to this level are not trained; 0 trains all
    crop_size: int = 192  # side of the square crop, pixels; heatmaps have a quarter of it
    crop_margin: float = 1.25  # side of the crop divided by the long side of the box
    num_stages: int = 4  # 1 to 4 as in the paper, more for its ablation
    width: int = 64  # channels of every pyramid level
    separable: bool = True  # depthwise-separable 3x3 smoothing convolutions
    heatmap_sigma: float = 1.5  # Gaussian's standard deviation, heatmap pixels
    num_hard_keypoints: int = 4  # K of equation 2
    sigma_factors: tuple[float, ...] = (1.0,) * 8  # multiples of heatmap_sigma, one for each keypoint
    subpixel: str = "parabola"  # how a heatmap's peak is refined, one of SUBPIXELS
    upsampling: str = "bilinear"  # interpolation in the pyramids, one of UPSAMPLINGS
    stage_weight_growth: float = 1.0  # weight of each stage's loss divided by that of the previous stage
    offset_head: bool = False  # predict at each heatmap pixel the offset from it to the keypoint
    visibility_head: bool = True  # predict each keypoint's visibility; keypoint_scores are then its probabilities
    # predict the garment type from the crop, which corrects the detector's; configs saved by version 0.2.0 lack it
    type_head: bool = dataclasses.field(default=True, metadata={"if_missing": False})

    def __post_init__(self):
        _check_choice("keypoints.method", self.method, METHODS)
        _check_choice("keypoints.region", self.region, REGIONS)
        _check_choice("keypoints.backbone", self.backbone, BACKBONES)
        _check_choice("keypoints.weights", self.weights, WEIGHTS)
        _check_choice("keypoints.subpixel", self.subpixel, SUBPIXELS)
        _check_choice("keypoints.upsampling", self.upsampling, UPSAMPLINGS)
        _check_range("keypoints.frozen_level", self.frozen_level, 0, 5)
        _check_multiple("keypoints.crop_size", self.crop_size, 32)
        _check_range("keypoints.crop_margin", self.crop_margin, 1.0, 4.0)
        _check_range("keypoints.num_stages", self.num_stages, 1, 8)
        _check_range("keypoints.width", self.width, 1, None)
        _check_range("keypoints.heatmap_sigma", self.heatmap_sigma, 0.1, None)
        _check_range("keypoints.num_hard_keypoints", self.num_hard_keypoints, 1, 8)
        _check_range("keypoints.stage_weight_growth", self.stage_weight_growth, 0.1, 10.0)
        if len(self.sigma_factors) != 8:
            raise ValueError(f"keypoints.sigma_factors must have 8 numbers, received {len(self.sigma_factors)}")

    @property
    def predicts_type(self) -> bool:
        """Whether the network predicts garment types; of a photo with several garments, the whole photo has none."""
        return self.type_head and self.region == "garment"

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages' outputs, first stage first; the last one has the predicted heatmaps."""
        return tuple(f"stage_{stage}" for stage in range(1, self.num_stages + 1))

    @property
    def sigmas(self) -> tuple[float, ...]:
        """Standard deviation of each keypoint's Gaussian, heatmap pixels."""
        return tuple(self.heatmap_sigma * factor for factor in self.sigma_factors)

    @property
    def heatmap_size(self) -> int:
        """Side of the square heatmaps, heatmap pixels."""
        return self.crop_size // self.heatmap_stride

    @property
    def heatmap_stride(self) -> int:
        """Crop pixels per heatmap pixel."""
        return 4


@dataclasses.dataclass(frozen=True)
class Config:
    """The config of the whole pipeline."""

    preset: str = "mobile"  # name of the preset it was derived from, informational
    canvas_size: int = 512  # side of the square every photo is letterboxed to, pixels
    max_pixels: int = 50_000_000  # photos with more pixels are refused before they are decoded
    detector: DetectorConfig = dataclasses.field(default_factory=DetectorConfig)
    keypoints: KeypointConfig = dataclasses.field(default_factory=KeypointConfig)

    def __post_init__(self):
        _check_range("canvas_size", self.canvas_size, 32, None)
        _check_multiple("canvas_size", self.canvas_size, 2)
        _check_range("max_pixels", self.max_pixels, 1, None)


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """One training run of one network."""

    epochs: int  # passes over the training split
    batch_size: int  # photos (detector) or garments (keypoints) a step
    learning_rate: float  # peak, reached after the warm-up, then cosine decay to zero
    warmup_epochs: float = 0.5  # length of the linear warm-up
    weight_decay: float = 1e-4  # decoupled (AdamW), on kernels only
    gradient_clip: float = 5.0  # maximum global norm; 0 disables clipping
    augment: bool = True  # random flips, crops and colours on the training split
    ema_momentum: float = 0.0  # of the moving average of the weights that is validated and saved; 0 disables it

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            _check_range(name, getattr(self, name), 1, None)
        for name in ("learning_rate", "warmup_epochs", "weight_decay", "gradient_clip"):
            _check_range(name, getattr(self, name), 0.0, None)
        _check_range("ema_momentum", self.ema_momentum, 0.0, 0.99999)


PRESETS = {
    "paper": Config(
        preset="paper",
        canvas_size=1024,
        detector=DetectorConfig(
            backbone="vgg16",
            input_size=512,
            min_level=4,
            max_level=4,
            backbone_level=4,
            pyramid_width=512,
            separable=False,
            anchor_scales=(4.0, 8.0, 16.0, 32.0),
            num_proposals_train=1000,
            num_sampled_rois=256,
            num_proposals=300,
            roi_op="pool",
            head_width=1024,
            max_garments=8,
        ),
        keypoints=KeypointConfig(
            backbone="resnet101",
            crop_size=1024,
            width=256,
            separable=False,
            heatmap_sigma=4.0,
            subpixel="none",
            visibility_head=False,
            type_head=False,
        ),
    ),
    "base": Config(
        preset="base",
        canvas_size=512,
        detector=DetectorConfig(
            backbone="resnet50",
            input_size=512,
            min_level=3,
            max_level=6,
            backbone_level=5,
            pyramid_width=256,
            separable=False,
            anchor_scales=(3.0, 4.25, 6.0),
            num_proposals_train=512,
            num_sampled_rois=128,
            num_proposals=100,
            head_width=1024,
            max_garments=8,
        ),
        keypoints=KeypointConfig(backbone="resnet101", crop_size=256, width=256, separable=False, heatmap_sigma=2.0),
    ),
    "mobile": Config(preset="mobile"),
    "tiny": Config(
        preset="tiny",
        canvas_size=256,
        detector=DetectorConfig(
            backbone="mobilenet_v3_small",
            weights="none",
            frozen_level=0,
            input_size=128,
            min_level=3,
            max_level=6,
            backbone_level=5,
            pyramid_width=32,
            anchor_scales=(3.0, 4.25),
            num_proposals_train=64,
            num_proposals=16,
            roi_size=5,
            head_width=64,
            max_garments=3,
        ),
        keypoints=KeypointConfig(
            backbone="mobilenet_v3_small",
            weights="none",
            crop_size=96,
            width=16,
            heatmap_sigma=1.0,
            visibility_head=False,
        ),
    ),
}

DETECTOR_TRAINING = {
    "paper": TrainingConfig(epochs=20, batch_size=8, learning_rate=1e-4),
    "base": TrainingConfig(epochs=20, batch_size=16, learning_rate=2e-4),
    "mobile": TrainingConfig(epochs=20, batch_size=8, learning_rate=1e-3),
    "tiny": TrainingConfig(epochs=20, batch_size=8, learning_rate=2e-3),
}
KEYPOINT_TRAINING = {
    "paper": TrainingConfig(epochs=30, batch_size=8, learning_rate=5e-4),
    "base": TrainingConfig(epochs=30, batch_size=32, learning_rate=5e-4),
    "mobile": TrainingConfig(epochs=30, batch_size=32, learning_rate=2e-3),
    "tiny": TrainingConfig(epochs=30, batch_size=16, learning_rate=2e-3),
}


def preset(name: str) -> Config:
    """Return the preset of that name.

    Raises:
        UserError: the preset does not exist.
    """
    if name not in PRESETS:
        raise UserError(f"preset {name!r} does not exist; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def override(config, assignments):
    """Return `config` with fields replaced by `field=value` strings, such as `keypoints.num_stages=2`.

    Args:
        config: any dataclass of this module.
        assignments: iterable of strings; a value that is not valid JSON is taken as a string.

    Raises:
        UserError: a string has no `=`, names an unknown field, or has a value that is invalid for the field.
    """
    for text in assignments:
        key, separator, value = text.partition("=")
        if not separator:
            raise UserError(f"override {text!r} must be field=value")
        with contextlib.suppress(ValueError):
            value = json.loads(value)
        for name in reversed(key.split(".")):
            value = {name: value}
        config = _from_dict(type(config), _merge(to_dict(config), value), source=f"override {text!r}")
    return config


def to_dict(config) -> dict:
    """Return a config dataclass as a JSON-ready dict."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def save(config, path) -> None:
    """Write a config dataclass as JSON, by atomic rename."""
    write_json(path, to_dict(config))


def load(path) -> Config:
    """Read a `Config` that `save` wrote.

    Raises:
        UserError: the file is missing, is not JSON, or has an unknown or missing key, named in the message.
    """
    return from_dict(read_json(path), source=str(path))


def from_dict(content: dict, source: str = "config") -> Config:
    """Return the `Config` of a dict of `to_dict`; raise a `UserError` that names an unknown, missing or invalid key."""
    return _from_dict(Config, content, source)


def differences(ours, theirs, prefix: str = "") -> list[str]:
    """Return a `field: ours != theirs` string for each field in which two configs of one class differ."""
    found = []
    for field in dataclasses.fields(ours):
        a, b = getattr(ours, field.name), getattr(theirs, field.name)
        name = prefix + field.name
        if dataclasses.is_dataclass(a):
            found += differences(a, b, name + ".")
        elif a != b:
            found.append(f"{name}: {a} != {b}")
    return found


def _from_dict(cls, content, source, prefix=""):
    if not isinstance(content, dict):
        raise UserError(f"{source}: {prefix.rstrip('.') or 'the config'} must be an object, received {content!r}")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in content:
        if key not in fields:
            raise UserError(f"{source}: unknown key {prefix + key}")
    values = {}
    for name, field in fields.items():
        if name not in content and "if_missing" not in field.metadata:
            raise UserError(f"{source}: missing key {prefix + name}")
        value = content.get(name, field.metadata.get("if_missing"))
        values[name] = _checked(field.type, value, source, prefix + name)
    try:
        return cls(**values)
    except ValueError as error:
        raise UserError(f"{source}: {error}") from error


def _checked(kind, value, source, name):
    if dataclasses.is_dataclass(kind):
        return _from_dict(kind, value, source, name + ".")
    if kind == tuple[float, ...]:
        if isinstance(value, list) and value and all(_is_number(v) and v > 0 for v in value):
            return tuple(float(v) for v in value)
        raise UserError(f"{source}: {name} must be a list of positive numbers, received {value!r}")
    if kind is float and _is_number(value):
        return float(value)
    if kind is not float and type(value) is kind:
        return value
    raise UserError(f"{source}: {name} must be {_KIND_NAMES[kind]}, received {value!r}")


def _merge(base, changes):
    merged = dict(base)
    for name, value in changes.items():
        nested = isinstance(value, dict) and isinstance(base.get(name), dict)
        merged[name] = _merge(base[name], value) if nested else value
    return merged
