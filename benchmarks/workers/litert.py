"""Worker script that runs a TFLite file in LiteRT, without TensorFlow, from a canvas to its outputs.

Options: tflite and photo (paths), repeats, threads, profiled. A turn runs the file `repeats` times and returns
{"ms": [...]}, the milliseconds of each run. If profiled, it returns instead the milliseconds of one run by type of
operation: {"XNNPACK": 9.1, "GATHER": 0.4, ...}.
"""

import ctypes
import re
import sys
import time
from ctypes import byref, c_char_p, c_size_t, c_void_p
from pathlib import Path

import numpy as np

from cspn_tf.inference.lite import read_photo

_WARMUP = 5
# Operations whose own time is nothing: they contain the time of others, which the profile lists too.
_CONTAINERS = ("WHILE", "IF")


def load(options):
    """Return the runner for the options; see `worker`."""
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(options["tflite"], num_threads=options["threads"]).get_signature_runner()
    size = int(run.get_input_details()["image"]["shape"][1])
    canvas = read_photo(Path(options["photo"]).read_bytes(), size, sys.maxsize)[0]
    # For keypoints.tflite: a garment that fills most of the canvas.
    box = np.float32([[size / 4, size / 8, 3 * size / 4, 7 * size / 8]])
    known = {"image": canvas[np.newaxis], "box": box, "garment_type": np.int32([1])}
    inputs = {name: known[name] for name in run.get_input_details()}
    if options.get("profiled"):
        return _profiled(options["tflite"], inputs, options["threads"], options["repeats"])
    return _timed(run, inputs, options["repeats"])


def _timed(run, inputs, repeats):
    for _ in range(_WARMUP):
        run(**inputs)

    def turn():
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            run(**inputs)
            times.append(1000.0 * (time.perf_counter() - start))
        return {"ms": times}

    return {"turn": turn}


# LiteRT's profiler has no Python interface ---------------------------------------------------------------------------


def _profiled(path, inputs, num_threads, repeats):
    import ai_edge_litert

    library = ctypes.CDLL(str(Path(ai_edge_litert.__file__).with_name("libLiteRt.so")))
    text = {b"runtime_options_string": b"enable_profiling = true\n", b"cpu_options_string": b"num_threads = %d\n"}
    text[b"cpu_options_string"] %= num_threads

    def call(name, *arguments):
        status = getattr(library, name)(*arguments)
        if status:
            raise RuntimeError(f"{name} failed with status {status}")

    def made(name, *arguments):
        handle = c_void_p()
        call(name, *arguments, byref(handle))
        return handle

    environment = made("LiteRtCreateEnvironment", 0, None)
    model = made("LiteRtCreateModelFromFile", environment, str(path).encode())
    options = made("LiteRtCreateOptions")
    call("LiteRtSetOptionsHardwareAccelerators", options, 1)  # the CPU
    keep = ctypes.CFUNCTYPE(None, c_void_p)(lambda payload: None)  # the payloads are Python's to free
    for name, payload in text.items():
        call("LiteRtAddOpaqueOptions", options, made("LiteRtCreateOpaqueOptions", name, c_char_p(payload), keep))
    compiled = made("LiteRtCreateCompiledModel", environment, model, options)
    signature = made("LiteRtGetModelSignature", model, c_size_t(0))

    def buffers(kind):
        num = c_size_t()
        call(f"LiteRtGetNumSignature{kind}s", signature, byref(num))
        handles = []
        for number in map(c_size_t, range(num.value)):
            tensor = made(f"LiteRtGetSignature{kind}TensorByIndex", signature, number)
            tensor_type = ctypes.create_string_buffer(256)  # a struct of 72 bytes
            call("LiteRtGetRankedTensorType", tensor, tensor_type)
            wanted = made(f"LiteRtGetCompiledModel{kind}BufferRequirements", compiled, c_size_t(0), number)
            buffer = made("LiteRtCreateManagedTensorBufferFromRequirements", environment, tensor_type, wanted)
            if kind == "Input":
                name = c_char_p()
                call("LiteRtGetSignatureInputName", signature, number, byref(name))
                value = np.ascontiguousarray(inputs[name.value.decode()])
                memory = c_void_p()
                call("LiteRtLockTensorBuffer", buffer, byref(memory), 1)  # to write
                ctypes.memmove(memory, value.ctypes.data, value.nbytes)
                call("LiteRtUnlockTensorBuffer", buffer)
            handles.append(buffer.value)
        return num, (c_void_p * num.value)(*handles)

    arguments = (compiled, c_size_t(0), *buffers("Input"), *buffers("Output"))
    profiler = made("LiteRtCompiledModelGetProfiler", compiled)
    for _ in range(_WARMUP):
        call("LiteRtRunCompiledModel", *arguments)

    def turn():
        call("LiteRtResetProfiler", profiler)
        call("LiteRtStartProfiler", profiler)
        for _ in range(repeats):
            call("LiteRtRunCompiledModel", *arguments)
        call("LiteRtStopProfiler", profiler)
        summary = c_char_p()
        call("LiteRtGetProfileSummary", profiler, compiled, byref(summary))
        return by_type(summary.value.decode(), repeats)

    turn.keep = keep, text
    return {"turn": turn}


def by_type(summary, num_runs) -> dict:
    """Return the milliseconds of a run by type of operation, from LiteRT's profile of several runs.

    All of XNNPACK's operations are one type, "XNNPACK".
    """
    table = summary.partition("Summary by node type")[2].partition("Delegate Statistics")[0]
    # The total counts a loop and what runs inside it.
    total_ms = int(re.search(r"Timings .* curr=(\d+)", summary)[1]) / 1000.0 / num_runs
    times = {}
    for line in table.splitlines():
        row = re.fullmatch(r" *(\S.*?) +\d+ +[\d.]+ +([\d.]+)% .*", line)
        if row is None:
            continue
        name = "XNNPACK" if row[1].startswith("Delegate/") else row[1]
        if name not in _CONTAINERS:
            times[name] = times.get(name, 0.0) + float(row[2]) / 100.0 * total_ms
    return times
