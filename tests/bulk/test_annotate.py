"""`cspn-tf annotate` on Ray: on this machine, from and to a bucket; and on a cluster whose machines are lost."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cspn_tf.bulk import table, worker
from cspn_tf.bulk.blocks import read_blocks
from cspn_tf.cli import annotate
from cspn_tf.console import run
from tests.fake_model import encode, make_pixels

ROOT = Path(__file__).parents[2]


def rows_of(folder):
    """Return the rows of an output folder but for their time."""
    return [row | {"time": None} for row in table.read_rows(folder)]


@pytest.fixture
def bucket(monkeypatch):
    """A bucket of a small stand-in for S3; its URI."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    _, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    for name, value in {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    boto3.client("s3").create_bucket(Bucket="shop")
    yield "s3://shop"
    server.stop()


def test_a_list_in_a_bucket_is_annotated_into_the_bucket(bucket, model_dir, capsys, monkeypatch):
    import boto3

    store = boto3.client("s3")
    for number in range(130):
        content = encode(make_pixels(30, 30 + number % 3, seed=number)) if number != 100 else b"no photo"
        store.put_object(Bucket="shop", Key=f"photos/{number}.jpg", Body=content)
    lines = ["sku,path", *(f"{1000 + number},photos/{number}.jpg" for number in range(130)), "9,photos/none.jpg"]
    store.put_object(Bucket="shop", Key="list.csv", Body="\n".join(lines).encode())
    call = [f"{bucket}/list.csv", "--id-column", "sku", "--out", f"{bucket}/out", "--model", str(model_dir)]
    call += ["--workers", "1"]

    def interrupted(blocks, files, **_):
        assert worker.annotate_block(blocks, 1, files, batch_size=8, num_threads=0)[0] == 64
        raise KeyboardInterrupt

    with monkeypatch.context() as patches:
        patches.setattr("cspn_tf.bulk.cluster.connected", lambda *_: contextlib.nullcontext(1))
        patches.setattr("cspn_tf.bulk.cluster.annotate", interrupted)
        assert run(annotate.main, call) == 130
    said = capsys.readouterr()
    assert "131 photos in 3 blocks" in said.out
    assert "stopped: 64 of 131 photos are done; run the same command to resume" in said.err
    finished = store.get_object(Bucket="shop", Key="out/part-00000001.parquet")["LastModified"]

    assert run(annotate.main, [*call, "--resume"]) == 0
    rows = rows_of(f"{bucket}/out")
    assert [row["id"] for row in rows] == [*map(str, range(1000, 1130)), "9"]
    assert [row["num_garments"] for row in rows[:100]] == [(30 + number % 3) % 3 for number in range(100)]
    assert [(row["id"], row["status"]) for row in rows if row["status"]] == [("1100", 1), ("9", 4)]
    printed = capsys.readouterr().out
    assert "67 of 67 photos annotated" in printed
    assert f"131 photos, {sum(row['num_garments'] for row in rows)} garments" in printed
    assert "status 1, not a JPEG or PNG: 1 photos" in printed and "USD per million photos" in printed
    assert store.get_object(Bucket="shop", Key="out/part-00000001.parquet")["LastModified"] == finished


def test_wrong_calls_end_in_one_line(tmp_path, model_dir, fake_photos, capsys):
    photo = tmp_path / "a.jpg"
    photo.write_bytes(fake_photos[0])
    out, call = tmp_path / "out", [str(photo), "--model", str(model_dir)]

    def said(*arguments):
        code = run(annotate.main, [*map(str, arguments)])
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1
        return code, error

    assert said(*call, "--out", out, "--resume") == (2, f"error: --resume: there is no run in {out}\n")
    code, error = said(*call, "--out", out, "--address", "127.0.0.1:9")
    assert code == 1 and "no Ray cluster can be used at 127.0.0.1:9" in error
    assert not out.exists()
    (out / "_annotate").mkdir(parents=True)
    about = {"catalogue": "other", "model": str(model_dir / "1")}
    content = {"about": about, "kind": "file", "bytes_column": None, "num_photos": 1, "num_repeated": 0}
    (out / "_annotate/run.json").write_text(json.dumps({"format": 1, "block_size": 64, "token": "x", **content}))
    code, error = said(*call, "--out", out)
    assert code == 2 and f"{out} was started with a different catalogue: other, now {photo}" in error


