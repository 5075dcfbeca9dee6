import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from benchmarks.workers.process import WorkerFailed, WorkerProcess
from cspn_tf.console import UserError
from tests.benchmarks.workers import fake_script

ROOT = Path(__file__).parents[3]


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo"
    path.write_bytes(b"xx")
    return str(path)


def start(name="a runner", **options):
    return WorkerProcess(name, sys.executable, fake_script.__file__, **options)


def state_of(process_id):
    """Return the letter of a process's state; T is stopped, None is gone."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def wait_for(condition):
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_worker_is_asked_and_answers(photo, tmp_path):
    environment = {"OMP_NUM_THREADS": "1"}
    with start(environment=environment, folder=tmp_path) as worker:
        facts = worker.ask("load", photos=[photo], threads=1)["facts"]
        assert worker.ask("run", batch_size=1, first=0)["garments"] == [2]
    assert facts["folder"] == str(tmp_path)
    assert facts["environment"] == {"OMP_NUM_THREADS": "1", "PYTHONPATH": None}


def test_a_paused_worker_is_stopped_until_it_goes_on(photo):
    with start() as worker:
        worker.ask("load", photos=[photo], threads=1)
        process_id = worker._process.pid
        worker.pause()
        assert wait_for(lambda: state_of(process_id) == "T")
        worker.resume()
        assert wait_for(lambda: state_of(process_id) != "T")
        assert worker.ask("run", batch_size=1, first=0)["garments"] == [2]


def test_a_paused_worker_is_closed(photo):
    with start() as worker:
        worker.ask("load", photos=[photo], threads=1)
        worker.pause()
    assert worker._process.returncode == 0


def test_a_worker_ends_at_once_when_something_else_failed(photo):
    with pytest.raises(KeyboardInterrupt), start() as worker:
        worker.ask("load", photos=[photo], threads=1)
        worker.pause()
        raise KeyboardInterrupt
    assert worker._process.returncode == -signal.SIGKILL


def test_a_killed_parent_leaves_no_stopped_worker(photo):
    program = f"""
        import os, sys
        from benchmarks.workers.process import WorkerProcess
        worker = WorkerProcess("a runner", sys.executable, {fake_script.__file__!r})
        worker.ask("load", photos=[{photo!r}], threads=1)
        worker.pause()
        print(worker._process.pid, flush=True)
        sys.stdin.read()
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # A shell's job: the worker is in a group of its own, in the same session.
        start_new_session=True,
    )
    process_id = int(parent.stdout.readline())
    assert wait_for(lambda: state_of(process_id) == "T")
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    assert wait_for(lambda: state_of(process_id) in (None, "Z"))


def test_a_failed_request_names_the_worker(photo):
    with start() as worker, pytest.raises(UserError, match=r"^a runner: ValueError: it cannot be loaded$"):
        worker.ask("load", photos=[photo], threads=1, fail=True)


def test_a_dead_worker_is_named_with_its_last_words(photo):
    with start() as worker, pytest.raises(UserError, match=r"^a runner: the worker died: the last words$"):
        worker.ask("load", photos=[photo], threads=1, die=True)


def test_a_worker_that_takes_too_long_is_killed(photo):
    with start(answer_seconds=0.5) as worker:
        worker.pause()
        with pytest.raises(WorkerFailed) as failed:
            worker.ask("load", photos=[photo], threads=1)
    assert failed.value.worker is worker and failed.value.reason == "the worker died of signal 9"


def test_a_worker_that_was_killed_is_named(photo):
    with start() as worker:
        worker.ask("load", photos=[photo], threads=1)
        os.kill(worker._process.pid, signal.SIGKILL)
        worker._process.wait()
        # What a library said long ago is all that there is to tell.
        with pytest.raises(UserError, match=r"^a runner: the worker died"):
            worker.ask("run", batch_size=1, first=0)


def test_a_missing_interpreter_is_named():
    with pytest.raises(UserError, match=r"^a runner: cannot run /no/python: No such file or directory$"):
        WorkerProcess("a runner", "/no/python", fake_script.__file__)
