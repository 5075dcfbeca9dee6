"""The turns that workers take on one machine: one is awake, all others are stopped."""

import dataclasses
import random
import time

BATCH_SIZE = 8
# Calls that are made and not counted: when a worker has its first turn, and when it wakes up in a later one.
NUM_WARMUP, NUM_WAKING = 5, 2
# Timed batches for each timed photo.
_BATCH_SHARE = 1 / 3


@dataclasses.dataclass
class Turns:
    """What one worker did in all of its turns.

    Attributes:
        one_ms: a list a round of milliseconds, one a call of one photo.
        batch_ms: likewise, of calls of `BATCH_SIZE` photos; empty where a round had none.
        batch_way: how the worker runs several photos.
        peak_rss_mb: after the first round's calls of one photo, 10^6 bytes.
        garments: how many were found, one a photo of `one_ms`.
    """

    one_ms: list = dataclasses.field(default_factory=list)
    batch_ms: list = dataclasses.field(default_factory=list)
    batch_way: str = ""
    peak_rss_mb: float = 0.0
    garments: list = dataclasses.field(default_factory=list)


def take_turns(workers, *, rounds, repeats, seconds, say=lambda text: None) -> dict:
    """Measure workers in turns, in a new order each round.

    Args:
        workers: name to `WorkerProcess`, loaded and paused; they are paused again in the end.
        rounds: turns of each.
        repeats: timed calls of one photo a turn; of batches it is a third of it.
        seconds: a turn's calls of one size end after so long, with at least one timed. A worker whose batch takes
            longer than this runs one in the first round only.
        say: function of a line about what is being done.

    Returns:
        name to `Turns`.
    """
    turns = {name: Turns() for name in workers}
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for name in order_of_round(list(workers), number):
            workers[name].resume()
            try:
                _take_turn(workers[name], turns[name], number, repeats, seconds)
            finally:
                workers[name].pause()
    return turns


def order_of_round(names, number) -> list:
    """Return the names in the order of one round: drawn, so that none always follows the same other."""
    return random.Random(number).sample(names, len(names))


def _take_turn(worker, turns, number, repeats, seconds):
    milliseconds, garments = _call(worker, 1, NUM_WAKING if number else NUM_WARMUP, repeats, seconds)
    turns.one_ms.append(milliseconds)
    turns.garments += garments
    if number == 0:
        turns.peak_rss_mb = worker.ask("memory")["peak_rss_mb"]
        turns.batch_way = worker.ask("prepare", batch_size=BATCH_SIZE)["way"]
    is_slow = number and max(turns.batch_ms[0]) > 1000.0 * seconds
    if is_slow:
        turns.batch_ms.append([])
    else:
        # The machine is awake already, and the first batch of a slow worker may take minutes.
        num_waking = 0 if 1.0 * BATCH_SIZE * max(milliseconds) > 1000.0 * seconds else 1
        num_batches = max(1, round(repeats * _BATCH_SHARE))
        turns.batch_ms.append(_call(worker, BATCH_SIZE, num_waking, num_batches, seconds)[0])


def _call(worker, batch_size, num_untimed, repeats, seconds):
    """Return the milliseconds of each timed call, and how many garments each of their photos has."""
    start = time.monotonic()
    first, milliseconds, garments = 0, [], []
    while len(milliseconds) < repeats:
        is_late = time.monotonic() - start > seconds
        if is_late and milliseconds:
            break
        answer = worker.ask("run", batch_size=batch_size, first=first)
        first += batch_size
        if num_untimed and not is_late:
            num_untimed -= 1
        else:
            milliseconds.append(answer["ms"])
            garments += answer["garments"]
    return milliseconds, garments
