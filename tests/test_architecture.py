"""Imports go one way, and a command that prints its help does not wait for TensorFlow."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

from cspn_tf.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent
PACKAGES = ("cspn_tf", "training", "serving", "benchmarks", "examples")
# The name that `benchmarks.served` had, which is kept.
SHIM = "serving.benchmark"

# Rooms from left to right. A room may import itself and every room of the tiers before its own, none beside it.
TIERS = [
    [{"cspn_tf.quiet"}],
    [
        {
            "cspn_tf.garments",
            "cspn_tf.garment_set",
            "cspn_tf.lengths",
            "cspn_tf.console",
            "cspn_tf.progress",
            "cspn_tf.machine",
            "cspn_tf.timing",
            "cspn_tf.config",
            "cspn_tf.contract",
            "cspn_tf.files",
            "cspn_tf.plots",
            "cspn_tf.threads",
        }
    ],
    [{"cspn_tf.geometry"}],
    [{"cspn_tf.decoding"}, {"cspn_tf.heatmaps"}, {"cspn_tf.pillow_photos"}],
    [{"cspn_tf.resampling"}, {"cspn_tf.drawing", "cspn_tf.result"}],
    [{"cspn_tf.data"}, {"cspn_tf.models"}, {"cspn_tf.losses"}],
    [{"cspn_tf.methods"}],
    [{"cspn_tf.models.checkpoints"}],  # which builds what it loads
    [{"cspn_tf.evaluation"}],
    [{"cspn_tf.inference"}],
    [{"cspn_tf"}],  # the front door
    [{"cspn_tf.train"}, {"cspn_tf.serve"}, {"cspn_tf.bulk"}],
    [{"cspn_tf.export"}],
    [{"cspn_tf.reproduction"}],
    [{"cspn_tf.cli"}],
    [{"training"}],
    [{"serving"}],
    [{"examples"}],
    [{"benchmarks"}],
    [{SHIM}],
]

# What lies on the client's side of the wire knows the contract, and of the library what needs no network.
CLIENT_SIDE = {"cspn_tf.serve.client", "cspn_tf.cli.client", "cspn_tf.contract", "cspn_tf.serve.wire"}
CLIENT_MAY_IMPORT = CLIENT_SIDE | {
    "cspn_tf.cli.answers",
    "cspn_tf.cli.photo_paths",
    "cspn_tf.config",
    "cspn_tf.console",
    "cspn_tf.decoding",  # when photos are sent as pixels, not as files
    "cspn_tf.drawing",
    "cspn_tf.files",
    "cspn_tf.garments",
    "cspn_tf.garment_set",
    "cspn_tf.pillow_photos",  # a WebP is sent as a PNG
    "cspn_tf.progress",
    "cspn_tf.result",
}


def modules():
    """Return the source file of each of the project's modules, by dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(name, source, known, is_package=False):
    """Return the modules that a module's source imports, at the top or within a function, as dotted names.

    Args:
        name: dotted name of the module.
        source: its text.
        known: names of all the project's modules, to tell a module from a name within one.
        is_package: whether the source is that of an `__init__.py`.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = name.split(".")[: len(name.split(".")) - node.level + is_package] if node.level else []
            base = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in known else base)
    return found


def place(name):
    """Return a module's tier and room, each by number; None if it is not ours.

    Raises:
        LookupError: if it is ours and in no room.
    """
    if name.split(".")[0] not in PACKAGES:
        return None
    found = [
        (len(member), tier, room)
        for tier, rooms in enumerate(TIERS)
        for room, members in enumerate(rooms)
        for member in members
        if name == member or (member != "cspn_tf" and name.startswith(member + "."))
    ]
    if not found:
        raise LookupError(f"{name} is in no room: give it one in {Path(__file__).name}")
    return max(found)[1:]


def backward_arrows(imports):
    """Return a line for each import that does not go left to right, of a dict of module to imported modules."""
    arrows = []
    for name, imported_names in imports.items():
        tier, room = place(name)
        for imported in sorted(imported_names):
            at = place(imported)
            if at is not None and at != (tier, room) and at[0] >= tier:
                arrows.append(f"{name} imports {imported}")
    return arrows


@functools.cache
def all_imports():
    files = modules()
    return {
        name: imports_of(name, path.read_text(), set(files), is_package=path.name == "__init__.py")
        for name, path in files.items()
    }


# The reading of imports ----------------------------------------------------------------------------------------------


KNOWN = {"cspn_tf", "cspn_tf.garments", "cspn_tf.data", "cspn_tf.data.fld", "cspn_tf.data.made", "cspn_tf.data.made.a"}


@pytest.mark.parametrize(
    "name, is_package, source, found",
    [
        ("cspn_tf.config", False, "import json, os.path", {"json", "os.path"}),
        ("cspn_tf.config", False, "from cspn_tf import garments", {"cspn_tf.garments"}),
        ("cspn_tf.config", False, "from cspn_tf import __version__", {"cspn_tf"}),
        ("cspn_tf.config", False, "from cspn_tf.garments import GarmentType", {"cspn_tf.garments"}),
        ("cspn_tf.config", False, "import cspn_tf.data.fld as reader", {"cspn_tf.data.fld"}),
        ("cspn_tf.config", False, "def f():\n    from cspn_tf.data import fld", {"cspn_tf.data.fld"}),
        ("cspn_tf.data.made.a", False, "from ...garments import GarmentType", {"cspn_tf.garments"}),
        ("cspn_tf.data.made.a", False, "from .. import fld", {"cspn_tf.data.fld"}),
        ("cspn_tf.data.made.b", False, "from . import a", {"cspn_tf.data.made.a"}),
        ("cspn_tf.data.made", True, "from .a import f", {"cspn_tf.data.made.a"}),
        ("cspn_tf.data.made", True, "from ..fld import f", {"cspn_tf.data.fld"}),
    ],
)
def test_imports_are_read(name, is_package, source, found):
    assert imports_of(name, source, KNOWN, is_package) == found


@pytest.mark.parametrize(
    "name, imported",
    [
        ("cspn_tf.config", "cspn_tf.geometry"),
        ("cspn_tf.geometry", "cspn_tf.heatmaps"),
        ("cspn_tf.losses", "cspn_tf.data.pipeline"),
        ("cspn_tf.models.blocks", "cspn_tf.data"),
        ("cspn_tf.data.fld", "cspn_tf.methods.cspn"),
        ("cspn_tf.models.blocks", "cspn_tf.losses"),
        ("cspn_tf.models.blocks", "cspn_tf.methods"),
        ("cspn_tf.models.blocks", "cspn_tf.models.checkpoints"),
        ("cspn_tf.methods.cspn", "cspn_tf.models.checkpoints"),
        ("cspn_tf.data.coco", "cspn_tf.evaluation.matching"),
        ("cspn_tf.evaluation.measures", "cspn_tf.inference.pipeline"),
        ("cspn_tf.inference.pipeline", "cspn_tf.train.fitting"),
        ("cspn_tf", "cspn_tf.cli.predict"),
        ("cspn_tf", "serving"),
        ("training.prepare", "serving.client"),
        ("serving.client", "benchmarks.served"),
        ("training.evaluate", "benchmarks.photos"),
        ("examples.demo", "benchmarks.served"),
    ],
)
def test_a_backward_arrow_is_found(name, imported):
    assert backward_arrows({name: {imported, "numpy"}}) == [f"{name} imports {imported}"]


@pytest.mark.parametrize(
    "name, imported",
    [
        ("cspn_tf.config", "cspn_tf.console"),
        ("cspn_tf.data.pipeline", "cspn_tf.data.tfrecords"),
        ("cspn_tf.inference.pipeline", "cspn_tf.methods"),
        ("cspn_tf.methods.cspn", "cspn_tf.models.blocks"),
        ("cspn_tf.models.checkpoints", "cspn_tf.methods"),
        ("cspn_tf.models.checkpoints", "cspn_tf.models.faster_rcnn"),
        ("cspn_tf.evaluation.measures", "cspn_tf.garments"),
        ("cspn_tf.resampling", "cspn_tf.decoding"),
        ("benchmarks.served", "cspn_tf"),
        ("serving.benchmark", "benchmarks.served"),
        ("cspn_tf.cli.prepare", "cspn_tf.data.report"),
    ],
)
def test_a_forward_arrow_is_allowed(name, imported):
    assert backward_arrows({name: {imported, "numpy"}}) == []


def test_a_module_without_a_room_is_found():
    with pytest.raises(LookupError, match=r"cspn_tf\.datasets"):
        backward_arrows({"cspn_tf.datasets": set()})


# The project ---------------------------------------------------------------------------------------------------------


def test_imports_go_left_to_right():
    imports = all_imports()
    assert {"cspn_tf.garments", "cspn_tf.methods.cspn", "cspn_tf.data.synthetic.photo", "serving.client"} <= set(
        imports
    )
    # The relative imports are read too.
    assert "cspn_tf.garment_set" in imports["cspn_tf.data.synthetic.photo"]
    assert backward_arrows(imports) == []


def test_models_losses_and_methods_know_no_dataset():
    for name, imported in all_imports().items():
        if name.startswith(("cspn_tf.losses", "cspn_tf.models", "cspn_tf.methods")):
            assert not [other for other in imported if other.startswith("cspn_tf.data")], name


@pytest.mark.parametrize("name", sorted(CLIENT_SIDE))
def test_the_clients_side_knows_only_the_contract(name):
    imported = all_imports()[name]
    assert {other for other in imported if other.split(".")[0] in PACKAGES} <= CLIENT_MAY_IMPORT
    assert not [other for other in imported if other.split(".")[0] in ("tensorflow", "tensorflow_serving", "keras")]


def test_the_library_knows_no_command():
    for name, imported in all_imports().items():
        if name.startswith("cspn_tf"):
            assert not [other for other in imported if other.split(".")[0] in PACKAGES[1:]], name


def test_nothing_of_the_product_imports_what_measures_it():
    for name, imported in all_imports().items():
        if name.split(".")[0] in ("cspn_tf", "training", "serving") and name != SHIM:
            assert not [other for other in imported if other.split(".")[0] in ("benchmarks", "examples")], name
    assert len(modules()[SHIM].read_text().splitlines()) < 12, "a name, no more"


# The commands --------------------------------------------------------------------------------------------------------


def commands():
    """Return the dotted names of the modules that people run; workers, which other modules start, have no `main`."""

    def is_command(tree):
        return any(
            (isinstance(node, ast.FunctionDef) and node.name == "main")
            or (isinstance(node, ast.ImportFrom) and any(alias.name == "main" for alias in node.names))
            for node in tree.body
        )

    return [name for name, path in modules().items() if is_command(ast.parse(path.read_text()))]


def test_commands_are_found():
    assert {"training.prepare", "cspn_tf.cli.prepare", "serving.client"} <= set(commands())


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in commands()
        if name.split(".")[0] in ("training", "serving")
        and (ROOT / "cspn_tf" / "cli" / f"{name.split('.')[-1]}.py").exists()
    ],
)
def test_commands_of_a_checkout_are_those_of_the_package(name):
    path = modules()[name]
    assert len(path.read_text().splitlines()) < 12, "thin: what it does is in the package"
    assert f"cspn_tf.cli.{name.split('.')[-1]}" in all_imports()[name]


CLI = "cspn_tf.cli.main"


@pytest.mark.parametrize(
    "module, command",
    [(name, ()) for name in commands() if not name.startswith("cspn_tf.cli.") or name == CLI]
    + [(CLI, (command,)) for command in COMMANDS],
)
def test_a_command_prints_its_help_without_tensorflow(module, command):
    program = f"""
import runpy, sys
sys.argv = {[module, *command, "--help"]!r}
try:
    runpy.run_module({module!r}, run_name="__main__")
finally:
    assert "tensorflow" not in sys.modules, "imported for --help"
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")
