"""Bulk annotation against a plain loop over the same SavedModel on the same cores, and one Ray node against two.

All variants annotate the same photos. The plain loop has one process per core, with one thread each, that reads files
and calls the model in batches; the best of several batch sizes counts. No rate includes startup and loading the model,
because all workers run some blocks before the clock starts. The loop is also timed with one process, because two cores
that share caches and memory are not twice as fast as one.
"""

import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

from cspn_tf.bulk.blocks import SMALLEST_BLOCK, divide
from cspn_tf.bulk.catalogue import Catalogue, open_catalogue
from cspn_tf.bulk.cluster import annotate, connected
from cspn_tf.bulk.worker import find_model
from cspn_tf.console import Parser, positive_int, run
from cspn_tf.files import write_json
from cspn_tf.machine import describe_machine, num_cores

BATCH_SIZES = (4, 8, 16)


def main(argv=None):
    parts = __doc__.split("\n\n")
    parser = Parser(description=parts[0], epilog=parts[1])
    parser.add_argument("--photos", required=True, metavar="DIR", help="folder of photos")
    parser.add_argument("--model", required=True, metavar="DIR", help="exported SavedModel")
    parser.add_argument(
        "--num-photos", type=positive_int, default=1024, help="number of photos that each run annotates"
    )
    parser.add_argument("--rounds", type=positive_int, default=2, help="runs of each, in turns; the best one counts")
    parser.add_argument(
        "--memory",
        type=positive_int,
        metavar="N",
        help="measure memory instead of rates: annotate N photos on one node",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder of the figures")
    args = parser.parse_args(argv)
    photos = list(open_catalogue(args.photos).photos)
    files = find_model(args.model)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    if args.memory:
        report = memory_report(repeated(photos, args.memory), files)
    else:
        report = rate_report(repeated(photos, args.num_photos), files, args.rounds)
    report = {"machine": describe_machine(), **report}
    write_json(out / ("memory.json" if args.memory else "rates.json"), report)
    for name, value in report.items():
        print(f"{name}: {value}")


def repeated(photos, num_photos):
    """Return `num_photos` photos with new ids, repeating the given ones as necessary."""
    return [photos[number % len(photos)]._replace(id=f"{number:08d}") for number in range(num_photos)]


def rate_report(photos, files, rounds) -> dict:
    """Measure the rates in photos/s, and their ratios."""
    cores = num_cores()
    rates = {}
    for _ in range(rounds):
        for size in BATCH_SIZES:
            rates.setdefault(f"plain loop, {cores} cores, batches of {size}", []).append(
                loop(photos, files, cores, size)
            )
        rates.setdefault("plain loop, one process", []).append(loop(photos, files, 1, BATCH_SIZES[1]))
        rates.setdefault(f"annotate, one node of {cores} cores", []).append(on_one_node(photos, files, cores)[0])
        for nodes in (1, 2):
            rates.setdefault(f"annotate, nodes of one core: {nodes}", []).append(on_nodes(photos, files, nodes))
    best = {name: max(values) for name, values in rates.items()}
    plain = max(rate for name, rate in best.items() if name.startswith("plain"))
    return {
        "photos/s": {name: [round(value, 2) for value in values] for name, values in rates.items()},
        f"plain loop, {cores} processes over one": round(plain / best["plain loop, one process"], 3),
        "annotate over plain loop": round(best[f"annotate, one node of {cores} cores"] / plain, 3),
        "two nodes over one": round(best["annotate, nodes of one core: 2"] / best["annotate, nodes of one core: 1"], 3),
    }


# The plain loop ------------------------------------------------------------------------------------------------------


def loop(photos, files, num_processes, batch_size) -> float:
    """Measure the rate of several processes that divide the photos among them."""
    spawning = multiprocessing.get_context("spawn")
    ready, shares = spawning.Barrier(num_processes + 1), [photos[i::num_processes] for i in range(num_processes)]
    processes = [spawning.Process(target=_loop, args=(share, files, batch_size, ready)) for share in shares]
    for process in processes:
        process.start()
    ready.wait()
    start = time.perf_counter()
    for process in processes:
        process.join()
    return len(photos) / (time.perf_counter() - start)


def _loop(photos, files, batch_size, ready):
    import cspn_tf
    from cspn_tf.machine import set_threads

    set_threads(1, 1)
    model = cspn_tf.load(files.source)
    model([photos[0].uri] * batch_size, batch_size)
    ready.wait()
    for _ in model((photo.uri for photo in photos), batch_size):
        pass


# Ray -----------------------------------------------------------------------------------------------------------------


def on_one_node(photos, files, num_workers) -> tuple:
    """Measure the rate on this machine's cores, and the memory of the largest worker after each block, MB."""
    with connected(None, num_workers):
        return _annotate(photos, files, num_workers)


def on_nodes(photos, files, num_nodes) -> float:
    """Measure the rate on a cluster of one-core nodes, all on this machine."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(num_nodes):
            cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        with connected(cluster.address, None):
            return _annotate(photos, files, num_nodes)[0]
    finally:
        cluster.shutdown()


def _annotate(photos, files, num_workers):
    memory = []
    with tempfile.TemporaryDirectory() as folder:
        # Warm-up: some blocks for each worker, in which it loads the model.
        for name, some in (("warm", photos[: 4 * SMALLEST_BLOCK * num_workers]), ("timed", photos)):
            blocks = divide(f"{folder}/{name}", Catalogue("file", iter(some), is_distinct=True), {}, num_workers)
            memory.clear()
            done = annotate(
                blocks,
                files,
                num_workers=num_workers,
                batch_size=8,
                progress=lambda *_: memory.append(max(_worker_memory(), default=0)),
            )
    return done.num_photos / done.seconds, memory


def _worker_memory():
    """Yield the resident memory of each Ray worker that is running a block, MB."""
    for folder in Path("/proc").iterdir():
        try:
            if b"ray::" in (folder / "cmdline").read_bytes():
                status = (folder / "status").read_text()
                yield int(status.partition("VmRSS:")[2].split()[0]) / 1000
        except (OSError, IndexError):
            continue  # not a process, or it has ended


def memory_report(photos, files) -> dict:
    """Measure the largest worker's memory at each tenth of the photos, MB."""
    rate, memory = on_one_node(photos, files, num_cores())
    tenths = [round(memory[len(memory) * tenth // 10]) for tenth in range(10)] + [round(memory[-1])]
    return {
        "photos": len(photos),
        "photos/s": round(rate, 2),
        "MB at each tenth": tenths,
        "MB at most": round(max(memory)),
    }


if __name__ == "__main__":
    sys.exit(run(main))
