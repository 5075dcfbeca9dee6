import ast
import dataclasses
import sys
from pathlib import Path

import pytest

from benchmarks.comparison import runners
from benchmarks.workers.process import WORKER
from tests.test_architecture import all_imports

THEIRS = {"torch", "torchvision", "timm", "ultralytics", "onnx", "onnxruntime", "openvino", "onnxslim", "cv2", "thop"}
OWN = {"cspn_tf", "training", "serving", "benchmarks", "examples"}
SCRIPTS = sorted(runners.PEERS.glob("*.py"))
# A program by itself, in the peers' environment too.
YOLO_ACCURACY = runners.PEERS.with_name("yolo_accuracy.py")


def imported_by(path):
    """Return the first parts of the names of all modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def test_our_modules_import_nothing_of_the_peers():
    for name, imported in all_imports().items():
        if not name.startswith("benchmarks.peers.") and name != "benchmarks.yolo_accuracy":
            assert not {other.split(".")[0] for other in imported} & THEIRS, name


@pytest.mark.parametrize("script", [*SCRIPTS, YOLO_ACCURACY], ids=lambda path: path.name)
def test_a_peers_script_imports_nothing_of_ours(script):
    assert not imported_by(script) & OWN


def test_the_peers_scripts_are_found_and_import_what_is_pinned():
    assert {runner.script for runner in runners.peer_runners("work", 2, 1)} <= set(SCRIPTS)
    pinned = {line.partition("==")[0] for line in (runners.PEERS / "requirements.txt").read_text().split()}
    others = set().union(*map(imported_by, SCRIPTS)) - {path.stem for path in SCRIPTS} - set(sys.stdlib_module_names)
    packages = {"cv2": "opencv-python", "yaml": "ultralytics", "ai_edge_litert": "ai-edge-litert"}
    assert {packages.get(name, name) for name in others} <= pinned


def test_the_worker_needs_the_standard_library_alone():
    assert imported_by(WORKER) <= set(sys.stdlib_module_names)


def test_ours_are_every_runtime_with_every_number_of_threads(tmp_path):
    ours = runners.our_runners("cspn", tmp_path / "1", tmp_path / "x.tflite", 2, [1, 2])
    assert [runner.name for runner in ours] == [
        "cspn, SavedModel in process, 1 intra-op",
        "cspn, SavedModel in process, 2 intra-op",
        "cspn, SavedModel over gRPC, 1 intra-op",
        "cspn, SavedModel over gRPC, 2 intra-op",
        "cspn, TFLite, ai-edge-litert",
    ]
    assert runners.our_runners("phone", None, tmp_path / "x.tflite", 2, [1, 2]) == [
        dataclasses.replace(ours[4], model="phone")
    ]
    # The server takes the directory of versions.
    assert (ours[0].options["model"], ours[2].options["model"]) == (str(tmp_path / "1"), str(tmp_path))
    assert all(runner.is_ours and runner.options["threads"] == 2 for runner in ours)
    assert len(runners.our_runners("cspn", tmp_path, None, 1, [1])) == 2


def test_peers_are_as_many_as_their_runtimes():
    peers = runners.peer_runners("work", 2, 1)
    assert len({runner.name for runner in peers}) == len(peers) == 4 * 5 + 1 + 2
    assert not any(runner.is_ours for runner in peers)


def test_only_the_networks_and_sizes_that_are_run_are_exported():
    peers = runners.peer_runners("work", 2, 1)
    yolo_640 = [runner for runner in peers if runner.model == runners.YOLO_640]
    models = [(f"yolo{number}n-pose", size) for number in (11, 26) for size in (320, 640)]
    assert runners.export_runner(peers, "work", 2).options["models"] == models
    assert runners.export_runner(yolo_640, "work", 2).options["models"] == [("yolo11n-pose", 640)]
    assert runners.export_runner(runners.our_runners("cspn", "a", None, 2, [1]), "work", 2) is None


def test_each_side_has_its_own_interpreter_folder_and_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    ours = runners.command_of(runners.our_runners("cspn", tmp_path, None, 3, [1])[0], "peers/python")
    theirs = runners.command_of(runners.peer_runners(tmp_path, 3, 1)[0], "peers/python")
    assert (ours["python"], ours["folder"]) == (sys.executable, runners.ROOT)
    assert (theirs["python"], theirs["folder"]) == (str(Path.cwd() / "peers/python"), str(tmp_path))
    assert ours["environment"]["PYTHONPATH"] == str(runners.ROOT)
    assert "PYTHONPATH" not in theirs["environment"]
    assert ours["environment"]["OMP_NUM_THREADS"] == theirs["environment"]["OMP_NUM_THREADS"] == "3"
    assert theirs["environment"]["YOLO_OFFLINE"] == "True"
