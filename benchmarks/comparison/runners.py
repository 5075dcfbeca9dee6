"""The runners of a comparison: our models and the peers."""

import dataclasses
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = ROOT / "benchmarks" / "workers" / "ours.py"
PEERS = ROOT / "benchmarks" / "peers"

YOLO_640 = "YOLO11n-pose 640"
KEYPOINT_RCNN = "Keypoint R-CNN R50-FPN 800"
HRNET = "MobileNetV3 detector + HRNet-w48"
SIMPLE_BASELINE = "MobileNetV3 detector + SimpleBaseline-R50"
# Network and input size of the YOLO models, as used in options and file names.
_YOLO = {f"{name} {size}": (name.lower(), size) for name in ("YOLO11n-pose", "YOLO26n-pose") for size in (640, 320)}


@dataclasses.dataclass(frozen=True)
class Runner:
    """One model in one runtime.

    Attributes:
        model: name of the model, as used in `--accuracy`.
        runtime: name of the runtime.
        script: script of its worker.
        options: JSON-ready options for the script's `load`.
    """

    model: str
    runtime: str
    script: Path
    options: dict

    @property
    def name(self) -> str:
        """Name in reports and for `--only`."""
        return f"{self.model}, {self.runtime}"

    @property
    def is_ours(self) -> bool:
        """Whether it is a model of this project, run by our interpreter."""
        return self.script == OURS


def our_runners(name, version_dir, tflite, threads, intra_threads) -> list[Runner]:
    """Return the runners of one of our models.

    Args:
        name: name of the model.
        version_dir: the SavedModel, a version directory in the model directory, or None.
        tflite: the TFLite file, or None.
        threads: threads of each runner.
        intra_threads: list of intra-op thread counts, with a SavedModel runner for each.
    """
    runners, paths = [], {}
    if version_dir:
        version_dir = Path(version_dir).resolve()
        paths = {"saved_model": version_dir, "grpc": version_dir.parent}
    for runtime, path in paths.items():
        title = "SavedModel over gRPC" if runtime == "grpc" else "SavedModel in process"
        for intra in intra_threads:
            options = {"runtime": runtime, "model": str(path), "intra_threads": intra}
            runners.append(Runner(name, f"{title}, {intra} intra-op", OURS, {**options, "threads": threads}))
    if tflite:
        options = {"runtime": "tflite", "tflite": str(Path(tflite).resolve()), "intra_threads": 1, "threads": threads}
        runners.append(Runner(name, "TFLite, ai-edge-litert", OURS, options))
    return runners


def peer_runners(work_dir, threads, garments) -> list[Runner]:
    """Return the runners of the peers.

    Args:
        work_dir: folder of the models that `export_runner` exports.
        threads: threads of each runner.
        garments: number of crops per photo in the two-stage runners.
    """
    shared = {"work_dir": str(work_dir), "threads": threads, "garments": garments}
    runners = []
    for model, (network, size) in _YOLO.items():
        for runtime, title in (
            ("torch", "PyTorch"),
            ("onnxruntime", "ONNX Runtime"),
            ("openvino_fp32", "OpenVINO fp32"),
            ("openvino", "OpenVINO, its own choice"),
            ("litert_int8", "LiteRT int8"),
        ):
            script = PEERS / ("yolo_torch.py" if runtime == "torch" else "yolo_exported.py")
            runners.append(
                Runner(model, title, script, {"runtime": runtime, "stem": f"{network}-{size}", "size": size, **shared})
            )
    runners.append(Runner(KEYPOINT_RCNN, "PyTorch", PEERS / "keypoint_rcnn.py", {"size": 800, **shared}))
    for model, network in ((HRNET, "hrnet_w48"), (SIMPLE_BASELINE, "simple_baseline_r50")):
        runners.append(Runner(model, "PyTorch", PEERS / "two_stage.py", {"network": network, **shared}))
    return runners


def export_runner(runners, work_dir, threads) -> Runner | None:
    """Return the runner that exports the YOLO models when it is loaded, or None if no runner uses them."""
    models = sorted({_YOLO[runner.model] for runner in runners if runner.model in _YOLO})
    if not models:
        return None
    options = {"work_dir": str(work_dir), "threads": threads, "models": models}
    return Runner("YOLO", "export", PEERS / "yolo_export.py", options)


def costs_runner(name, detector_dir, keypoints_dir, threads) -> Runner:
    """Return the runner that counts parameters and FLOP of one of our models when it is loaded."""
    directories = {"detector": str(Path(detector_dir).resolve()), "keypoints": str(Path(keypoints_dir).resolve())}
    return Runner(name, "costs", OURS, {"runtime": "costs", "threads": threads, **directories})


def command_of(runner, peers_python) -> dict:
    """Return the arguments of `WorkerProcess` for a runner, except for the name."""
    threads = str(runner.options["threads"])
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    environment |= {f"{library}_NUM_THREADS": threads for library in ("OMP", "MKL", "OPENBLAS")}
    if runner.is_ours:
        environment["PYTHONPATH"] = str(ROOT)
        return {"python": sys.executable, "script": runner.script, "environment": environment, "folder": ROOT}
    environment.pop("PYTHONPATH", None)
    environment |= {"YOLO_OFFLINE": "True", "YOLO_AUTOINSTALL": "False", "YOLO_VERBOSE": "False"}
    folder = runner.options["work_dir"]
    return {
        # Symlinks are not resolved: the target of a virtual environment's interpreter does not see its packages.
        "python": os.path.abspath(peers_python),
        "script": runner.script,
        "environment": {**environment, "YOLO_CONFIG_DIR": folder},
        "folder": folder,
    }
