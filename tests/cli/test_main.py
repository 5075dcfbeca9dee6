"""The command `cspn-tf` and its subcommands."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import cspn_tf
from cspn_tf.cli import main, predict
from cspn_tf.console import UserError

ROOT = Path(__file__).parents[2]


def test_help_lists_every_command_with_one_line_and_imports_no_tensorflow():
    code = """
import sys
from cspn_tf.cli.main import main
try:
    main(["--help"])
finally:
    assert not {"tensorflow", "numpy", "PIL"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: cspn-tf ")
    for name, (_, words) in main.COMMANDS.items():
        assert f"\n  {name} " in done.stdout and f" {words}\n" in done.stdout


@pytest.mark.parametrize("command", main.COMMANDS)
def test_every_command_is_called_by_its_name(command, capsys):
    importlib.import_module(f"cspn_tf.cli.{main.COMMANDS[command][0]}")
    with pytest.raises(SystemExit) as stop:
        main.main([command, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: cspn-tf {command} ")


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main.main(["--version"])
    assert (stop.value.code, capsys.readouterr().out) == (0, f"cspn-tf {cspn_tf.__version__}\n")


@pytest.mark.parametrize("argv", [[], ["draw"], ["--models"], ["predict"], ["predict", "--out"]])
def test_a_wrong_call_is_one_line_and_2(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        main.main(argv)
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("outcome", "code", "err"),
    [(None, 0, ""), (1, 1, ""), (UserError("a.jpg: gone"), 1, "error: a.jpg: gone\n")],
)
def test_arguments_and_exit_codes_are_the_commands_own(outcome, code, err, monkeypatch, capsys):
    seen = []

    def command(argv):
        seen.append(argv)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(predict, "main", command)
    assert main.main(["predict", "--version", "a.jpg", "--", "-b.jpg", "--help"]) == code
    assert seen == [["--version", "a.jpg", "--", "-b.jpg", "--help"]]
    assert capsys.readouterr().err == err
