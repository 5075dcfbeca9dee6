"""The manifest for KubeRay, against its published schema, and the commands in it."""

import copy
import re
import shlex
from pathlib import Path

import pytest
import yaml

from cspn_tf.cli import annotate
from tests.deploy.schemas import faults, published

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def schema():
    return published("rayjob-v1")["properties"]["spec"]


@pytest.fixture
def manifest():
    return yaml.safe_load((ROOT / "deploy/ray/rayjob.yaml").read_text())


def test_the_manifest_is_what_kuberay_accepts(schema, manifest):
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayJob")
    assert faults(schema, manifest["spec"]) == []


@pytest.mark.parametrize(
    "path, value",
    [
        (("spec", "backoffLimit"), "three"),
        (("spec", "shutdownAfterJob"), True),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "replicas"), "ten"),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "containers", 0, "img"), "x"),
    ],
)
def test_the_check_finds_a_wrong_field(schema, manifest, path, value):
    wrong = part = copy.deepcopy(manifest)
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    assert len(faults(schema, wrong["spec"])) == 1


def test_its_command_is_one_of_ours(manifest):
    program, command, *arguments = shlex.split(manifest["spec"]["entrypoint"])
    assert (program, command) == ("cspn-tf", "annotate")
    args = annotate._parse(arguments)
    assert args.address == "auto" and args.id_column == "sku"


def test_ray_and_python_are_those_of_the_lock_file(manifest):
    lock = (ROOT / "requirements.lock").read_text()
    assert manifest["spec"]["rayClusterSpec"]["rayVersion"] == re.search(r"^ray==(\S+)", lock, re.M)[1]
    for word in re.findall(r"^COPY (.*) \S+$", (ROOT / "deploy/ray/Dockerfile").read_text(), re.M):
        assert all((ROOT / name).exists() for name in word.split())
