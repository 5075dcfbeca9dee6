"""The local server as a separate process, and the address check before its start."""

import contextlib
import errno
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from cspn_tf.console import UserError
from cspn_tf.contract import DEFAULT_MODEL_NAME

READY_PREFIX = "ready on "
START_TIMEOUT_SECONDS = 300.0


def check_address_is_free(host, port) -> None:
    """Check that a port is free on every address of a host.

    gRPC is satisfied if it can bind one of a name's addresses: with 127.0.0.1 taken it would listen on ::1 only, and
    clients of `localhost` could reach either program.

    Raises:
        UserError: the port is taken or not permitted, or the host is not this machine.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UserError(f"cannot listen on {host}: {error.strerror or error}") from error
    failures = []
    for family, kind, protocol, _, address in addresses:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UserError(f"port {port} on {host} is already in use") from error
            failures.append(error)  # such as ::1 on a machine without IPv6; another address may work
    if len(failures) == len(addresses):
        reason = failures[-1].strerror or failures[-1]
        raise UserError(f"cannot listen on port {port} of {host}: {reason}") from failures[-1]


@contextlib.contextmanager
def running_server(model_dir, intra_op_threads=0, inter_op_threads=0):
    """Run the local server in a separate process, on a free port of localhost, during a `with` block.

    The model's name in requests is `DEFAULT_MODEL_NAME`.

    Args:
        model_dir: directory with one subdirectory per version.
        intra_op_threads, inter_op_threads: as for `cspn-tf serve`.

    Yields:
        The server's address, `localhost:PORT`.

    Raises:
        UserError: the server did not start; the message has its last line of stderr.
    """
    command = [sys.executable, "-m", "cspn_tf.cli.main", "serve", "--model", str(Path(model_dir).resolve())]
    command += ["--port", "0", "--model-name", DEFAULT_MODEL_NAME]
    command += ["--intra-op-threads", str(intra_op_threads), "--inter-op-threads", str(inter_op_threads)]
    # Run in the parent folder of the package, because a checkout may not be installed.
    # The server's messages go to a file: a pipe that nobody reads would stop it once it is full.
    with tempfile.TemporaryFile("w+", errors="replace") as messages:
        process = subprocess.Popen(
            command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=messages, text=True
        )
        watchdog = threading.Timer(START_TIMEOUT_SECONDS, process.kill)
        watchdog.start()
        try:
            ready = process.stdout.readline()
            watchdog.cancel()
            if not ready.startswith(READY_PREFIX):
                process.kill()
                process.wait()
                messages.seek(0)
                said = messages.read().strip().rpartition("\n")[2].removeprefix("error: ")
                said = said or f"not ready in {START_TIMEOUT_SECONDS:.0f} s"
                raise UserError(f"the local server did not start: {said}")
            yield ready.removeprefix(READY_PREFIX).split()[0]
        finally:
            watchdog.cancel()
            process.terminate()
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
