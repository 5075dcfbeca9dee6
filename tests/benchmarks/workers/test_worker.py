import io
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from benchmarks.workers import worker
from tests.benchmarks.workers import fake_script


@pytest.fixture
def photos(tmp_path):
    paths = [tmp_path / f"{num}" for num in range(3)]
    for num, path in enumerate(paths):
        path.write_bytes(b"x" * num)
    return [str(path) for path in paths]


@pytest.fixture
def cores(monkeypatch):
    """The cores that a worker keeps to, which would otherwise be those of all tests after it."""
    kept = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, numbers: kept.append(numbers))
    return kept


def answers_to(script, *requests):
    out = io.StringIO()
    code = worker.serve(script, [json.dumps(request) for request in requests], out)
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_worker_loads_runs_and_takes_the_fastest_way_of_a_batch(photos, cores):
    code, answers = answers_to(
        fake_script,
        {"do": "load", "photos": photos, "threads": 1, "slow_ms": 20},
        {"do": "run", "batch_size": 1, "first": 2},
        {"do": "run", "batch_size": 1, "first": 4},
        {"do": "prepare", "batch_size": 4},
        {"do": "run", "batch_size": 4, "first": 1},
        {"do": "memory"},
    )
    loaded, third, fifth, prepared, batch, memory = answers
    assert code == 0
    assert (loaded["facts"]["precision"], loaded["facts"]["threads"]) == ("fp32", "1")
    # The photos come again and again: the fifth is the second of three.
    assert (third["garments"], fifth["garments"], batch["garments"]) == ([2], [1], [1, 2, 0, 1])
    assert prepared["way"] == "quick"
    assert prepared["ways_ms"]["slow"] >= 20 > prepared["ways_ms"]["quick"]
    assert third["ms"] > 0 and batch["ms"] > 0
    assert memory["peak_rss_mb"] > 1
    assert [len(numbers) for numbers in cores] == [1]


def test_a_turn_is_what_the_runner_makes_of_it():
    script = SimpleNamespace(load=lambda options: {"facts": {"size": 4}, "turn": lambda: {"step_s": [options["s"]]}})
    code, answers = answers_to(script, {"do": "load", "s": 2.5}, {"do": "turn"})
    assert (code, answers) == (0, [{"facts": {"size": 4}}, {"step_s": [2.5]}])


def test_the_only_way_of_a_batch_is_not_tried_first(photos, cores):
    calls = []
    script = SimpleNamespace(load=lambda options: {"batches": {"alone": lambda: calls.append}})
    code, (_, prepared) = answers_to(
        script, {"do": "load", "photos": photos, "threads": 1}, {"do": "prepare", "batch_size": 2}
    )
    assert (code, prepared, calls) == (0, {"way": "alone", "ways_ms": {}}, [])


def test_a_request_that_fails_is_answered_in_one_line_and_ends_the_worker(photos, cores):
    code, answers = answers_to(
        fake_script, {"do": "load", "photos": photos, "threads": 1, "fail": True}, {"do": "memory"}
    )
    assert (code, answers) == (1, [{"error": "ValueError: it cannot be loaded"}])


def test_the_runner_is_closed_in_the_end(photos, cores, capsys):
    answers_to(fake_script, {"do": "load", "photos": photos, "threads": 1})
    assert capsys.readouterr().err.endswith("closed\n")


def test_as_a_program_it_keeps_what_libraries_print_from_its_answers(photos):
    requests = [{"do": "load", "photos": photos, "threads": 1}, {"do": "run", "batch_size": 1, "first": 1}]
    done = subprocess.run(
        [sys.executable, "-I", worker.__file__, fake_script.__file__],
        input="".join(json.dumps(request) + "\n" for request in requests),
        capture_output=True,
        text=True,
    )
    loaded, ran = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, sorted(loaded), ran["garments"]) == (0, ["facts"], [1])
    assert done.stderr == "a library talks on stdout\nclosed\n"


def test_peak_memory_is_read_from_the_kernels_table():
    assert worker._peak_rss_bytes("Name:\tpython\nVmHWM:\t   2000 kB\nVmRSS:\t 1 kB\n") == 2_048_000
    assert worker._peak_rss_bytes("Name:\tkthreadd\n") == 0


def test_peak_memory_is_of_the_processes_that_are_named():
    alone = worker.peak_rss_mb([os.getpid()])
    assert 10 < alone < 100_000
    # What has ended has none, and a test has no children.
    assert worker.peak_rss_mb([os.getpid(), 2**22 + 1]) == pytest.approx(alone, rel=0.1)
