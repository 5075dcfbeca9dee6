import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from cspn_tf import config as configs
from cspn_tf.cli.export_saved_model import main
from cspn_tf.console import CallError, UserError, run
from cspn_tf.export import saved_model as export_saved_model


@pytest.fixture
def written_by(monkeypatch):
    """A function that sets what writes a version directory, where its content is not looked at."""
    return lambda write: monkeypatch.setattr(export_saved_model, "_write", lambda _, version_dir: write(version_dir))


def test_version_directory_holds_model_description_and_warm_up(tiny_model, tiny_pipeline):
    version = tiny_model / "1"
    assert sorted(path.name for path in tiny_model.iterdir()) == ["1"]
    description = json.loads((version / "assets.extra" / "cspn.json").read_text())
    assert configs.from_dict(description["config"]) == tiny_pipeline.config
    assert description["outputs"]["boxes"]["meaning"].startswith("x_min, y_min")
    assert description["keypoint_order"][4] == "left_waistline"
    assert (version / "assets.extra" / "tf_serving_warmup_requests").stat().st_size > 0


def test_weights_are_constants_of_what_inference_needs(tiny_model):
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((tiny_model / "1" / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [node for function in graph.library.function for node in function.node_def]
    nodes += graph.node
    assert not {node.op for node in nodes if "VariableOp" in node.op}
    names = [node.name for node in nodes]
    assert any("stage_4_heatmaps" in name for name in names)
    assert not any("stage_1_heatmaps" in name or "stage_2_heatmaps" in name for name in names)
    # Normalisation is part of the convolutions.
    assert not [node.name for node in nodes if node.op.startswith("FusedBatchNorm")]


def test_operations_have_one_order_whatever_the_order_of_the_threads(tiny_model, tmp_path):
    version = tmp_path / "1"
    shutil.copytree(tiny_model / "1", version)
    path = version / "saved_model.pb"
    written = path.read_bytes()
    saved = saved_model_pb2.SavedModel.FromString(written)
    for function in saved.meta_graphs[0].graph_def.library.function:
        function.node_def.reverse()
    path.write_bytes(saved.SerializeToString())
    assert path.read_bytes() != written
    export_saved_model._put_in_one_order(version)
    assert path.read_bytes() == written
    prints = [tf.saved_model.experimental.read_fingerprint(str(folder)) for folder in (version, tiny_model / "1")]
    assert prints[0].graph_def_program_hash == prints[1].graph_def_program_hash
    assert prints[0].saved_model_checksum == prints[1].saved_model_checksum


def test_next_version_follows_the_highest(written_by, tmp_path):
    for name in ("3", "12", "writing-13", "notes"):
        (tmp_path / name).mkdir()
    written_by(Path.mkdir)
    assert export_saved_model.export(None, tmp_path).name == "13"
    with pytest.raises(UserError, match="3 exists"):
        export_saved_model.export(None, tmp_path, version=3)


def test_a_version_that_tf_serving_ignores_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(UserError, match="--version must be at most 9223372036854775807, received 9223372036854775808"):
        export_saved_model.export(None, tmp_path / "cspn", version=2**63)
    assert list(tmp_path.iterdir()) == []


def test_there_is_no_version_after_the_highest_possible(written_by, tmp_path):
    (tmp_path / str(2**63 - 1)).mkdir()
    with pytest.raises(UserError, match=f"has the highest possible version, {2**63 - 1}: give an unused --version"):
        export_saved_model.export(None, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [str(2**63 - 1)]
    written_by(Path.mkdir)
    assert export_saved_model.export(None, tmp_path, version=7).name == "7"


def test_exports_take_turns(written_by, tmp_path):
    asked = []

    def export_meanwhile(version_dir):
        version_dir.mkdir()
        with pytest.raises(CallError, match="is being written by another process"):
            export_saved_model.export(None, tmp_path)
        asked.append(sorted(path.name for path in tmp_path.iterdir()))

    written_by(export_meanwhile)
    assert export_saved_model.export(None, tmp_path).name == "1"
    assert asked == [["lock", "writing-1"]]
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_failed_export_leaves_nothing(written_by, tmp_path):
    def fail(version_dir):
        (version_dir / "variables").mkdir(parents=True)
        raise RuntimeError("no")

    written_by(fail)
    with pytest.raises(RuntimeError):
        export_saved_model.export(None, tmp_path / "cspn")
    assert list((tmp_path / "cspn").iterdir()) == []


def test_command_names_what_is_wrong(tmp_path, capsys, tiny_detector, tiny_keypoints):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), "--max-photos", str(2**31)])
    assert "--max-photos must be below 2147483648" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), "--max-pixels", str(2**60)])
    assert "--max-pixels must be below 1152921504606846976" in capsys.readouterr().err
    assert run(main, ["--out", str(tmp_path / "file" / "sub")]) == 2
    assert f"--out {tmp_path}/file/sub: {tmp_path}/file is a file, required a folder" in capsys.readouterr().err
    out = str(tmp_path / "cspn")
    assert run(main, ["--detector", str(tmp_path), "--keypoints", str(tmp_path), "--out", out]) == 1
    assert "is not a detector checkpoint" in capsys.readouterr().err
    swapped = ["--detector", str(tiny_keypoints), "--keypoints", str(tiny_detector), "--out", out]
    assert run(main, swapped) == 1
    assert "holds a keypoints checkpoint, not a detector one" in capsys.readouterr().err
    other = tmp_path / "other"
    shutil.copytree(tiny_keypoints, other)
    content = json.loads((other / "config.json").read_text())
    content["canvas_size"], content["preset"] = 512, "mobile"
    (other / "config.json").write_text(json.dumps(content))
    mixed = ["--detector", str(tiny_detector), "--keypoints", str(other), "--out", out]
    assert run(main, mixed) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "preset tiny" in error and "preset mobile" in error
    assert not (tmp_path / "cspn").exists()


def test_served_over_grpc_answers_as_the_keras_objects(tiny_pipeline, tiny_model, tiny_fld):
    from cspn_tf.serve.client import Client
    from cspn_tf.serve.grpc_server import LocalServer

    photos = [path.read_bytes() for path in sorted((tiny_fld / "img").iterdir())[:3]]
    expected = {name: value.numpy() for name, value in tiny_pipeline.serve(tf.constant(photos)).items()}
    with LocalServer(tiny_model, "cspn") as server, Client(server.address) as client:
        client.wait_until_ready()
        results = client.predict(photos)
    for row, result in enumerate(results):
        garments, num = result.garments, expected["num_garments"][row]
        assert len(garments) == num > 0
        np.testing.assert_allclose(garments.boxes_xyxy, expected["boxes"][row, :num], atol=0.01)
        np.testing.assert_allclose(garments.keypoints_xy, expected["keypoints"][row, :num], atol=0.01)
        np.testing.assert_allclose(garments.scores, expected["scores"][row, :num], atol=1e-4)
        np.testing.assert_allclose(garments.keypoint_scores, expected["keypoint_scores"][row, :num], atol=1e-4)
