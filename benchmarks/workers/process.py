"""The parent's side of a worker: start it, send requests, suspend it while others are measured."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

from cspn_tf.console import UserError

WORKER = Path(__file__).with_name("worker.py")
ANSWER_SECONDS = 900.0
_END_SECONDS = 20.0


class WorkerFailed(UserError):
    """A worker failed to answer a request.

    Attributes:
        worker: the `WorkerProcess`.
        reason: error message, one line.
    """

    def __init__(self, worker, reason):
        super().__init__(f"{worker.name}: {reason}")
        self.worker, self.reason = worker, reason


class WorkerProcess:
    """A worker process, see `worker`. As a context manager it ends the process, and kills it if the block failed.

    Args:
        name: name in messages.
        python: the interpreter.
        script: the worker's script.
        environment: all environment variables of the process.
        folder: working directory.
        answer_seconds: timeout of an answer, after which the worker is killed; None for no timeout.

    Raises:
        UserError: the interpreter does not exist or cannot be run.
    """

    def __init__(self, name, python, script, environment=None, folder=None, answer_seconds=ANSWER_SECONDS):
        self.name = name
        self._answer_seconds = answer_seconds
        self._said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115, `close` closes it
        try:
            self._process = subprocess.Popen(
                [str(python), str(WORKER), str(script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                text=True,
                env=environment,
                cwd=folder,
            )
        except OSError as error:
            self._said.close()
            raise UserError(f"{name}: cannot run {python}: {error.strerror or error}") from error

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self._signal(signal.SIGKILL)
        self.close()

    def ask(self, do, **request) -> dict:
        """Send one request and return its answer.

        Raises:
            WorkerFailed: the request failed, the worker has ended, or it timed out; the message names the worker.
        """
        watchdog = threading.Timer(self._answer_seconds or threading.TIMEOUT_MAX, self._signal, [signal.SIGKILL])
        watchdog.start()
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watchdog.cancel()
        try:
            answer = json.loads(line)
        except ValueError:
            raise WorkerFailed(self, f"the worker died{self._last_words()}") from None
        if "error" in answer:
            raise WorkerFailed(self, answer["error"])
        return answer

    def pause(self) -> None:
        """Suspend the worker and its subprocesses (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume the worker and its subprocesses (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End the worker and its subprocesses."""
        self.resume()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        except BaseException:  # a second Ctrl-C
            self._signal(signal.SIGKILL)
            raise
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()
        self._said.close()

    def _signal(self, number):
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:  # the worker has ended, or has not created its process group yet
            self._process.send_signal(number)

    def _last_words(self):
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        self._said.seek(0)
        lines = [line.strip() for line in self._said if line.strip()]
        if lines:
            return f": {lines[-1]}"
        code = self._process.returncode
        return f" of signal {-code}" if code is not None and code < 0 else f" with exit code {code}"
