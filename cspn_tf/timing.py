"""The one timer: functions in turns within one process, by the clock and by the processor's time."""

import dataclasses
import statistics
import time


@dataclasses.dataclass
class Timing:
    """What repeated calls of one function took.

    Attributes:
        milliseconds: by the clock, one a call.
        processor_ms: of this process's use of the processor, likewise: what others on the machine disturb less.
    """

    milliseconds: list = dataclasses.field(default_factory=list)
    processor_ms: list = dataclasses.field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle of `milliseconds`."""
        return statistics.median(self.milliseconds)

    @property
    def processor_median(self) -> float:
        """The middle of `processor_ms`."""
        return statistics.median(self.processor_ms)


def measure_in_turns(functions: dict, repeats: int, *, num_warmup: int = 1, before=None) -> dict:
    """Time functions in turns, so that whatever else the machine does falls on all of them.

    Args:
        functions: name to function without arguments.
        repeats: timed calls of each.
        num_warmup: calls of each that go before all others and are not timed.
        before: function of a name that makes ready for a call of its function, and is not timed; or None.

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
