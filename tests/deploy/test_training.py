"""The manifest for training on several machines: its shell text gives each pod a TF_CONFIG that the package accepts."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import yaml

from cspn_tf.cli import train_keypoints
from cspn_tf.train.distribution import _parse_tf_config

FILE = Path(__file__).parents[2] / "deploy/training/job.yaml"


def test_each_pod_finds_its_place(tmp_path):
    service, job = yaml.safe_load_all(FILE.read_text())
    name, spec = job["metadata"]["name"], job["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    (text,) = container["args"]
    (workers,) = [entry["value"] for entry in container["env"] if entry["name"] == "WORKERS"]
    assert spec["completions"] == spec["parallelism"] == int(workers)
    assert spec["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": name} and service["spec"]["clusterIP"] == "None"

    # In place of `cspn-tf`: a program that prints its arguments and TF_CONFIG.
    (tmp_path / "cspn-tf").write_text('#!/bin/sh\nprintf "%s\\n" "$*" "$TF_CONFIG"\n')
    (tmp_path / "cspn-tf").chmod(0o755)
    for index in range(2):
        environment = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "WORKERS": workers,
            "JOB_COMPLETION_INDEX": f"{index}",
        }
        call = [*container["command"], text]
        printed = subprocess.run(call, env=environment, check=True, capture_output=True, text=True).stdout
        arguments, config = printed.splitlines()
        assert _parse_tf_config(config) == (index, 2)
        port = service["spec"]["ports"][0]["port"]
        assert json.loads(config)["cluster"]["worker"] == [f"{name}-{i}.{name}:{port}" for i in range(2)]
        command, *rest = shlex.split(arguments)
        assert command == "train-keypoints" and train_keypoints.parse(rest).strategy == "multi-worker"
