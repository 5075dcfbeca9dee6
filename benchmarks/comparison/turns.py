"""Measure workers in turns on one machine: one runs while all others are suspended."""

import dataclasses
import random
import time

BATCH_SIZE = 8
# Untimed warm-up calls: in a worker's first turn, and after it is resumed in a later one.
NUM_WARMUP, NUM_WAKING = 5, 2
# Number of timed batches as a share of the number of timed single photos.
_BATCH_SHARE = 1 / 3


@dataclasses.dataclass
class Turns:
    """Measurements of one worker over all of its turns.

    Attributes:
        one_ms: for each round a list of milliseconds of the single-photo calls.
        batch_ms: likewise for calls with `BATCH_SIZE` photos; an empty list for a round without any.
        batch_way: name of the way in which the worker runs several photos.
        peak_rss_mb: peak memory after the single-photo calls of the first round, 10^6 bytes.
        garments: number of garments found in each single-photo call.
    """

    one_ms: list = dataclasses.field(default_factory=list)
    batch_ms: list = dataclasses.field(default_factory=list)
    batch_way: str = ""
    peak_rss_mb: float = 0.0
    garments: list = dataclasses.field(default_factory=list)


def take_turns(workers, *, rounds, repeats, seconds, say=lambda text: None) -> dict:
    """Measure workers in turns, in a new random order each round.

    Args:
        workers: `WorkerProcess` by name, loaded and paused; they are paused again at the end.
        rounds: turns of each worker.
        repeats: timed single-photo calls per turn; a third as many for batches.
        seconds: time limit per turn for the calls of each size, with at least one timed call. A worker whose batch
            takes longer runs one batch, in the first round only.
        say: function that shows a progress message.

    Returns:
        `Turns` by name.
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
    """Return the names in a random order for one round, so that no runner always follows the same other one."""
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
        # No warm-up for a slow worker: the single photos have warmed it up, and a batch may take minutes.
        num_waking = 0 if BATCH_SIZE * max(milliseconds) > 1000.0 * seconds else 1
        num_batches = max(1, round(repeats * _BATCH_SHARE))
        turns.batch_ms.append(_call(worker, BATCH_SIZE, num_waking, num_batches, seconds)[0])


def _call(worker, batch_size, num_untimed, repeats, seconds):
    """Return the milliseconds of each timed call, and the number of garments found in each of its photos."""
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
