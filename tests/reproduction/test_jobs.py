"""Commands side by side: what is done is left alone, what fails is named and ends the others."""

import os
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from cspn_tf.console import UserError
from cspn_tf.reproduction import jobs
from cspn_tf.reproduction.jobs import Job, JobProgress, run_jobs


@pytest.fixture(autouse=True)
def programs(tmp_path, monkeypatch):
    """Modules that the jobs run: one that writes a file, one that fails, one that waits."""
    (tmp_path / "touch.py").write_text(
        "import os, sys, pathlib\npathlib.Path(sys.argv[1]).write_text(str(sorted(os.sched_getaffinity(0))))\n"
    )
    (tmp_path / "fail.py").write_text("import sys\nprint('first')\nsys.exit('error: it broke')\n")
    (tmp_path / "wait.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def job(tmp_path, name, module="touch", work=1.0):
    path = tmp_path / name
    return Job(name, (module, path), tmp_path / "logs" / f"{name}.log", path.exists, work)


def run(wanted, num_parallel=2):
    run_jobs(wanted, num_parallel, JobProgress(wanted))


def test_all_jobs_are_run_and_counted(tmp_path, capsys):
    run([job(tmp_path, name) for name in "abc"])
    lines = capsys.readouterr().out.splitlines()
    assert all((tmp_path / name).exists() for name in "abc")
    assert [line.split("]")[0] for line in lines] == ["3 runs", "[1/3", "[2/3", "[3/3"]
    assert "left" in lines[1] and "left" not in lines[3]


def test_what_is_done_is_not_run_again(tmp_path, capsys):
    (tmp_path / "a").write_text("as it was")
    run([job(tmp_path, "a"), job(tmp_path, "b")])
    lines = capsys.readouterr().out.splitlines()
    assert (tmp_path / "a").read_text() == "as it was"
    assert lines[0] == "2 runs, 1 of them already done" and lines[1].startswith("[2/2] b")


def test_a_job_that_fails_is_named_with_its_last_line(tmp_path):
    wanted = [job(tmp_path, "bad", "fail")]
    with pytest.raises(UserError, match=r"bad failed: it broke \(full output in .*bad\.log\)"):
        run(wanted)
    assert "first" in wanted[0].log.read_text()


def test_a_job_that_is_killed_is_not_blamed_on_its_last_line(tmp_path):
    (tmp_path / "die.py").write_text("import os\nprint('all well', flush=True)\nos.kill(os.getpid(), 9)\n")
    with pytest.raises(UserError, match="killed failed: it was ended by SIGKILL"):
        run([job(tmp_path, "killed", "die")])


def test_a_request_to_terminate_ends_what_was_started(tmp_path):
    (tmp_path / "child.py").write_text(
        "import os, sys, time, pathlib\n"
        "pathlib.Path(sys.argv[1] + '.pid').write_text(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    (tmp_path / "parent.py").write_text(
        "import pathlib, sys\n"
        "from cspn_tf.console import termination_as_interrupt\n"
        "from cspn_tf.reproduction.jobs import Job, JobProgress, run_jobs\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "wanted = [Job('a', ('child', path), path.with_suffix('.log'), path.exists, 1.0)]\n"
        "with termination_as_interrupt():\n"
        "    run_jobs(wanted, 1, JobProgress(wanted))\n"
    )
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}
    parent = subprocess.Popen([sys.executable, "-m", "parent", tmp_path / "a"], env=environment, stderr=subprocess.PIPE)
    pid_file = tmp_path / "a.pid"
    wait_until(lambda: pid_file.exists() and pid_file.read_text())
    parent.terminate()
    parent.communicate(timeout=30)
    child = int(pid_file.read_text())
    wait_until(lambda: not Path(f"/proc/{child}").exists())


def wait_until(happened, seconds=30.0):
    start = time.monotonic()
    while not happened():
        assert time.monotonic() - start < seconds
        time.sleep(0.05)


def test_a_failure_ends_the_others(tmp_path):
    start = time.monotonic()
    with pytest.raises(UserError, match="bad failed"):
        run([job(tmp_path, "slow", "wait"), job(tmp_path, "bad", "fail"), job(tmp_path, "never")])
    assert time.monotonic() - start < 30
    assert not (tmp_path / "never").exists()


def test_a_job_that_ends_well_without_its_result_has_failed(tmp_path):
    empty = Job("nothing", ("touch", tmp_path / "other"), tmp_path / "log", (tmp_path / "missing").exists, 1.0)
    with pytest.raises(UserError, match="nothing failed: it printed nothing"):
        run([empty])


def test_jobs_share_the_cores(tmp_path, monkeypatch):
    cores = sorted(os.sched_getaffinity(0))
    shares = jobs._shares_of_cores(len(cores))
    assert sorted(core for share in shares for core in share) == cores
    assert jobs._shares_of_cores(len(cores) + 1) == [None] * (len(cores) + 1)
    run([job(tmp_path, "a")], num_parallel=len(cores))
    assert (tmp_path / "a").read_text() == str([cores[0]])
    assert sorted(os.sched_getaffinity(0)) == cores


def test_time_left_follows_the_work_done(tmp_path, monkeypatch, capsys):
    wanted = [job(tmp_path, "a", work=1.0), job(tmp_path, "b", work=3.0)]
    clock = iter([0.0, 10.0])
    monkeypatch.setattr(jobs, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))
    JobProgress(wanted).finished(wanted[0], 10.0)
    assert capsys.readouterr().out.splitlines()[1] == "[1/2] a, 0:10; 0:30 left"


def test_the_interpreter_is_this_one(tmp_path):
    (tmp_path / "touch.py").write_text("import sys, pathlib\npathlib.Path(sys.argv[1]).write_text(sys.executable)\n")
    run([job(tmp_path, "a")])
    assert (tmp_path / "a").read_text() == sys.executable
