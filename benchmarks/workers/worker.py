"""The worker process: loads one runner and runs it on request.

    python worker.py SCRIPT

Standard library only, without imports from this project: our interpreter and the peers' both run this file by its path.

The protocol is one JSON object per line, requests on stdin and answers on stdout; output of libraries goes to stderr.

::

    {"do": "load", "photos": [FILE, ...], "threads": 2, ...}   {"facts": {...}}; photos and threads are optional
    {"do": "run", "batch_size": 1, "first": 3}                 {"ms": 12.3, "garments": [1]}
    {"do": "prepare", "batch_size": 8}                         {"way": "one batch", "ways_ms": {"one batch": 98.7, ...}}
    {"do": "turn"}                                             the result of the runner's `turn`
    {"do": "memory"}                                           {"peak_rss_mb": 321.0}

If a request fails, the answer is {"error": "one line"} and the worker ends. It also ends at the end of stdin.

A script defines `load(options)`, which is called with the first request and returns the runner, a dict with any of:
    facts: JSON-ready dict for the report
    one: function of a photo file's bytes that returns a list with a row of keypoints, photo pixels, for each garment
    batches: for each way to run several photos, by name, a factory of a function that takes a list of photo files and
        returns a list of results of `one`; the fastest way is measured
    turn: function without arguments that does work, times it, and returns a JSON-ready dict
    close: function called at the end
"""

import contextlib
import importlib.util
import json
import os
import resource
import sys
import time
from pathlib import Path

_TRIALS = 2


def serve(script, asked, answers) -> int:
    """Answer requests until the input ends.

    Args:
        script: object with a function `load`.
        asked: iterable of lines, the requests.
        answers: text file to write answers to.

    Returns:
        The exit code: 1 if a request failed.
    """
    worker = Worker(script)
    try:
        for line in asked:
            try:
                answer = worker.answer(json.loads(line))
            except Exception as error:
                # A UserError is self-explanatory; for any other exception its type helps.
                is_users = any(kind.__name__ == "UserError" for kind in type(error).__mro__)
                message = str(error) if is_users else f"{type(error).__name__}: {error}"
                print(json.dumps({"error": " ".join(message.split())}), file=answers, flush=True)
                return 1
            print(json.dumps(answer), file=answers, flush=True)
    finally:
        worker.close()
    return 0


class Worker:
    """Holds a script's runner and answers requests."""

    def __init__(self, script):
        self._script = script
        self._runner = {}
        self._photos = []
        self._run_batch = None

    def answer(self, request: dict) -> dict:
        """Return the answer to one request; see the module's docstring."""
        return getattr(self, f"_{request['do']}")(request)

    def close(self) -> None:
        """Let the runner clean up."""
        self._runner.get("close", lambda: None)()

    def _load(self, request):
        if "threads" in request:
            _stay_on_cores(request["threads"])
        self._runner = self._script.load(request)
        self._photos = [Path(path).read_bytes() for path in request.get("photos", [])]
        return {"facts": self._runner.get("facts", {})}

    def _run(self, request):
        batch_size = request["batch_size"]
        photos = [self._photos[(request["first"] + i) % len(self._photos)] for i in range(batch_size)]
        if batch_size > 1:
            milliseconds, found = _time(self._run_batch, photos)
        else:
            milliseconds, row = _time(self._runner["one"], photos[0])
            found = [row]
        return {"ms": milliseconds, "garments": [len(keypoints) for keypoints in found]}

    def _prepare(self, request):
        photos = [self._photos[i % len(self._photos)] for i in range(request["batch_size"])]
        ways = {name: make() for name, make in self._runner["batches"].items()}
        ways_ms = {name: _least_ms(run, photos) for name, run in ways.items()} if len(ways) > 1 else {}
        way = min(ways_ms, key=ways_ms.get) if ways_ms else next(iter(ways))
        self._run_batch = ways[way]
        return {"way": way, "ways_ms": ways_ms}

    def _turn(self, request):
        return self._runner["turn"]()

    def _memory(self, request):
        return {"peak_rss_mb": peak_rss_mb()}


def peak_rss_mb(processes=None) -> float:
    """Return the sum of the peak resident memory of some processes, in 10^6 bytes.

    Args:
        processes: process ids; None for this process and its subprocesses.
    """
    peaks = []
    for process in _own_group() if processes is None else processes:
        with contextlib.suppress(OSError):  # it has ended, or belongs to another user
            peaks.append(_peak_rss_bytes(Path(f"/proc/{process}/status").read_text()))
    if not sum(peaks):  # no /proc: ru_maxrss is in bytes on macOS, in kilobytes elsewhere
        peaks = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)]
    return sum(peaks) / 1e6


def _own_group():
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getpgid(int(folder.name)) == os.getpgrp():
                yield int(folder.name)


def _peak_rss_bytes(status):
    # Not `getrusage`, whose peak is inherited from the parent process.
    rows = (line.split() for line in status.splitlines() if line.startswith("VmHWM:"))
    return sum(1024 * int(kilobytes) for _, kilobytes, _ in rows)


def _stay_on_cores(num_cores):
    """Restrict this process and its future subprocesses to as many cores as it has threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:num_cores])


def _time(function, argument):
    start = time.perf_counter()
    result = function(argument)
    return 1000.0 * (time.perf_counter() - start), result


def _least_ms(run, photos):
    run(photos)
    return min(_time(run, photos)[0] for _ in range(_TRIALS))


def _load_script(path):
    # Replaces this file's folder on the path, so that the script imports modules from its own folder instead.
    sys.path[0] = str(Path(path).resolve().parent)
    spec = importlib.util.spec_from_file_location("comparison_script", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def _keep_stdout():
    """Return a file that writes to the original stdout, and redirect stdout to stderr for everything else."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    # A separate process group, so that it can be suspended with its subprocesses. It stays in the parent's session: if
    # the parent is killed meanwhile, the system ends the group.
    os.setpgrp()
    kept = _keep_stdout()
    sys.exit(serve(_load_script(sys.argv[1]), sys.stdin, kept))
