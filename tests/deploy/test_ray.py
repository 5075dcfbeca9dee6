"""The manifest for KubeRay, against its published schema, and the commands in it."""

import copy
import gzip
import json
import re
import shlex
from pathlib import Path

import jsonschema
import pytest
import yaml

from cspn_tf.cli import annotate

ROOT = Path(__file__).parents[2]
SCHEMA = Path(__file__).with_name("rayjob-v1.schema.json.gz")


@pytest.fixture(scope="module")
def schema():
    """The schema as an API server applies it with `--validate=strict`: unknown fields are errors."""
    return strict(json.loads(gzip.decompress(SCHEMA.read_bytes()))["schema"])


def strict(schema):
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(part) for name, part in schema.items()}
    if isinstance(found.get("properties"), dict) and not found.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    if found.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    return found


@pytest.fixture
def manifest():
    return yaml.safe_load((ROOT / "deploy/ray/rayjob.yaml").read_text())


def faults(schema, manifest):
    return [
        error.message
        for error in jsonschema.Draft7Validator(schema["properties"]["spec"]).iter_errors(manifest["spec"])
    ]


def test_the_manifest_is_what_kuberay_accepts(schema, manifest):
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayJob")
    assert faults(schema, manifest) == []


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
    assert len(faults(schema, wrong)) == 1


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
