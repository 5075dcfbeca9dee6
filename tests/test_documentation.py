"""The commands in the documentation are ones that the programs accept, and its links lead somewhere."""

import argparse
import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest

from cspn_tf.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
# Programs that other packages bring.
OTHERS = {"pytest"}


PAGES = [
    path
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/**/*.md")])
    if "node_modules" not in path.parts and path.relative_to(ROOT).parts[0] != "out"
]


def documented():
    """Yield (file, arguments of a command) for every command in a block of the documentation and of the recipes."""
    for path in [*PAGES, *sorted(ROOT.glob("training/recipes/*.sh"))]:
        text = path.read_text()
        blocks = [text] if path.suffix == ".sh" else re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
            if match := re.search(r"^\W*(?:\S+ (?:\|\| )?)?(?:\S*/)?(?:cspn-tf|python -m) (.*)", line):
                words = shlex.split(match[1], comments=True)
                if words[0] not in OTHERS and "..." not in words:
                    yield path.relative_to(ROOT).as_posix(), tuple(words)


class Accepted(Exception):
    """The command's parser took the arguments."""


@pytest.mark.parametrize(
    ("file", "words"), sorted(set(documented())), ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_a_documented_command_is_accepted(file, words, monkeypatch, tmp_path):
    parse_args = argparse.ArgumentParser.parse_args

    def stop_after(self, args=None, namespace=None):
        parse_args(self, args, namespace)
        raise Accepted

    name, *arguments = words
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop_after)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    monkeypatch.chdir(tmp_path)
    module = f"cspn_tf.cli.{COMMANDS[name][0]}" if name in COMMANDS else name
    with pytest.raises(Accepted):
        importlib.import_module(module).main()


def test_the_commands_are_found():
    commands = list(documented())
    assert len(commands) > 60
    assert {"README.md", "docs/serving.md", "training/recipes/mobile.sh"} <= {file for file, _ in commands}
    with pytest.raises(SystemExit):
        importlib.import_module("training.evaluate").main(["--data", "data", "--no-such-option"])


def test_links_lead_to_files_and_headings():
    dead, num = [], 0
    for page in PAGES:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if link.startswith("https://"):
                continue
            num += 1
            name, _, heading = link.partition("#")
            target = page.parent / name if name else page
            if not target.exists() or (heading and heading not in _headings(target)):
                dead.append(f"{page.relative_to(ROOT)}: {link}")
    assert num > 40 and dead == []


def _headings(page):
    titles = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
