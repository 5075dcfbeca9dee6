"""Measure a server under load: rate, latency and refusals with several numbers of clients that send photo after photo.

The server is the local one, started for the run, or with --server any that serves the contract. Each client sends one
photo per request and waits for the answer. Under overload a server should refuse requests, not let them wait.
"""

import contextlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.commands import add_json, write_figures
from benchmarks.photos import read_photos
from cspn_tf.console import Parser, UserError, positive_float, positive_int, run
from cspn_tf.machine import describe_machine
from cspn_tf.serve.client import Client
from cspn_tf.serve.local_server import running_server

_REFUSED = "RESOURCE_EXHAUSTED"
_NUM_NEXT = 30


def main(argv=None):
    args = _parse(argv)
    photos = read_photos(args.photo)
    server = contextlib.nullcontext(args.server) if args.server else running_server(args.model)
    with server as address:
        with Client(address) as client:
            client.wait_until_ready()
            # Only the server that was started here has answered nothing yet.
            start = None if args.server else start_of(client, photos[0])
        rows = [measure(address, photos, num, args.seconds) for num in args.clients]
    machine = describe_machine()
    print(f"{machine['cpu']}, {machine['cores']} cores")
    if start:
        ratio = start["first_ms"] / start["median_ms"]
        print(f"first request after loading: {start['first_ms']:.0f} ms, {ratio:.2f} times the median of the next")
    print(format_table(rows))
    write_figures(args, {"machine": machine, "start": start, "rows": rows})


def _parse(argv):
    description, epilog = __doc__.split("\n\n")
    parser = Parser(any_names=("photo",), description=description, epilog=epilog)
    served = parser.add_mutually_exclusive_group(required=True)
    served.add_argument("--model", metavar="DIR", help="model directory for the local server")
    served.add_argument("--server", metavar="HOST:PORT", help="a running server instead")
    parser.add_argument("--clients", type=positive_int, nargs="+", default=[1, 4, 16, 64], help="numbers of clients")
    parser.add_argument("--seconds", type=positive_float, default=60.0, help="time for each number of clients")
    parser.add_argument("--photo", nargs="+", default=[], metavar="FILE", help="photos (default: a synthesised one)")
    add_json(parser)
    return parser.parse_args(argv)


def start_of(client, photo) -> dict:
    """Time the first requests: first_ms, and median_ms of those that follow. Warm-up makes them about equal."""

    def milliseconds():
        before = time.monotonic()
        client.predict([photo])
        return 1000.0 * (time.monotonic() - before)

    return {"first_ms": milliseconds(), "median_ms": float(np.median([milliseconds() for _ in range(_NUM_NEXT)]))}


def measure(address, photos, num_clients, seconds) -> dict:
    """Send photos from several clients for some time.

    Args:
        address: of the server.
        photos: photo files as bytes, sent in turns.
        num_clients: number of clients, each a thread with a connection of its own.
        seconds: how long they send.

    Returns:
        A JSON-ready dict: clients, photos_per_second, p50_ms, p95_ms, p99_ms of the answered requests (None if there
        are none), refused (RESOURCE_EXHAUSTED), errors (all others).
    """
    latencies, refused, errors = [], [], []
    start = time.monotonic()

    def send(first):
        with Client(address, timeout=max(seconds, 10.0)) as client:
            number = first
            while time.monotonic() - start < seconds:
                before = time.monotonic()
                try:
                    client.predict([photos[number % len(photos)]])
                except UserError as error:
                    (refused if _REFUSED in str(error) else errors).append(str(error))
                    # As clients do that wait before they try again.
                    time.sleep(0.1)
                else:
                    latencies.append(1000.0 * (time.monotonic() - before))
                number += 1

    with ThreadPoolExecutor(num_clients) as pool:
        list(pool.map(send, range(num_clients)))  # raises what a client raises
    elapsed = time.monotonic() - start
    percentiles = np.percentile(latencies, (50, 95, 99)).tolist() if latencies else [None] * 3
    return {
        "clients": num_clients,
        "photos_per_second": len(latencies) / elapsed,
        **dict(zip(("p50_ms", "p95_ms", "p99_ms"), percentiles, strict=True)),
        "refused": len(refused),
        "errors": len(errors),
    }


def format_table(rows) -> str:
    """Return the rows of `measure` as a Markdown table."""
    lines = ["| clients | photos/s | p50, ms | p95, ms | p99, ms | refused | errors |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        cells = [f"{row[name]:.0f}" if row[name] is not None else "-" for name in ("p50_ms", "p95_ms", "p99_ms")]
        rate = f"{row['photos_per_second']:.1f}"
        lines.append(f"| {' | '.join([str(row['clients']), rate, *cells, str(row['refused']), str(row['errors'])])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run(main))
