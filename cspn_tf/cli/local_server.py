"""Serve a model directory over gRPC for development, with TF Serving's services and errors.

For production use the official `tensorflow/serving` image; this server needs only Python. It serves the highest
version, switches to a newer one once that has loaded and warmed up, and keeps the old one if the new one is broken. On
SIGTERM or SIGINT it finishes running requests, which may take a minute, and exits with code 0.
"""

import argparse
import os
import signal
import threading
from pathlib import Path

from cspn_tf.console import Parser, non_negative_int, positive_float, positive_int, require_extra
from cspn_tf.inference.versions import latest_version
from cspn_tf.machine import num_cores, set_threads
from cspn_tf.serve.local_server import READY_PREFIX, check_address_is_free


def main(argv=None):
    args = _parse(argv)
    require_extra("serving")
    model_name = args.model_name or Path(args.model).resolve().name
    # Fail fast: check what is possible before the import of TensorFlow, which takes seconds.
    latest_version(args.model)
    check_address_is_free(args.host, args.port)
    # Until the server is ready there is nothing to clean up; an exception could be raised inside TensorFlow's import.
    _on_signals(lambda: os._exit(0))
    from cspn_tf.serve.grpc_server import LocalServer

    set_threads(args.intra_op_threads, args.inter_op_threads)
    stopped = threading.Event()
    with LocalServer(args.model, model_name, args.host, args.port, args.workers, args.poll_seconds) as server:
        _on_signals(stopped.set)
        version = server.versions.get().version
        print(f"{READY_PREFIX}{server.address} (model {model_name}, version {version})", flush=True)
        stopped.wait()


def _parse(argv):
    parser = Parser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--model", required=True, metavar="DIR", help="model directory, with one subdirectory per version"
    )
    parser.add_argument("--port", type=port_number, default=8500, help="port to listen on; 0 picks a free port")
    parser.add_argument("--host", default="localhost", help="address to listen on")
    parser.add_argument("--model-name", help="model name in requests (default: the model directory's name)")
    parser.add_argument(
        "--workers", type=positive_int, default=num_cores(), help="requests processed concurrently; others wait"
    )
    parser.add_argument(
        "--poll-seconds", type=positive_float, default=2.0, help="interval between checks for a new version"
    )
    parser.add_argument(
        "--intra-op-threads", type=non_negative_int, default=0, help="threads within one op; 0: TensorFlow's choice"
    )
    parser.add_argument(
        "--inter-op-threads", type=non_negative_int, default=0, help="ops run in parallel; 0: TensorFlow's choice"
    )
    return parser.parse_args(argv)


def _on_signals(act):
    """Call a function on SIGTERM and on SIGINT, instead of what was called before."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: act())


def port_number(text):
    """Parse a port; 0 stands for a free one."""
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"must be 0 to 65535, received {value}")
    return value
