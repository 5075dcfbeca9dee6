import io

import pytest

from cspn_tf.progress import Progress


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_on_a_terminal_updates_one_line():
    now = [0.0]
    stream = _Terminal()
    with Progress("drawn", stream, clock=lambda: now[0]) as progress:
        for done in range(1, 101):
            now[0] += 0.125
            progress(done, 100)
    shown = stream.getvalue()
    assert shown.count("\n") == 1
    assert shown.count("\r") == 50  # of 100 calls at 0.125 s, one in at least 0.2 s
    assert shown.endswith("\n")
    assert shown.rstrip().endswith("100 of 100 photos drawn, 8.0 photos/s")
    assert "40 of 100 photos drawn, 8.0 photos/s, 0:08 left" in shown


def test_progress_in_a_log_is_a_line_for_every_tenth_and_no_more_often_than_asked():
    now = [0.0]
    stream = io.StringIO()
    progress = Progress("done", stream, clock=lambda: now[0], unit="steps", seconds=30)
    for done in range(1, 101):
        now[0] += 1.0
        progress(done, 100)
    assert stream.getvalue().splitlines() == [
        "30 of 100 steps done, 1.0 steps/s, 1:10 left",
        "60 of 100 steps done, 1.0 steps/s, 0:40 left",
        "90 of 100 steps done, 1.0 steps/s, 0:10 left",
    ]


@pytest.mark.parametrize(("seconds", "text"), [(5.4, "0:05"), (65, "1:05"), (3723, "1:02:03")])
def test_time_left_is_shown_in_minutes_or_hours(seconds, text):
    stream = io.StringIO()
    times = iter([0.0, seconds])
    Progress("drawn", stream, clock=lambda: next(times))(50, 100)
    assert stream.getvalue().endswith(f", {text} left\n")
