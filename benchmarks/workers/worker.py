"""The worker's side: a process that holds one runner and runs it when told.

    python worker.py SCRIPT

Standard library only, and nothing of this project: our own interpreter and the peers' both run this file by its path.

One JSON object a line, asked on stdin and answered on stdout; what libraries print goes to stderr.

::

    {"do": "load", "photos": [FILE, ...], "threads": 2, ...}   {"facts": {...}}; photos and threads may be left out
    {"do": "run", "batch_size": 1, "first": 3}                 {"ms": 12.3, "garments": [1]}
    {"do": "prepare", "batch_size": 8}                         {"way": "one batch", "ways_ms": {"one batch": 98.7, ...}}
    {"do": "turn"}                                             what the runner's `turn` returns
    {"do": "memory"}                                           {"peak_rss_mb": 321.0}

A request that fails is answered by {"error": "one line"}, and the worker ends; at the end of stdin it ends as well.

A script has one function, `load(options)`, of the first request's object, which returns a dict of what it can:
    facts: what to report, ready for JSON
    one: function of a photo file's bytes to a list with a row of keypoints, photo pixels, for each garment
    batches: name of a way to run several photos, to a function that makes a function of a list of photo files to
        a list of what `one` gives; the way that is fastest is the one that is measured
    turn: function without arguments to a dict, ready for JSON: work that takes its own times
    close: function to call in the end
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
    """Answer requests until there are no more.

    Args:
        script: object with a function `load`.
        asked: iterable of lines.
        answers: text file to write to.

    Returns:
        The exit code: 1 if a request failed.
    """
    worker = Worker(script)
    try:
        for line in asked:
            try:
                answer = worker.answer(json.loads(line))
            except Exception as error:
                # A user's error says what is wrong; what kind of thing another one is helps to find it.
                is_users = any(kind.__name__ == "UserError" for kind in type(error).__mro__)
                message = str(error) if is_users else f"{type(error).__name__}: {error}"
                print(json.dumps({"error": " ".join(message.split())}), file=answers, flush=True)
                return 1
            print(json.dumps(answer), file=answers, flush=True)
    finally:
        worker.close()
    return 0


class Worker:
    """Holds a script's runner and answers one request at a time."""

    def __init__(self, script):
        self._script = script
        self._runner = {}
        self._photos = []
        self._run_batch = None

    def answer(self, request: dict) -> dict:
        """Return the answer to one request; see the module's text."""
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
    """Return the most memory that processes held, each at its own peak, 10^6 bytes.

    Args:
        processes: their ids; None for this one and those that it started.
    """
    peaks = []
    for process in _own_group() if processes is None else processes:
        with contextlib.suppress(OSError):  # it has ended, or is not ours to see
            peaks.append(_peak_rss_bytes(Path(f"/proc/{process}/status").read_text()))
    if not sum(peaks):  # not Linux: kilobytes there, bytes on macOS
        peaks = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)]
    return sum(peaks) / 1e6


def _own_group():
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getpgid(int(folder.name)) == os.getpgrp():
                yield int(folder.name)


def _peak_rss_bytes(status):
    # Not `getrusage`: its peak begins with that of the process that started this one.
    rows = (line.split() for line in status.splitlines() if line.startswith("VmHWM:"))
    return sum(1024 * int(kilobytes) for _, kilobytes, _ in rows)


def _stay_on_cores(num_cores):
    """Keep everything that this process will start to as many cores as it may have threads."""
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
    # In the place of this file's own folder, whose names are not meant for the script.
    sys.path[0] = str(Path(path).resolve().parent)
    spec = importlib.util.spec_from_file_location("comparison_script", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def _keep_stdout():
    """Return a file that writes to stdout, and send what anything else writes there to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    # A process group of its own, to be stopped with all that it will start, in the session of who asks: should that one
    # be killed meanwhile, the system ends the group.
    os.setpgrp()
    kept = _keep_stdout()
    sys.exit(serve(_load_script(sys.argv[1]), sys.stdin, kept))
