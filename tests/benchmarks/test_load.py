import threading
import time

import grpc
import pytest

from benchmarks import load
from cspn_tf.console import run
from cspn_tf.serve import grpc_server
from cspn_tf.serve.grpc_server import LocalServer
from tests.fake_model import encode, make_pixels


def test_rows_have_rate_percentiles_and_no_error(server):
    row = load.measure(server.address, [encode(make_pixels(30, 40)), encode(make_pixels(50, 40))], 2, 1.0)
    assert (row["clients"], row["refused"], row["errors"]) == (2, 0, 0)
    assert row["photos_per_second"] > 2
    # Two clients that wait for their answers: rate times mean latency is about two. On a busy machine the median, which
    # a few slow answers do not raise, is a small part of the mean.
    assert 0.1 < row["photos_per_second"] * row["p50_ms"] / 1000 < 4
    assert row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]


def test_an_overloaded_server_refuses_and_does_not_let_wait(model_dir, monkeypatch):
    monkeypatch.setattr(grpc_server, "MAX_REQUESTS", 2)
    with LocalServer(model_dir, "cspn", num_workers=1) as server:
        servable = server.versions.get()
        answer = servable.predict
        busy = threading.Event()

        def slow(request):
            busy.set()
            time.sleep(0.2)
            return answer(request)

        servable.predict = slow
        row = load.measure(server.address, [encode(make_pixels(30, 40))], 6, 2.0)
    assert row["refused"] > 6 and row["errors"] == 0
    # One request is worked on, one waits: 0.4 s. If all six did, it would be 1.2 s. The median, since the slowest of a
    # few seconds may have waited for the machine.
    assert row["p50_ms"] < 1000


def test_other_errors_are_counted_apart(free_address):
    row = load.measure(free_address, [b"x"], 1, 0.1)
    assert row["refused"] == 0 and row["errors"] >= 1 and row["p50_ms"] is None and row["photos_per_second"] == 0


def test_the_command_prints_a_row_per_number_of_clients(server, tmp_path, capsys):
    out = tmp_path / "load.json"
    call = ["--server", server.address, "--clients", "1", "2", "--seconds", "0.3", "--json", str(out)]
    assert run(load.main, call) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and lines[3].startswith("| 1 |") and lines[4].startswith("| 2 |") and out.exists()


def test_the_first_request_is_told_from_those_that_follow():
    class Client:
        waits = iter([0.2] + [0.01] * load._NUM_NEXT)

        def predict(self, photos):
            assert photos == [b"photo"]
            time.sleep(next(self.waits))

    start = load.start_of(Client(), b"photo")
    assert start["first_ms"] >= 200 and 10 <= start["median_ms"] < 100


@pytest.mark.parametrize("value, text", [(None, "-"), (12.4, "12")])
def test_a_row_without_answers_has_no_latency(value, text):
    row = {"clients": 1, "photos_per_second": 0.0, "refused": 3, "errors": 0}
    row |= dict.fromkeys(("p50_ms", "p95_ms", "p99_ms"), value)
    assert load.format_table([row]).splitlines()[2] == f"| 1 | 0.0 | {text} | {text} | {text} | 3 | 0 |"


def test_what_is_refused_is_told_by_its_code():
    assert grpc.StatusCode[load._REFUSED] is grpc.StatusCode.RESOURCE_EXHAUSTED
