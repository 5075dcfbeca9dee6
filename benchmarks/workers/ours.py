"""Worker script for our models: a SavedModel in process or behind the local server, or a TFLite file.

Options: runtime (`saved_model`, `grpc` or `tflite`), model or tflite (a path), threads, intra_threads. The runtime
`costs` runs no model: it counts parameters and FLOP of two training directories, detector and keypoints.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cspn_tf.machine import set_threads
from cspn_tf.quiet import quiet_tensorflow


def load(options):
    """Return the runner for the options; see `worker`."""
    quiet_tensorflow()
    makers = {"saved_model": _load_saved_model, "grpc": _load_grpc, "tflite": _load_tflite, "costs": _count_costs}
    return makers[options["runtime"]](options)


def _load_saved_model(options):
    from cspn_tf.inference.predictors import from_saved_model

    set_threads(options["intra_threads"], options["threads"])
    predict = from_saved_model(options["model"]).predict
    runner = _runner_of(lambda photos: _keypoints(predict(photos)), options["threads"])
    runner["facts"] = {
        "precision": _precision_of(Path(options["model"])),
        "threads": f"{options['threads']} inter-op, {options['intra_threads']} intra-op",
    }
    return runner


def _load_grpc(options):
    import contextlib

    from cspn_tf.inference.versions import version_directory
    from cspn_tf.serve.client import Client
    from cspn_tf.serve.local_server import running_server

    stack = contextlib.ExitStack()
    num_threads = options["threads"]
    address = stack.enter_context(running_server(options["model"], options["intra_threads"], num_threads))
    client = stack.enter_context(Client(address))
    runner = _runner_of(
        lambda photos: [found.garments.keypoints_xy.tolist() for found in client.predict(photos)], num_threads
    )
    runner["close"] = stack.close
    runner["facts"] = {
        "precision": _precision_of(version_directory(options["model"])),
        "threads": f"server {num_threads} inter-op, {options['intra_threads']} intra-op",
    }
    return runner


def _runner_of(keypoints, num_threads):
    """Return the runner for a function that takes several photos and returns a list of keypoint rows for each."""

    def one(photo):
        return keypoints([photo])[0]

    def make_parallel():
        pool = ThreadPoolExecutor(num_threads)
        return lambda photos: list(pool.map(one, photos))

    ways = {"one batch": lambda: keypoints}
    if num_threads > 1:
        ways[f"{num_threads} calls at a time"] = make_parallel
    return {"one": one, "batches": ways}


def _keypoints(outputs):
    """Convert the contract's outputs to a list of keypoint rows, one per garment, for each photo."""
    rows = zip(outputs["keypoints"], outputs["num_garments"], strict=True)
    return [keypoints[:num].tolist() for keypoints, num in rows]


def _precision_of(version_dir):
    """Return the precision of a SavedModel's convolutions."""
    from tensorflow.core.framework import types_pb2

    from cspn_tf.inference.versions import read_served_graph

    graph = read_served_graph(version_dir).graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    types = {node.attr["T"].type for node in nodes if "Conv2d" in node.op or "Conv2D" in node.op}
    return "bf16" if types_pb2.DT_BFLOAT16 in types else "fp32"


# TensorFlow Lite -----------------------------------------------------------------------------------------------------


def _load_tflite(options):
    from ai_edge_litert.interpreter import Interpreter

    from cspn_tf.inference.predictors import from_tflite

    path, num_threads = options["tflite"], options["threads"]
    set_threads(options["intra_threads"], num_threads)
    predict = from_tflite(path, num_threads, Interpreter).predict

    def make_parallel():
        pool = ThreadPoolExecutor(num_threads)
        idle = [from_tflite(path, 1, Interpreter).predict for _ in range(num_threads)]

        def one_of_several(photo):
            predict_alone = idle.pop()
            try:
                return _keypoints(predict_alone([photo]))[0]
            finally:
                idle.append(predict_alone)

        return lambda photos: list(pool.map(one_of_several, photos))

    ways = {"one by one": lambda: lambda photos: _keypoints(predict(photos))}
    if num_threads > 1:
        ways[f"{num_threads} interpreters of 1 thread"] = make_parallel
    types = {np.dtype(detail["dtype"]).name for detail in Interpreter(str(path)).get_tensor_details()}
    return {
        "one": lambda photo: _keypoints(predict([photo]))[0],
        "batches": ways,
        "facts": {
            "precision": "int8" if "int8" in types else "fp16 weights" if "float16" in types else "fp32",
            "threads": str(num_threads),
            "note": "TensorFlow decodes and letterboxes the photo; its memory is included",
        },
    }


# Costs ---------------------------------------------------------------------------------------------------------------


def _count_costs(options):
    """Return parameters, and FLOP for a photo with one garment."""
    from benchmarks.networks import load_network

    pair = [load_network(kind, options[kind]) for kind in ("detector", "keypoints")]
    return {
        "facts": {
            "parameters": sum(network.parameters for network in pair),
            "flops": sum(network.flops for network in pair),
        }
    }
