import pytest

from benchmarks.comparison import turns
from benchmarks.comparison.turns import BATCH_SIZE, NUM_WAKING, NUM_WARMUP, order_of_round, take_turns


class FakeWorker:
    """Writes into a log what it is told, and lets a clock go on for as long as a call takes."""

    def __init__(self, name, log, clock, one_ms=10.0, batch_ms=50.0):
        self.name, self.log, self.clock = name, log, clock
        self.one_ms, self.batch_ms = one_ms, batch_ms

    def ask(self, do, **request):
        self.log.append((self.name, do, request.get("batch_size")))
        if do != "run":
            return {"memory": {"peak_rss_mb": 300.0}, "prepare": {"way": "one batch"}}[do]
        milliseconds = self.one_ms if request["batch_size"] == 1 else self.batch_ms
        self.clock[0] += milliseconds / 1000
        return {"ms": milliseconds, "garments": [1] * request["batch_size"]}

    def pause(self):
        self.log.append((self.name, "pause", None))

    def resume(self):
        self.log.append((self.name, "resume", None))


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(turns.time, "monotonic", lambda: now[0])
    return now


def test_one_is_awake_while_it_is_measured(clock):
    log = []
    take_turns({name: FakeWorker(name, log, clock) for name in "abc"}, rounds=3, repeats=3, seconds=9.0)
    awake = set()
    for name, what, _ in log:
        if what == "resume":
            assert not awake
            awake.add(name)
        elif what == "pause":
            awake.remove(name)
        else:
            assert awake == {name}
    assert not awake
    assert [name for name, what, _ in log if what == "resume"] == [
        name for number in range(3) for name in order_of_round(["a", "b", "c"], number)
    ]


def test_the_order_is_drawn_for_each_round_and_the_same_in_every_run():
    names = list("abcdef")
    orders = [order_of_round(names, number) for number in range(4)]
    assert orders == [order_of_round(names, number) for number in range(4)]
    assert all(sorted(order) == names for order in orders)
    assert len({tuple(order) for order in orders}) == 4


def test_the_worker_is_woken_before_it_is_timed(clock):
    log = []
    found = take_turns({"a": FakeWorker("a", log, clock)}, rounds=2, repeats=6, seconds=9.0)["a"]
    first = [("run", 1)] * (NUM_WARMUP + 6) + [("memory", None), ("prepare", BATCH_SIZE)]
    first += [("run", BATCH_SIZE)] * (1 + 2)
    second = [("run", 1)] * (NUM_WAKING + 6) + [("run", BATCH_SIZE)] * (1 + 2)
    assert [entry[1:] for entry in log if entry[1] not in ("pause", "resume")] == first + second
    assert (found.one_ms, found.batch_ms) == ([[10.0] * 6] * 2, [[50.0] * 2] * 2)
    assert (found.batch_way, found.peak_rss_mb, found.garments) == ("one batch", 300.0, [1] * 12)


def test_a_slow_worker_is_called_once_a_turn_and_its_batch_in_the_first_round_only(clock):
    slow = FakeWorker("a", [], clock, one_ms=4000.0, batch_ms=32000.0)
    found = take_turns({"a": slow}, rounds=3, repeats=6, seconds=3.0)["a"]
    assert found.one_ms == [[4000.0]] * 3
    assert found.batch_ms == [[32000.0], [], []]
    # One call wakes it: 4 s are over then. The batch is not tried before.
    assert slow.log.count(("a", "run", 1)) == 2 * 3
    assert slow.log.count(("a", "run", BATCH_SIZE)) == 1


def test_a_worker_that_fails_is_stopped_all_the_same(clock):
    class Failing(FakeWorker):
        def ask(self, do, **request):
            raise RuntimeError

    log = []
    with pytest.raises(RuntimeError):
        take_turns({"a": Failing("a", log, clock)}, rounds=1, repeats=1, seconds=1.0)
    assert log == [("a", "resume", None), ("a", "pause", None)]