def test_a_catalogue_is_known_by_its_place_and_not_by_how_it_is_called(
    tmp_path, model_dir, fake_photos, monkeypatch, capsys
):
    for folder in ("a", "b"):
        (tmp_path / folder / "photos").mkdir(parents=True)
        (tmp_path / folder / "photos" / "1.jpg").write_bytes(fake_photos[0])

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("cspn_tf.bulk.cluster.connected", lambda *_: contextlib.nullcontext(1))
    monkeypatch.setattr("cspn_tf.bulk.cluster.annotate", interrupted)
    call = ["--out", str(tmp_path / "out"), "--model", str(model_dir)]
    monkeypatch.chdir(tmp_path / "a")
    assert run(annotate.main, ["photos", *call]) == run(annotate.main, ["../a/./photos/", *call]) == 130
    assert f"{tmp_path}/out has a run of 1 photos, 0 of them done: it is continued" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path / "b")
    assert run(annotate.main, ["photos", *call]) == 2
    assert f"a different catalogue: {tmp_path}/a/photos, now {tmp_path}/b/photos" in capsys.readouterr().err


def test_another_version_of_ray_is_named(tmp_path, model_dir, monkeypatch, capsys):
    import ray

    def refuse(*_, **__):
        raise RuntimeError(
            "Version mismatch: The cluster was started with:\n    Ray: 2.1\nThis process has:\n    Ray: 2.60"
        )

    monkeypatch.setattr(ray, "init", refuse)
    call = [str(tmp_path), "--out", str(tmp_path / "out"), "--model", str(model_dir), "--address", "auto"]
    assert run(annotate.main, call) == 1
    wanted = "Version mismatch: The cluster was started with: Ray: 2.1 This process has: Ray: 2.60"
    assert capsys.readouterr().err == f"error: no Ray cluster can be used at auto: {wanted}\n"
    assert not (tmp_path / "out").exists()


def test_a_plan_is_arithmetic(capsys):
    call = ["--plan", "100000000", "--rate", "20", "--photo-kb", "250", "--hours", "10", "--cores", "16"]
    assert run(annotate.main, [*call, "--gbit", "5", "--core-price", "0.05"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "100000000 photos of 250 kB, 25.00 TB"
    # 16 cores do 288 photos/s; 1e8 photos in 36,000 s are 2,778 photos/s, 9.6 machines.
    assert lines[1].startswith("a machine of 16 cores: 288 photos/s, limited by its cores")
    assert lines[2].startswith("10 machines, 9.6 hours, 77 USD")
    assert run(annotate.main, [*call, "--gbit", "0.1"]) == 0
    assert "50 photos/s, limited by its network" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        annotate.main(["--plan", "10"])
    assert "--plan needs --rate" in capsys.readouterr().err


# A cluster -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster():
    """A Ray cluster on loopback: a head without cores, and three machines of one core."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    cluster.machines = [cluster.add_node(num_cpus=1) for _ in range(3)]
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


def start(folder, out, model_dir, address):
    call = [sys.executable, "-m", "serving.annotate", str(folder), "--out", str(out), "--model", str(model_dir)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*call, "--address", address], cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE)


def wait_for_blocks(out, number, process):
    """Wait until so many blocks are finished."""
    while len(list(out.glob("part-*.parquet"))) < number:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)


@pytest.mark.slow
def test_whatever_is_killed_every_photo_is_there_once(tmp_path, model_dir, cluster):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2000):
        (folder / f"{number:04d}.jpg").write_bytes(encode(make_pixels(90, 60 + number % 90, seed=number)))
    process = start(folder, tmp_path / "whole", model_dir, cluster.address)
    assert process.wait(600) == 0
    wanted = rows_of(tmp_path / "whole")
    assert [row["id"] for row in wanted] == [f"{number:04d}.jpg" for number in range(2000)]

    out = tmp_path / "killed"
    process = start(folder, out, model_dir, cluster.address)
    wait_for_blocks(out, 3, process)
    cluster.remove_node(cluster.machines.pop(), allow_graceful=False)
    wait_for_blocks(out, 8, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = {path: path.stat().st_mtime_ns for path in out.glob("part-*.parquet")}
    assert 8 <= len(first) < read_blocks(out).num_blocks
    process = start(folder, out, model_dir, cluster.address)
    assert process.wait(600) == 0
    assert rows_of(out) == wanted
    # What was finished was not done again.
    assert {path: path.stat().st_mtime_ns for path in first} == first
    assert not (out / "_annotate/unfinished").exists()
