"""Run commands in parallel, each pinned to its own cores, and print progress with the estimated time left."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cspn_tf.console import UserError
from cspn_tf.progress import duration

CSPN_TF = "cspn_tf.cli.main"  # the module of the command `cspn-tf`
_POLL_SECONDS = 0.2
_GRACE_SECONDS = 20


@dataclasses.dataclass(frozen=True)
class Job:
    """One command of the project.

    Attributes:
        title: description for progress and error messages.
        command: a module and its command-line arguments, as of `python -m`.
        log: file that its output is appended to.
        is_done: function that returns whether its result already exists.
        work: estimated amount of work, in any unit common to all jobs.
    """

    title: str
    command: tuple
    log: Path
    is_done: Callable
    work: float


class JobProgress:
    """Counts finished jobs and estimates the time left from the work done so far."""

    def __init__(self, jobs):
        """Start the clock; jobs that are already done are counted but do not enter the time estimate."""
        left = [job for job in jobs if not job.is_done()]
        self._start = time.monotonic()
        self._num, self._num_done = len(jobs), len(jobs) - len(left)
        self._work_left, self._work_done = sum(job.work for job in left), 0.0
        done_already = f", {self._num_done} of them already done" if self._num_done else ""
        print(f"{self._num} runs{done_already}", flush=True)

    def finished(self, job, seconds):
        """Record and print that a job has finished, with its duration in seconds."""
        self._num_done += 1
        self._work_done += job.work
        self._work_left -= job.work
        text = f"[{self._num_done}/{self._num}] {job.title}, {duration(seconds)}"
        if self._work_left > 0:
            seconds_left = (time.monotonic() - self._start) * self._work_left / self._work_done
            text += f"; {duration(seconds_left)} left"
        print(text, flush=True)


def run_jobs(jobs, num_parallel, progress) -> None:
    """Run the jobs that are not done, several at a time, each pinned to its share of the cores if the platform allows.

    If a job fails or the user interrupts, the running jobs are terminated; their finished epochs and files are kept.

    Args:
        jobs: list of `Job`, started in this order.
        num_parallel: number of jobs that run at the same time.
        progress: a `JobProgress`.

    Raises:
        UserError: a job failed; the message has the last line of its output and the path of its log.
    """
    waiting = [job for job in jobs if not job.is_done()]
    free = _shares_of_cores(num_parallel)
    running = []
    try:
        while waiting or running:
            while waiting and free:
                cores = free.pop(0)
                job = waiting.pop(0)
                running.append((job, _start(job, cores), cores, time.monotonic()))
            for entry in list(running):
                job, process, cores, start = entry
                if process.poll() is None:
                    continue
                running.remove(entry)
                free.append(cores)
                if process.returncode or not job.is_done():
                    raise UserError(f"{job.title} failed: {_failure(job, process.returncode)}")
                progress.finished(job, time.monotonic() - start)
            time.sleep(_POLL_SECONDS)
    finally:
        _end([process for _, process, _, _ in running])


def _shares_of_cores(num_parallel):
    """Split this process's cores into one set per job; Nones if there are fewer cores than jobs or no pinning here."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    if num_parallel > len(cores):
        return [None] * num_parallel
    return [set(cores[index::num_parallel]) for index in range(num_parallel)]


def _start(job, cores):
    """Start a job on some cores: it inherits the affinity that this process has meanwhile."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", *map(str, job.command)]
    before = os.sched_getaffinity(0) if cores else None
    with job.log.open("a") as log:
        try:
            if cores:
                os.sched_setaffinity(0, cores)
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        finally:
            if cores:
                os.sched_setaffinity(0, before)


def _failure(job, code):
    """Describe why a job failed, from its exit code and log."""
    if code < 0:
        return f"it was ended by {signal.Signals(-code).name}; its output is in {job.log}"
    lines = [line for line in job.log.read_text(errors="replace").splitlines() if line.strip()]
    last = lines[-1].removeprefix("error: ") if lines else "it printed nothing"
    return f"{last} (full output in {job.log})"


def _end(processes):
    for process in processes:
        process.terminate()
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
        process.kill()
        process.wait()
