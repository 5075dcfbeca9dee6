"""Work on many things at a time, in order."""

import collections
from concurrent.futures import ThreadPoolExecutor


def map_in_order(function, items, num_threads):
    """Map a function over items in threads, in order, holding only a few results at a time.

    Close the generator (`contextlib.closing`) to stop early without waiting for what was queued.

    Args:
        function: of one item.
        items: iterable.
        num_threads: threads to run in.

    Yields:
        The function's results, in the order of the items.
    """
    pending = collections.deque()
    with ThreadPoolExecutor(num_threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > 4 * num_threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
