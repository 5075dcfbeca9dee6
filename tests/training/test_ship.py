"""What a pair of trainings leaves where it ships, and what is put side by side of its reports."""

import json
import shutil

import pytest

from cspn_tf.config import to_dict as configs_to_dict
from cspn_tf.console import UserError, run
from cspn_tf.files import file_sha256
from cspn_tf.models import checkpoints
from training import numbers, ship


def test_a_pair_ships_with_one_config_and_replaces_what_was_there(tiny_detector, tiny_keypoints, tmp_path, capsys):
    (tmp_path / "pair" / "detector").mkdir(parents=True)
    (tmp_path / "pair" / "detector" / "old.txt").write_text("before")
    call = ["--detector", str(tiny_detector), "--keypoints", str(tiny_keypoints), "--out", str(tmp_path / "pair")]
    assert run(ship.main, call) in (0, None)
    assert f"written to {tmp_path / 'pair'}: " in capsys.readouterr().out
    configs = []
    for network in (checkpoints.DETECTOR, checkpoints.KEYPOINTS):
        assert {path.name for path in (tmp_path / "pair" / network).iterdir()} == {
            *("best.weights.h5", "config.json", "network.json")
        }
        configs.append(checkpoints.read_description(tmp_path / "pair" / network, network)[0])
    assert configs[0] == configs[1]
    about = json.loads((tmp_path / "pair" / "cspn.json").read_text())
    assert about["precision"] == "float16" and about["config"] == configs_to_dict(configs[0])
    assert about["weights_sha256"] == file_sha256(tmp_path / "pair" / "cspn.tflite")


def test_a_pair_of_which_one_has_no_weights_replaces_nothing(tiny_detector, tiny_keypoints, tmp_path):
    shutil.copytree(tiny_keypoints, tmp_path / "keypoints")
    (tmp_path / "keypoints" / "best.weights.h5").unlink()
    call = ["--detector", tiny_detector, "--keypoints", tmp_path / "keypoints", "--out", tmp_path / "pair"]
    with pytest.raises(UserError, match=r"keypoints has no best\.weights\.h5"):
        ship.main([str(argument) for argument in call])
    assert not (tmp_path / "pair").exists()


def test_a_cell_has_the_value_the_interval_and_the_count():
    assert numbers._cell({"value": 0.51234, "count": 7, "interval": [0.4, 0.6]}) == "0.512 (0.400 to 0.600); 7"
    assert numbers._cell({"value": 0.5, "count": 7, "interval": None}) == "0.500; 7"
    assert numbers._cell({"value": None, "count": 0, "interval": None}) == "-"


def test_what_is_no_report_is_named(tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps([])[:1])
    with pytest.raises(UserError, match=r"metrics\.json: not a report of evaluate: "):
        numbers.main([str(tmp_path)])
    for content in ([], {}, {"num_photos": 1}):
        (tmp_path / "metrics.json").write_text(json.dumps(content))
        with pytest.raises(UserError, match=r"metrics\.json: not a report of evaluate$"):
            numbers.main([str(tmp_path)])
