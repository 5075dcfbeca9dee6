"""Exit codes, messages of one line, and arguments."""

import argparse
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cspn_tf import console
from cspn_tf.console import CallError, Parser, UserError

ROOT = Path(__file__).parent.parent


def raising(error):
    def main(argv):
        raise error

    return main


# Exit codes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("returned, code", [(None, 0), (0, 0), (1, 1), (2, 2)])
def test_what_main_returns_is_the_exit_code(returned, code, capsys):
    assert console.run(lambda argv: returned) == code
    assert capsys.readouterr() == ("", "")


def test_main_receives_the_arguments():
    received = []
    console.run(received.append, ["--seed", "3"])
    console.run(received.append)
    assert received == [["--seed", "3"], None]


def test_a_command_is_called_in_its_usage_as_it_was_called(capsys):
    for prog, start in (("cspn-tf predict", "usage: cspn-tf predict "), (None, "usage: ")):
        with pytest.raises(SystemExit):
            console.run(lambda argv: Parser().parse_args(argv), ["--help"], prog)
        assert capsys.readouterr().out.startswith(start)


@pytest.mark.parametrize(
    "error, code, stderr",
    [
        (UserError("a.txt:3: no such photo"), 1, "error: a.txt:3: no such photo\n"),
        (CallError("--out must be empty"), 2, "error: --out must be empty\n"),
        (UserError("first line\n  second\tline\r\n"), 1, "error: first line second line\n"),
        (CallError("first line\nsecond line"), 2, "error: first line second line\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "error: No space left on device\n"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), 1, "error: out: Permission denied\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_failure_is_one_line_on_stderr_and_a_code(error, code, stderr, capsys):
    assert console.run(raising(error)) == code
    assert capsys.readouterr() == ("", stderr)


@pytest.mark.parametrize("error", [TypeError("binding inputs failed"), UserError("model cannot be loaded"), OSError()])
def test_an_interrupt_that_a_library_made_an_error_of_is_one(error, capsys):
    def main(argv):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as interrupt:
            raise error from interrupt

    assert console.run(main) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


@pytest.mark.parametrize("error", [KeyError("bug"), OSError("bug")])
def test_a_mistake_of_the_program_is_not_dressed_up_as_the_users(error):
    with pytest.raises(type(error)):
        console.run(raising(error))


PRINTING = [
    sys.executable,
    "-c",
    "import sys; from cspn_tf.console import run; sys.exit(run(lambda argv: [print(argv) for _ in range(9)] and None))",
]


@pytest.mark.parametrize("flush", ["", "1"])
def test_a_reader_that_has_gone_is_no_error_of_ours(flush):
    environment = os.environ | {"PYTHONUNBUFFERED": flush}
    with subprocess.Popen(
        PRINTING, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == ("", 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_a_full_disk_behind_stdout_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(PRINTING, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.stderr, done.returncode) == ("error: No space left on device\n", 1)


def test_a_service_has_no_stdout_and_no_stderr(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)

    def main(argv):
        print(sys.stdout.isatty(), file=sys.stderr)
        raise UserError("nobody reads this")

    assert console.run(main) == 1


# Parser --------------------------------------------------------------------------------------------------------------


def parser():
    parser = Parser(prog="program", description="Do it.")
    parser.add_argument("--out", required=True, help="where it goes")
    parser.add_argument("--seed", type=int, default=1, help="seed of all")
    parser.add_argument("--epochs", type=console.positive_int, help="passes (default: the preset's)")
    parser.add_argument("--resume", action="store_true", help="go on")
    parser.add_argument("--set", action="append", default=[], help="a field")
    return parser


@pytest.mark.parametrize(
    "argv, named",
    [
        ([], "--out"),
        (["--out", "x", "--sede", "1"], "--sede"),
        (["--out", "x", "--see", "1"], "--see"),  # no abbreviations: a flag added later must not change a call
        (["--out", "x", "--seed", "one"], "one"),
        (["--out", "x", "--epochs", "0"], "must be at least 1, received 0"),
        (["--out", "x", "extra"], "extra"),
        (["--out", ""], "an argument is empty"),
        (["--out="], "the argument --out= is empty"),
    ],
)
def test_wrong_call_exits_with_2_and_one_line_that_names_it(argv, named, capsys):
    with pytest.raises(SystemExit) as stop:
        console.run(lambda argv: parser().parse_args(argv) and None, argv)
    assert stop.value.code == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr.startswith("error: ") and stderr.endswith(" (see --help)\n") and stderr.count("\n") == 1
    assert named in stderr


def test_a_message_of_several_lines_becomes_one(capsys):
    with pytest.raises(SystemExit):
        parser().error("first\nsecond")
    assert capsys.readouterr().err == "error: first second (see --help)\n"


def test_an_extra_that_is_not_installed_is_named(monkeypatch):
    console.require_extra("training")
    console.require_extra("serving")
    monkeypatch.setattr(console.importlib.util, "find_spec", lambda name: None if name == "pycocotools" else True)
    console.require_extra("serving")
    with pytest.raises(UserError, match=r"^pycocotools not installed, needed here: pip install 'cspn-tf\[training\]'$"):
        console.require_extra("training")


def test_subcommands_report_in_the_same_way(capsys):
    parser = Parser(prog="program")
    parser.add_subparsers(required=True).add_parser("draw").add_argument("--size", type=int)
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(["draw", "--size", "big"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: argument --size: invalid int value: 'big' (see --help)\n"


def test_a_name_that_is_not_utf8_is_refused_before_anything_is_done(capsys):
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(["--out", os.fsdecode(b"caf\xe9")])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: 'caf\\udce9' is not UTF-8: rename it (see --help)\n"
    assert parser().parse_args(["--out", "café 👚"]).out == "café 👚"


def test_a_name_that_tensorflow_does_not_get_may_be_anything(capsys):
    names = [os.fsdecode(b"caf\xe9"), "b"]
    parser = Parser(prog="program", any_names=("photos",))
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--models", nargs="+")
    assert parser.parse_args(names).photos == names
    with pytest.raises(SystemExit):
        parser.parse_args(["a", "--models", *names])
    assert "'caf\\udce9' is not UTF-8" in capsys.readouterr().err


def test_help_shows_the_defaults_that_say_something():
    lines = {line.split()[0]: " ".join(line.split()) for line in parser().format_help().splitlines() if line.strip()}
    assert lines["--seed"].endswith("seed of all (default: 1)")
    assert lines["--epochs"].endswith("passes (default: the preset's)")
    assert lines["--out"].endswith("where it goes")
    assert lines["--resume"].endswith("go on")
    assert lines["--set"].endswith("a field")


@pytest.mark.parametrize("text, value", [("1", 1), ("12", 12)])
def test_positive_int_reads_whole_numbers_from_one(text, value):
    assert console.positive_int(text) == value


@pytest.mark.parametrize("text, value", [("2", 2.0), ("0.5", 0.5)])
def test_positive_float_reads_numbers_above_zero(text, value):
    assert console.positive_float(text) == value


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon"])
def test_positive_float_refuses_everything_else(text):
    with pytest.raises((ValueError, argparse.ArgumentTypeError)):
        console.positive_float(text)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", ""])
def test_positive_int_refuses_everything_else(text, capsys):
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(["--out", "x", f"--epochs={text}"])
    assert stop.value.code == 2
    assert "--epochs" in capsys.readouterr().err
