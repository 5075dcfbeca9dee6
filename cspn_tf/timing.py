"""The timer of all benchmarks: interleaved calls in one process, wall-clock and CPU time."""

import dataclasses
import statistics
import time


@dataclasses.dataclass
class Timing:
    """Times of repeated calls of one function.

    Attributes:
        milliseconds: wall-clock time of each call.
        processor_ms: CPU time of this process in each call, which other processes on the machine disturb less.
    """

    milliseconds: list = dataclasses.field(default_factory=list)
    processor_ms: list = dataclasses.field(default_factory=list)

    @property
    def median(self) -> float:
        """The median of `milliseconds`."""
        return statistics.median(self.milliseconds)

    @property
    def processor_median(self) -> float:
        """The median of `processor_ms`."""
        return statistics.median(self.processor_ms)


def measure_in_turns(functions: dict, repeats: int, *, num_warmup: int = 1, before=None) -> dict:
    """Time functions in turns, so that other load on the machine affects all of them alike.

    Args:
        functions: name to function without arguments.
        repeats: timed calls of each.
        num_warmup: untimed warm-up calls of each, before all timed calls.
        before: untimed set-up function, called with the name before each call of that function; or None.

    Returns:
        name to `Timing`.
    """
    before = before or (lambda name: None)
    timings = {name: Timing() for name in functions}
    for name, function in functions.items():
        for _ in range(num_warmup):
            before(name)
            function()
    for _ in range(repeats):
        for name, function in functions.items():
            before(name)
            start, processor = time.perf_counter(), time.process_time()
            function()
            timings[name].processor_ms.append(1000.0 * (time.process_time() - processor))
            timings[name].milliseconds.append(1000.0 * (time.perf_counter() - start))
    return timings
