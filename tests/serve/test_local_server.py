import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cspn_tf.cli import local_server as command
from cspn_tf.console import UserError, run
from cspn_tf.serve import local_server
from cspn_tf.serve.client import Client
from tests.fake_model import encode, make_pixels

ROOT = Path(__file__).parents[2]


@pytest.fixture
def start():
    """Start the command and return the process; whatever still runs at the end is killed."""
    processes = []

    def start(*args):
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "serving.local_server", *map(str, args)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_serves_until_sigterm_switches_versions_and_exits_with_0(start, model_dir, tmp_path):
    model = tmp_path / "dressed"
    shutil.copytree(model_dir / "1", model / "1")
    process = start("--model", model, "--port", 0, "--workers", 1, "--poll-seconds", 0.1)
    ready = process.stdout.readline()
    address = ready.split()[2]
    assert ready == f"ready on {address} (model dressed, version 1)\n"
    with Client(address, "dressed") as client:
        assert client.wait_until_ready(timeout=10) == 1
        assert client.predict([encode(make_pixels(41, 52))])[0].image_size == (41, 52)
        shutil.copytree(model / "1", tmp_path / "copy")
        (tmp_path / "copy").rename(model / "2")
        assert process.stdout.readline() == "version 2 is served\n"
        assert client.wait_until_ready(timeout=10) == 2
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def test_sigint_while_it_starts_exits_with_0_and_says_nothing(start, model_dir):
    process = start("--model", model_dir, "--port", 0)
    deadline = time.monotonic() + 30
    while not _catches(process.pid, signal.SIGTERM) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def _catches(pid, number):
    status = Path(f"/proc/{pid}/status").read_text()
    (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.slow
def test_sigint_when_ready_exits_with_0(start, model_dir):
    process = start("--model", model_dir, "--port", 0)
    assert process.stdout.readline().startswith("ready on ")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def fail(capsys, *args):
    code = run(command.main, [str(arg) for arg in args])
    captured = capsys.readouterr()
    assert captured.out == ""
    return code, captured.err


def test_no_model_is_one_line_and_1(tmp_path, capsys):
    model = tmp_path / "cspn"
    assert fail(capsys, "--model", model) == (1, f"error: no model at {model}: there is no such file or directory\n")


@pytest.mark.parametrize("family_address", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_port_in_use_on_any_address_is_one_line_and_1(model_dir, capsys, family_address):
    family, address = family_address
    infos = socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)
    if address not in {info[4][0] for info in infos}:
        address, family = infos[0][4][0], infos[0][0]  # localhost has one address here
    with socket.socket(family) as other:
        other.bind((address, 0))
        other.listen()
        port = other.getsockname()[1]
        assert fail(capsys, "--model", model_dir, "--port", port) == (
            1,
            f"error: port {port} on localhost is already in use\n",
        )


def test_a_running_server_keeps_its_port(model_dir, server, capsys):
    code, err = fail(capsys, "--model", model_dir, "--port", server.port)
    assert (code, err) == (1, f"error: port {server.port} on localhost is already in use\n")


def test_an_address_of_another_machine_is_one_line_and_1(model_dir, capsys):
    code, err = fail(capsys, "--model", model_dir, "--host", "192.0.2.1", "--port", 0)
    assert (code, err) == (1, "error: cannot listen on port 0 of 192.0.2.1: Cannot assign requested address\n")


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["--model", "m", "--port", "65536"],
        ["--model", "m", "--port", "-1"],
        ["--model", "m", "--workers", "0"],
        ["--model", "m", "--poll-seconds", "0"],
        ["--model", "m", "--poll-seconds", "inf"],
        ["--model", "m", "--intra-op-threads", "-1"],
    ],
)
def test_a_wrong_call_is_one_line_and_2(args, capsys):
    with pytest.raises(SystemExit) as caught:
        run(command.main, args)
    err = capsys.readouterr().err
    assert caught.value.code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_running_server_reports_why_it_did_not_start(tmp_path):
    with (
        pytest.raises(UserError, match=f"the local server did not start: no model at {tmp_path}/no: there is"),
        local_server.running_server(tmp_path / "no"),
    ):
        pass
