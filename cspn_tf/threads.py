"""Work in threads."""

import collections
from concurrent.futures import ThreadPoolExecutor


def map_in_order(function, items, num_threads):
    """Map a function over items in threads, in order, with about four results per thread in memory at most.

    Close the generator (`contextlib.closing`) to stop early and cancel the queued items.

    Args:
        function: function of one item.
        items: iterable.
        num_threads: number of threads.

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
