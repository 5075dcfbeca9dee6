"""Configs must survive a round trip, and whatever does not fit must be refused by name."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspn_tf import config as configs
from cspn_tf.config import Config, DetectorConfig, KeypointConfig, TrainingConfig
from cspn_tf.console import UserError

PRESETS = list(configs.PRESETS)


def leaves(content, prefix=""):
    """Return the dotted names of all keys of a nested dict, inner and outer."""
    found = []
    for key, value in content.items():
        found.append(prefix + key)
        if isinstance(value, dict):
            found += leaves(value, prefix + key + ".")
    return found


def parent_of(content, name):
    """Return the dict that holds a dotted name, and its last part."""
    *path, last = name.split(".")
    for key in path:
        content = content[key]
    return content, last


ALL_KEYS = leaves(configs.to_dict(Config()))


# Round trip ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_the_file(name, tmp_path):
    config = configs.override(configs.preset(name), ["keypoints.heatmap_sigma=1.75", "detector.anchor_scales=[2,3.5]"])
    configs.save(config, tmp_path / "config.json")
    loaded = configs.load(tmp_path / "config.json")
    assert loaded == config
    assert loaded.detector.anchor_scales == (2.0, 3.5)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_dict_is_plain_json():
    content = configs.to_dict(configs.preset("tiny"))
    assert json.loads(json.dumps(content)) == content
    assert content["canvas_size"] == 256
    assert content["detector"]["anchor_aspect_ratios"] == [0.5, 1.0, 2.0]
    assert content["keypoints"]["crop_size"] == 96
    assert configs.from_dict(content) == configs.preset("tiny")


def test_whole_numbers_do_for_fields_that_are_not():
    content = configs.to_dict(Config())
    content["keypoints"]["heatmap_sigma"] = 2
    loaded = configs.from_dict(content)
    assert loaded.keypoints.heatmap_sigma == 2.0 and type(loaded.keypoints.heatmap_sigma) is float


def test_configs_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().canvas_size = 64


# What does not fit ---------------------------------------------------------------------------------------------------


def test_configs_of_version_0_2_0_have_no_type_head():
    content = configs.to_dict(configs.preset("mobile"))
    del content["keypoints"]["type_head"]
    assert not configs.from_dict(content).keypoints.type_head


@pytest.mark.parametrize("name", sorted({*ALL_KEYS} - {"keypoints.type_head"}))
def test_a_missing_key_is_named(name):
    content = configs.to_dict(Config())
    holder, last = parent_of(content, name)
    del holder[last]
    with pytest.raises(UserError, match=rf"^model/config\.json: missing key {name}$"):
        configs.from_dict(content, source="model/config.json")


@pytest.mark.parametrize("name", ["sigma", "detector.sigma", "keypoints.sigma"])
def test_an_unknown_key_is_named(name, tmp_path):
    content = configs.to_dict(Config())
    holder, last = parent_of(content, name)
    holder[last] = 1
    path = tmp_path / "config.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as error:
        configs.load(path)
    assert str(error.value) == f"{path}: unknown key {name}"


@pytest.mark.parametrize("text, says", [("{", "not a JSON file"), ("[1]", "must be an object, received [1]")])
def test_a_file_that_is_no_config_is_named(text, says, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        configs.load(path)
    assert str(path) in str(error.value) and says in str(error.value)


def test_a_file_of_other_bytes_is_named(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a JSON file"):
        configs.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.json: No such file"):
        configs.load(tmp_path / "none.json")


def test_a_missing_preset_is_named_with_those_there_are():
    with pytest.raises(UserError, match="preset 'huge' does not exist; choose one of paper, base, mobile, tiny"):
        configs.preset("huge")


NUMBER_FIELDS = [
    (cls, field.name)
    for cls in (Config, DetectorConfig, KeypointConfig, TrainingConfig)
    for field in dataclasses.fields(cls)
    if field.type in (int, float)
]


@pytest.mark.parametrize("cls, name", NUMBER_FIELDS)
def test_every_number_is_checked_and_named(cls, name):
    others = {"epochs": 1, "batch_size": 1, "learning_rate": 0.1} if cls is TrainingConfig else {}
    for value in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=name):
            cls(**{**others, name: value})


@pytest.mark.parametrize(
    "cls, field, value",
    [
        (DetectorConfig, "backbone", "resnet18"),
        (DetectorConfig, "weights", "noisy"),
        (DetectorConfig, "roi_op", "crop"),
        (KeypointConfig, "backbone", "resnet18"),
        (KeypointConfig, "weights", "noisy"),
    ],
)
def test_choices_are_checked_and_named(cls, field, value):
    with pytest.raises(ValueError, match=rf"{field} must be one of .*; received '{value}'"):
        cls(**{field: value})


@pytest.mark.parametrize(
    "cls, values, names",
    [
        (DetectorConfig, {"min_level": 4, "max_level": 3}, "detector.max_level must be between 4 and 6"),
        (
            DetectorConfig,
            {"input_size": 288, "max_level": 6},
            "detector.input_size must be a positive multiple of 64, received 288",
        ),
        (DetectorConfig, {"backbone_level": 3}, "detector.backbone_level must be between 4 and 5, received 3"),
        (DetectorConfig, {"backbone_level": 6}, "detector.backbone_level must be between 4 and 5, received 6"),
        (DetectorConfig, {"num_sampled_rois": 129}, "detector.num_sampled_rois must be between 1 and 128"),
        (DetectorConfig, {"max_garments": 33}, "detector.max_garments must be between 1 and 32"),
        (DetectorConfig, {"nms_iou": 1.01}, "detector.nms_iou must be between 0.0 and 1.0"),
        (DetectorConfig, {"score_threshold": 1.01}, "detector.score_threshold must be between 0.0 and 1.0"),
        (KeypointConfig, {"crop_size": 200}, "keypoints.crop_size must be a positive multiple of 32, received 200"),
        (KeypointConfig, {"crop_size": 0}, "keypoints.crop_size must be a positive multiple of 32, received 0"),
        (KeypointConfig, {"crop_margin": 0.99}, "keypoints.crop_margin must be between 1.0 and 4.0, received 0.99"),
        (KeypointConfig, {"num_hard_keypoints": 9}, "keypoints.num_hard_keypoints must be between 1 and 8"),
        (Config, {"canvas_size": 31}, "canvas_size must be at least 32, received 31"),
        (Config, {"canvas_size": 257}, "canvas_size must be a positive multiple of 2, received 257"),
    ],
)
def test_limits_are_checked_and_named(cls, values, names):
    with pytest.raises(ValueError, match=names):
        cls(**values)


# Overrides -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, changed",
    [
        ("canvas_size=768", "canvas_size: 512 != 768"),
        ("keypoints.num_stages=7", f"keypoints.num_stages: {KeypointConfig.num_stages} != 7"),
        ("keypoints.crop_margin=2", "keypoints.crop_margin: 1.25 != 2.0"),
        ("keypoints.backbone=resnet101", "keypoints.backbone: efficientnet_lite0 != resnet101"),
        ('keypoints.backbone="resnet101"', "keypoints.backbone: efficientnet_lite0 != resnet101"),
        ("detector.separable=false", "detector.separable: True != False"),
        ("detector.anchor_scales=[2, 4]", f"detector.anchor_scales: {DetectorConfig.anchor_scales} != (2.0, 4.0)"),
        ('detector={"nms_iou": 0.25}', "detector.nms_iou: 0.9 != 0.25"),
        ("preset=mine=2", "preset: mobile != mine=2"),
    ],
)
def test_override_changes_that_field_alone(text, changed):
    before = configs.preset("mobile")
    after = configs.override(before, [text])
    assert configs.differences(before, after) == [changed]
    assert before == configs.preset("mobile")


def test_overrides_apply_in_order():
    after = configs.override(Config(), ["keypoints.width=8", "detector.nms_iou=0.25", "keypoints.width=24"])
    assert (after.keypoints.width, after.detector.nms_iou) == (24, 0.25)
    assert configs.override(Config(), []) == Config()


def test_override_takes_any_config_class():
    after = configs.override(configs.KEYPOINT_TRAINING["tiny"], ["epochs=3", "augment=false"])
    assert (after.epochs, after.augment) == (3, False)


@pytest.mark.parametrize(
    "text, says",
    [
        ("canvas_size", "must be field=value"),
        ("width=3", "unknown key width"),
        ("keypoints.widht=3", "unknown key keypoints.widht"),
        ("=3", "unknown key"),
        ("canvas_size=", "canvas_size must be a whole number, received ''"),
        ("canvas_size=large", "canvas_size must be a whole number, received 'large'"),
        ("canvas_size=512.0", "canvas_size must be a whole number, received 512.0"),
        ("canvas_size=true", "canvas_size must be a whole number, received True"),
        ("canvas_size=null", "canvas_size must be a whole number, received None"),
        ("canvas_size.x=3", "canvas_size must be a whole number, received {'x': 3}"),
        ("canvas_size=16", "canvas_size must be at least 32, received 16"),
        ("preset=3", "preset must be a string, received 3"),
        ("keypoints=3", "keypoints must be an object, received 3"),
        ("keypoints.separable=1", "keypoints.separable must be true or false, received 1"),
        ("keypoints.crop_margin=true", "keypoints.crop_margin must be a finite number, received True"),
        ("keypoints.crop_margin=NaN", "keypoints.crop_margin must be a finite number, received nan"),
        ("keypoints.heatmap_sigma=Infinity", "keypoints.heatmap_sigma must be a finite number, received inf"),
        ("keypoints.heatmap_sigma=1e999", "keypoints.heatmap_sigma must be a finite number, received inf"),
        ("keypoints.heatmap_sigma=1" + "0" * 400, "keypoints.heatmap_sigma must be a finite number"),
        ("canvas_size=1" + "0" * 5000, "canvas_size must be a whole number"),
        ("detector.anchor_scales=[]", "detector.anchor_scales must be a list of positive numbers, received []"),
        ("detector.anchor_scales=4", "detector.anchor_scales must be a list of positive numbers, received 4"),
        ("detector.anchor_scales=[1, 0]", "detector.anchor_scales must be a list of positive numbers"),
        ("detector.anchor_scales=[NaN]", "detector.anchor_scales must be a list of positive numbers"),
        ("keypoints.crop_size=100", "keypoints.crop_size must be a positive multiple of 32, received 100"),
    ],
)
def test_override_that_does_not_fit_is_refused_with_its_text(text, says):
    with pytest.raises(UserError) as error:
        configs.override(Config(), [text])
    assert says in str(error.value)
    assert repr(text) in str(error.value)


@settings(deadline=None)
@given(st.sampled_from(ALL_KEYS) | st.text(max_size=20), st.text(max_size=20) | st.floats().map(str))
def test_override_gives_a_sound_config_or_a_user_error(key, value):
    try:
        config = configs.override(Config(), [f"{key}={value}"])
    except UserError:
        return
    assert configs.from_dict(json.loads(json.dumps(configs.to_dict(config), allow_nan=False))) == config


# Presets -------------------------------------------------------------------------------------------------------------


def test_presets_are_those_of_the_commands():
    assert PRESETS == ["paper", "base", "mobile", "tiny"]
    assert list(configs.DETECTOR_TRAINING) == list(configs.KEYPOINT_TRAINING) == PRESETS
    assert Config() == configs.preset("mobile")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_sound(name):
    config = configs.preset(name)
    assert config.preset == name
    assert config.keypoints.num_stages == 4
    assert config.keypoints.stage_names == ("stage_1", "stage_2", "stage_3", "stage_4")
    assert config.keypoints.num_hard_keypoints == 4
    assert config.keypoints.heatmap_size * config.keypoints.heatmap_stride == config.keypoints.crop_size
    assert config.keypoints.heatmap_stride == 4
    # A crop of a garment that fills the canvas has no more pixels than the canvas.
    assert config.keypoints.crop_size <= config.canvas_size
    assert config.detector.input_size <= config.canvas_size


@pytest.mark.parametrize(
    "name, canvas, detector_input, crop, heatmap",
    [
        ("paper", 1024, 512, 1024, 256),
        ("base", 512, 512, 256, 64),
        ("mobile", 512, 256, 192, 48),
        ("tiny", 256, 128, 96, 24),
    ],
)
def test_sizes_of_the_presets(name, canvas, detector_input, crop, heatmap):
    config = configs.preset(name)
    assert (config.canvas_size, config.detector.input_size) == (canvas, detector_input)
    assert (config.keypoints.crop_size, config.keypoints.heatmap_size) == (crop, heatmap)


def test_paper_preset_is_the_paper():
    detector, keypoints = configs.preset("paper").detector, configs.preset("paper").keypoints
    assert (detector.backbone, detector.roi_op, detector.roi_size) == ("vgg16", "pool", 7)
    assert (detector.min_level, detector.max_level) == (4, 4)  # one feature map, at stride 16
    assert (keypoints.backbone, keypoints.width, keypoints.num_stages) == ("resnet101", 256, 4)
    assert (keypoints.separable, detector.separable) == (False, False)


# Differences ---------------------------------------------------------------------------------------------------------


def test_differences_name_the_fields_that_differ_and_both_values():
    ours = Config()
    assert configs.differences(ours, Config()) == []
    theirs = configs.override(ours, ["canvas_size=256", "keypoints.width=1024", "detector.roi_op=pool"])
    assert configs.differences(ours, theirs) == [
        "canvas_size: 512 != 256",
        "detector.roi_op: align != pool",
        f"keypoints.width: {KeypointConfig.width} != 1024",
    ]
    assert configs.differences(ours.keypoints, theirs.keypoints) == [f"width: {KeypointConfig.width} != 1024"]
