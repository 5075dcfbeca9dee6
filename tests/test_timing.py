import time

import pytest

from cspn_tf.timing import Timing, measure_in_turns


def test_functions_take_turns_after_their_warm_up():
    calls = []
    timings = measure_in_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2, num_warmup=3)
    assert "".join(calls) == "aaabbb" + "abab"
    for timing in timings.values():
        assert len(timing.milliseconds) == len(timing.processor_ms) == 2 and timing.median >= 0


def test_one_call_of_each_is_not_timed_unless_said_otherwise():
    calls = []
    measure_in_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 1)
    assert "".join(calls) == "ab" + "ab"


def test_what_goes_before_a_call_is_not_timed():
    order = []

    def before(name):
        order.append(f"before {name}")
        time.sleep(0.05)

    found = measure_in_turns({"a": lambda: order.append("a")}, 1, num_warmup=1, before=before)["a"]
    assert order == ["before a", "a"] * 2
    assert found.median < 50.0


def test_the_processor_is_at_work_for_a_part_of_the_time():
    found = measure_in_turns({"idle": lambda: time.sleep(0.05)}, 1)["idle"]
    assert found.median >= 50.0 > found.processor_median


def test_medians_are_the_middles():
    timing = Timing([5.0, 1.0, 2.0], [4.0, 1.0])
    assert (timing.median, timing.processor_median) == pytest.approx((2.0, 2.5))
