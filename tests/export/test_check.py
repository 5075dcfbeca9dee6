"""Each check on an export that passes all of them, changed in one place."""

import json
import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from cspn_tf.cli import check as command
from cspn_tf.console import UserError, run
from cspn_tf.export import check as checks
from cspn_tf.export import saved_model
from cspn_tf.serve.warmup import write_warmup_requests


@pytest.fixture
def version(tiny_model, tmp_path):
    return Path(shutil.copytree(tiny_model / "1", tmp_path / "model" / "1"))


@pytest.fixture
def edited(version):
    """A function that changes the SavedModel's file with a function of its graph, and returns the faults found."""

    def edit(change):
        path = version / "saved_model.pb"
        content = saved_model_pb2.SavedModel.FromString(path.read_bytes())
        change(content.meta_graphs[0])
        path.write_bytes(content.SerializeToString())
        return faults_of(version)

    return edit


def faults_of(version):
    return {what: faults for what, _, faults in checks.check(version) if faults}


def test_an_export_passes_and_the_command_says_what_was_checked(version, capsys):
    assert run(command.main, [str(version.parent)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7 and all(line.startswith("ok ") for line in lines)
    limits = json.loads((version / "assets.extra/cspn.json").read_text())["limits"]
    assert limits == {
        "photos_per_request": 64,
        "pixels_per_jpeg": 50_000_000,
        "pixels_per_png": 25_000_000,
        "pixels_per_pixels_request": 200_000_000,
    }
    assert "pixels per png 25000000" in lines[4]
    # status, image_size and num_garments; N rows of box, class, score and 8 keypoints of x, y and score; 4 bytes each.
    rows = tf.saved_model.load(str(version)).signatures["serving_default"].structured_outputs["classes"].shape[1]
    assert f"{4 * (1 + 2 + 1 + rows * (4 + 1 + 1 + 8 * 3))} bytes per photo" in lines[3]
    assert "4 requests replayed, of 1, 2, 4, 8 photos" in lines[6]


def test_an_operation_outside_the_list_is_named(edited):
    def add(graph):
        graph.graph_def.library.function[0].node_def.add(name="p", op="EagerPyFunc")
        graph.graph_def.node.add(name="q", op="PrintV2")

    assert edited(add) == {
        "operations": ["operation EagerPyFunc is not in the allow-list", "operation PrintV2 is not in the allow-list"]
    }


def test_the_list_has_no_operation_that_reaches_files_or_python():
    denied = {"ReadFile", "WriteFile", "PrintV2", "Print", "PyFunc", "PyFuncStateless", "EagerPyFunc", "MatchingFiles"}
    assert not denied & checks.ALLOWED_OPS
    assert all(hasattr(tf.raw_ops, name) for name in checks.ALLOWED_OPS)


def test_forced_xla_is_a_fault(edited):
    def force(graph):
        graph.graph_def.library.function[0].attr["_XlaMustCompile"].b = True

    (fault,) = edited(force)["operations"]
    assert "compiled by XLA" in fault


def test_another_signature_or_output_is_a_fault(edited):
    def add(graph):
        signature = graph.signature_def["serving_default"]
        graph.signature_def["raw"].CopyFrom(signature)
        signature.outputs["features"].CopyFrom(signature.outputs["boxes"])

    first, second = edited(add)["signatures"]
    assert first == "signatures must be serving_default, pixels; received pixels, raw, serving_default"
    assert second.startswith("serving_default: its inputs and outputs are boxes, ") and "features" in second


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda info: setattr(info.tensor_shape.dim[0], "size", 1), "must have a batch of any size first"),
        (lambda info: setattr(info.tensor_shape.dim[1], "size", -1), "must have a batch of any size first"),
        (lambda info: setattr(info, "dtype", 2), "scores is float64"),
        (lambda info: info.tensor_shape.dim.add(size=1), "not the contract's"),
    ],
    ids=["fixed batch", "rows of any number", "dtype", "rank"],
)
def test_an_output_of_another_kind_is_a_fault(edited, change, fault):
    (found,) = edited(lambda graph: change(graph.signature_def["pixels"].outputs["scores"]))["signatures"]
    assert found.startswith("pixels: scores") and fault in found


