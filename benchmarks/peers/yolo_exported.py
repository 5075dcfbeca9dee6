"""Worker script for YOLO-pose in ONNX Runtime, OpenVINO or LiteRT, without PyTorch.

Options: work_dir and stem (of the files of `yolo_export`), size, runtime (`onnxruntime`, `openvino`,
`openvino_fp32`, `litert_int8`), threads.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import photos as pictures

_PRECISIONS = {"float32": "fp32", "f32": "fp32", "bfloat16": "bf16", "bf16": "bf16", "float16": "fp16", "f16": "fp16"}


def load(options):
    """Return the runner; see `benchmarks/workers/worker.py`."""
    cv2.setNumThreads(options["threads"])
    runtime = {"onnxruntime": _OnnxRuntime, "litert_int8": _LiteRt}.get(options["runtime"], _OpenVino)(options)
    size, threads = options["size"], options["threads"]
    infer = runtime.make_infer(threads)
    keypoints = _keypoints_by(infer, size)

    def make_parallel():
        pool = ThreadPoolExecutor(threads)
        idle = [_keypoints_by(infer, size) for infer in runtime.make_parallel(threads)]

        def one(photo):
            run = idle.pop()
            try:
                return run(photo)
            finally:
                idle.append(run)

        return lambda photos: list(pool.map(one, photos))

    ways = {"one by one": lambda: lambda photos: [keypoints(photo) for photo in photos]}
    if threads > 1:
        ways[f"{threads} {runtime.parallel_name}"] = make_parallel
    if hasattr(runtime, "make_batch"):
        ways["one batch"] = lambda: pictures.yolo_batch(runtime.make_batch(threads), size)
    facts = json.loads((Path(options["work_dir"]) / f"{options['stem']}.json").read_text())
    facts |= {"precision": runtime.precision, "threads": str(threads), "note": "padded to a square"}
    return {"one": keypoints, "batches": ways, "facts": facts}


def _keypoints_by(infer, size):
    def keypoints(photo):
        tensor, transform = pictures.letterbox(pictures.decode(photo), size)
        return pictures.yolo_keypoints(infer(tensor)[0], transform)

    return keypoints


class _OnnxRuntime:
    parallel_name = "sessions of 1 thread"
    precision = "fp32"

    def __init__(self, options):
        self._stem = Path(options["work_dir"]) / options["stem"]

    def make_infer(self, threads):
        return self._make(self._stem.with_suffix(".onnx"), threads)

    def make_batch(self, threads):
        return self._make(self._stem.with_name(f"{self._stem.name}-batch.onnx"), threads)

    def make_parallel(self, threads):
        return [self._make(self._stem.with_suffix(".onnx"), 1) for _ in range(threads)]

    def _make(self, path, threads):
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda tensor: session.run(None, {name: tensor})[0]


class _OpenVino:
    parallel_name = "streams"

    def __init__(self, options):
        import openvino

        self._core = openvino.Core()
        folder = Path(options["work_dir"]) / f"{options['stem']}_openvino"
        self._path = next(folder.glob("*.xml"))
        self._settings = {"INFERENCE_PRECISION_HINT": "f32"} if options["runtime"] == "openvino_fp32" else {}
        compiled = self._compile(options["threads"], "LATENCY")
        kind = compiled.get_property("INFERENCE_PRECISION_HINT")
        name = kind.get_type_name() if hasattr(kind, "get_type_name") else str(kind)
        self.precision = _PRECISIONS.get(name, name)

    def make_infer(self, threads):
        return self._request(self._compile(threads, "LATENCY"))

    def make_batch(self, threads):
        return self._request(self._compile(threads, "LATENCY", batch_size=pictures.BATCH_SIZE))

    def make_parallel(self, threads):
        compiled = self._compile(threads, "THROUGHPUT", NUM_STREAMS=threads)
        return [self._request(compiled) for _ in range(threads)]

    def _compile(self, threads, hint, batch_size=1, **settings):
        model = self._core.read_model(self._path)
        if batch_size > 1:
            model.reshape([batch_size, *list(model.inputs[0].shape)[1:]])
        settings |= {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": hint, **self._settings}
        return self._core.compile_model(model, "CPU", settings)

    def _request(self, compiled):
        request = compiled.create_infer_request()
        return lambda tensor: next(iter(request.infer([tensor]).values()))


class _LiteRt:
    """Int8, one photo per call: Ultralytics exports LiteRT files for a fixed number of photos."""

    parallel_name = "interpreters of 1 thread"
    precision = "int8"

    def __init__(self, options):
        self._path = Path(options["work_dir"]) / f"{options['stem']}.tflite"
        # The file's boxes and keypoints are fractions of the input.
        self._scale = np.ones((4 + pictures.NUM_TYPES + 3 * pictures.NUM_KEYPOINTS, 1), np.float32)
        self._scale[:4] = options["size"]
        for coordinate in (0, 1):
            self._scale[4 + pictures.NUM_TYPES + coordinate :: 3] = options["size"]

    def make_infer(self, threads):
        from ai_edge_litert.interpreter import Interpreter

        run = Interpreter(str(self._path), num_threads=threads).get_signature_runner()
        return lambda tensor: run(args_0=tensor)["output_0"] * self._scale

    def make_parallel(self, threads):
        return [self.make_infer(1) for _ in range(threads)]
