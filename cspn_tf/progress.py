"""Progress output of long-running work."""

import sys
import time


class Progress:
    """Prints photos done, photos/s and time left: one updating line on a terminal, else a line for every tenth done.

    Call with (number done, total number). As a context manager, it ends the line on exit.
    """

    def __init__(self, verb, stream=None, clock=time.monotonic, unit="photos", seconds=0):
        """Start the clock.

        Args:
            verb: past participle of the work, such as "evaluated".
            stream: text file to print to; None for stdout.
            clock: function that returns seconds.
            unit: what is counted.
            seconds: least time between two lines, where there is no terminal.
        """
        self._verb, self._stream, self._clock = verb, stream or sys.stdout, clock
        self._unit, self._seconds = unit, seconds
        self._terminal = self._stream.isatty()
        self._start = self._last = clock()
        self._tenths = 0
        self._width = 0

    def __call__(self, num_done, num_total):
        now = self._clock()
        tenths = 10 * num_done // num_total
        finished = num_done == num_total
        waited = now - self._last
        due = (waited >= 0.2 or finished) if self._terminal else (tenths > self._tenths and waited >= self._seconds)
        if not due:
            return
        self._last, self._tenths = now, tenths
        rate = num_done / max(now - self._start, 1e-9)
        text = f"{num_done} of {num_total} {self._unit} {self._verb}, {rate:.{1 if rate < 10 else 0}f} {self._unit}/s"
        if not finished:
            text += f", {duration((num_total - num_done) / rate)} left"
        if self._terminal:
            print("\r" + text.ljust(self._width), end="", file=self._stream, flush=True)
            self._width = len(text)
        else:
            print(text, file=self._stream, flush=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._width:
            print(file=self._stream, flush=True)


def duration(seconds) -> str:
    """Format seconds as m:ss, or as h:mm:ss from an hour on."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