def test_an_unknown_writer_is_a_fault(edited):
    found = edited(lambda graph: setattr(graph.meta_info_def, "tensorflow_version", "2.99.0"))
    assert found == {"saved model": ["written by TensorFlow 2.99.0; exports are known to be served if written by 2.15"]}


def test_a_damaged_saved_model_is_the_only_finding(version):
    (version / "saved_model.pb").write_bytes(b"\xff")
    assert list(faults_of(version)) == ["saved model"] and len(checks.check(version)) == 1


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda content: content.pop("limits"), "cspn.json lacks limits"),
        (lambda content: content["outputs"].pop("boxes"), "cspn.json describes other outputs"),
    ],
)
def test_an_incomplete_description_is_a_fault(version, change, fault):
    path = version / "assets.extra/cspn.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    assert faults_of(version)["description"][0].startswith(fault)
    path.unlink()
    assert "cannot be read" in faults_of(version)["description"][0]


@pytest.mark.parametrize("content", ["[]", "null", '"x"', '{"limits": 5}', '{"outputs": []}', "{", "\udcff"])
def test_a_description_of_another_form_is_a_fault(version, content):
    (version / "assets.extra/cspn.json").write_text(content, errors="surrogateescape")
    (fault,) = faults_of(version)["description"]
    assert fault.startswith("cspn.json ")


def test_what_a_session_cannot_load_is_a_fault(edited):
    def point_nowhere(graph):
        graph.signature_def["pixels"].outputs["boxes"].name = "nope:0"

    (fault,) = edited(point_nowhere)["warm-up"]
    assert fault.startswith("cannot be replayed: ") and "nope" in fault


def test_a_graph_without_nodes_and_an_unknown_dtype_are_faults(edited):
    assert "cannot be replayed" in edited(lambda graph: graph.graph_def.ClearField("node"))["warm-up"][0]
    found = edited(lambda graph: setattr(graph.signature_def["pixels"].outputs["boxes"], "dtype", 999))
    assert "999" in found["signatures"][0]


def test_a_path_so_short_that_weights_have_it_by_chance_is_none(version, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "cwd", lambda: Path("/w"))
    (version / "assets.extra/notes.txt").write_text("made in /w/runs")
    assert not faults_of(version)


def test_a_folder_of_one_name_is_no_part_of_a_longer_path(version, tmp_path, monkeypatch):
    notes = version / "assets.extra/notes.txt"
    monkeypatch.setattr(Path, "cwd", lambda: Path("/model"))
    notes.write_text("garment_detector/model/hidden_1")
    assert not faults_of(version)
    notes.write_text("made in /model/runs")
    assert faults_of(version) == {"paths": ["assets.extra/notes.txt holds the path /model"]}


def test_a_path_of_this_machine_is_a_fault(version):
    (version / "assets.extra/notes.txt").write_text(f"made in {Path.cwd()}/runs")
    assert f"assets.extra/notes.txt holds the path {Path.cwd()}" in faults_of(version)["paths"]


def test_warm_up_requests_that_cannot_be_replayed_are_a_fault(version):
    write_warmup_requests(version, b"no photo", 64)
    assert faults_of(version) == {"warm-up": ["photo of a request: not a JPEG or PNG"] * (1 + 2 + 4 + 8)}
    path = version / "assets.extra/tf_serving_warmup_requests"
    path.write_bytes(b"")
    assert faults_of(version) == {"warm-up": ["must have 1 to 1000 requests, received 0"]}
    path.unlink()
    assert "cannot be replayed" in faults_of(version)["warm-up"][0]


def test_an_export_that_fails_its_check_is_not_written(tiny_pipeline, tiny_model, tmp_path, monkeypatch):
    # What TensorFlow would write is there already.
    monkeypatch.setattr(tf.saved_model, "save", lambda _, folder, **__: shutil.copytree(tiny_model / "1", folder))
    monkeypatch.setattr(checks, "ALLOWED_OPS", checks.ALLOWED_OPS - {"Softmax"})
    with pytest.raises(UserError, match="fails its check: operations: operation Softmax is not in the allow-list"):
        saved_model.export(tiny_pipeline, tmp_path / "cspn")
    assert not list(tmp_path.glob("cspn/*"))
