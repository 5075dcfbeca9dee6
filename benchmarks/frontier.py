"""Compare trained networks: latency for one input against accuracy on the validation split.

All runs must be of training.train_detector, or all of training.train_keypoints, on the same data. Networks are timed in
turns. A network is on the Pareto frontier if no other is at least as fast and at least as accurate.
"""

import contextlib
import dataclasses
import sys
from pathlib import Path

from benchmarks.networks import load_network
from cspn_tf.console import Parser, UserError, positive_int, run
from cspn_tf.files import write_json
from cspn_tf.machine import describe_machine, set_threads
from cspn_tf.plots import saved_plot
from cspn_tf.timing import measure_in_turns
from cspn_tf.train.fitting import best_epoch, read_history


@dataclasses.dataclass(frozen=True)
class Kind:
    """The accuracy measure of a kind of network: a key of `history.json`, and its title."""

    metric: str
    title: str
    lower_is_better: bool


KINDS = {
    "detector": Kind("val_ap", "AP of boxes", False),
    "keypoints": Kind("val_ne_bbox", "NE (box sides), ground-truth boxes", True),
}
NUM_WARMUP = 3


def main(argv=None):
    args = _parse(argv)
    set_threads(1, 1)
    kind, runs = read_runs(args.runs)
    rows = measure(kind, runs, args.repeats)
    setting = {**describe_machine(), "threads": 1, "repeats": args.repeats}
    print(format_rows(kind, rows, setting))
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "frontier.json", {"machine": setting, "kind": kind, "rows": rows})
    draw(kind, rows, out / "frontier.png")
    print(f"written to {out}: frontier.json, frontier.png")


def _parse(argv):
    parser = Parser(description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n")[1])
    parser.add_argument("--runs", nargs="+", required=True, metavar="DIR", help="finished trainings of one kind")
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder of the figures and the plot")
    parser.add_argument("--repeats", type=positive_int, default=30, help="timed runs of each network")
    return parser.parse_args(argv)


def read_runs(directories) -> tuple:
    """Read the best epoch of each training directory.

    Returns:
        kind: a key of `KINDS`.
        runs: a list of dicts in the given order: name, directory, and epoch and value of the best epoch.

    Raises:
        UserError: if one is not a training directory, differs from the first in kind or data, or has no value yet.
    """
    from cspn_tf.train.detector import DetectorTask
    from cspn_tf.train.keypoints import KeypointTask

    tasks = {task.network: task for task in (DetectorTask, KeypointTask)}
    runs, first = [], None
    for directory in map(Path, directories):
        kind, details = _describe(directory)
        first = first or (kind, details["data"], directory)
        if first[:2] != (kind, details["data"]):
            raise UserError(f"{directory} is {kind} of {details['data']}, {first[2]} is {first[0]} of {first[1]}")
        metric, history = KINDS[kind].metric, read_history(directory)
        monitor = f"val_{tasks[kind].monitor}"  # which selects the weights
        epoch = best_epoch(history, monitor, KINDS[kind].lower_is_better) if history else 0
        value = next((entry.get(metric) for entry in history if entry["epoch"] == epoch), None)
        if value is None:
            raise UserError(f"{directory}: history.json has no {metric}")
        runs.append({"name": directory.name, "directory": str(directory), "epoch": epoch, "value": value})
    return first[0], runs


def _describe(directory) -> tuple:
    """Return the kind of a training directory, and the details of its description."""
    from cspn_tf.models import checkpoints

    *others, last = KINDS
    for kind in others:
        with contextlib.suppress(UserError):
            return kind, checkpoints.read_description(directory, kind)[1]
    return last, checkpoints.read_description(directory, last)[1]


def measure(kind, runs, repeats) -> list[dict]:
    """Time the networks; return the runs, fastest first, with milliseconds, parameters, flops and is_on_frontier."""
    import tensorflow as tf

    from cspn_tf.inference.frozen import freeze

    functions, rows = {}, []
    for run_ in runs:
        network = load_network(kind, run_["directory"])
        images = tf.zeros([1, network.size, network.size, 3])
        frozen = tf.function(freeze(network.call, tf.TensorSpec(images.shape)))
        functions[run_["directory"]] = _waiting(frozen, images)
        rows.append({**run_, "parameters": network.parameters, "flops": network.flops})
    timings = measure_in_turns(functions, repeats, num_warmup=NUM_WARMUP)
    for row in rows:
        row["milliseconds"] = timings[row["directory"]].median
    return mark_frontier(rows, KINDS[kind].lower_is_better)


def _waiting(function, images):
    import tensorflow as tf

    return lambda: [value.numpy() for value in tf.nest.flatten(function(images))]


def mark_frontier(rows, lower_is_better) -> list[dict]:
    """Sort rows by `milliseconds`, and set `is_on_frontier` where no row as fast has as good a `value`."""
    rows = sorted(rows, key=lambda row: (row["milliseconds"], row["value"] if lower_is_better else -row["value"]))
    best, marked = None, []
    for row in rows:
        is_better = best is None or (row["value"] < best if lower_is_better else row["value"] > best)
        best = row["value"] if is_better else best
        marked.append({**row, "is_on_frontier": is_better})
    return marked


def format_rows(kind, rows, setting) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        f"{setting['cpu']}; TensorFlow, 1 thread, one input; medians of {setting['repeats']} runs in turns",
        "",
        f"| run | {KINDS[kind].title} | epoch | ms | parameters | GFLOP | on the frontier |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['name']} | {row['value']:.4f} | {row['epoch']} | {row['milliseconds']:.2f} | "
            f"{row['parameters'] / 1e6:.2f} M | {row['flops'] / 1e9:.2f} | {'yes' if row['is_on_frontier'] else ''} |"
        )
    return "\n".join(lines)


def draw(kind, rows, path) -> None:
    """Plot accuracy against time, with the frontier as a line."""
    frontier = [row for row in rows if row["is_on_frontier"]]
    with saved_plot(path, size=(7, 4.5)) as axes:
        axes.plot([row["milliseconds"] for row in frontier], [row["value"] for row in frontier], "-", color="0.7")
        for row in rows:
            colour = "tab:blue" if row["is_on_frontier"] else "0.5"
            axes.plot(row["milliseconds"], row["value"], "o", color=colour)
            axes.annotate(row["name"], (row["milliseconds"], row["value"]), (5, 4), textcoords="offset points")
        better = "lower" if KINDS[kind].lower_is_better else "higher"
        axes.set_xlabel("milliseconds at one input, 1 thread")
        axes.set_ylabel(f"{KINDS[kind].title} ({better} is better)")
        axes.margins(x=0.15)
        axes.grid(alpha=0.3)


if __name__ == "__main__":
    sys.exit(run(main))
