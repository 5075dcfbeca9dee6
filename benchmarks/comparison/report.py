"""Results of a comparison: figures with their spread over the rounds, as JSON, Markdown and a plot."""

import numpy as np

from benchmarks.comparison.runners import KEYPOINT_RCNN, YOLO_640
from benchmarks.comparison.turns import BATCH_SIZE
from cspn_tf.evaluation.report import make_table
from cspn_tf.plots import saved_plot

# Baselines of the ratios: the fastest runtime of a model in the same round, of any precision or of the given one.
FASTEST_YOLO = "the fastest YOLO11n-pose 640"
FASTEST_YOLO_FP32 = "the fastest YOLO11n-pose 640 in fp32"
RCNN = "Keypoint R-CNN"
_BASELINES = {
    FASTEST_YOLO: (YOLO_640, None),
    FASTEST_YOLO_FP32: (YOLO_640, "fp32"),
    RCNN: (KEYPOINT_RCNN, None),
}
_COLUMNS = {FASTEST_YOLO: "/ YOLO 640", FASTEST_YOLO_FP32: "/ YOLO 640 fp32", RCNN: "/ Keypoint R-CNN"}


# Figures -------------------------------------------------------------------------------------------------------------


def figures_of(runners, turns, facts, accuracies) -> list[dict]:
    """Return the figures of each runner, JSON-ready.

    Args:
        runners: list of `Runner`.
        turns: `Turns` by runner name.
        facts: by runner name, what its worker reports: precision, threads, and if known parameters, flops and a note.
        accuracies: `ne_bbox` by model.

    Returns:
        list of dicts, in the order of the runners:
            name, model, runtime, is_ours
            precision, threads, parameters, flops, note: None if unknown
            median_ms, p95_ms, num_runs: single photos, over all rounds
            round_medians_ms: a list with the median of each round
            photos_per_second, batch_way, num_batches: batches of `BATCH_SIZE`
            peak_rss_mb, garments_per_photo
            ne_bbox: None if unknown
            ratios: see `ratios_of`
            milliseconds, batch_milliseconds: a list of call times for each round
    """
    figures = []
    for runner in runners:
        mine, known = turns[runner.name], facts[runner.name]
        one_ms, batch_ms = np.concatenate(mine.one_ms), np.concatenate(mine.batch_ms)
        figures.append(
            {
                "name": runner.name,
                "model": runner.model,
                "runtime": runner.runtime,
                "is_ours": runner.is_ours,
                **{key: known.get(key) for key in ("precision", "threads", "parameters", "flops", "note")},
                "median_ms": float(np.median(one_ms)),
                "p95_ms": float(np.percentile(one_ms, 95)),
                "num_runs": len(one_ms),
                "round_medians_ms": [float(np.median(round_ms)) for round_ms in mine.one_ms],
                "photos_per_second": float(1000.0 * BATCH_SIZE / np.median(batch_ms)),
                "batch_way": mine.batch_way,
                "num_batches": len(batch_ms),
                "peak_rss_mb": mine.peak_rss_mb,
                "garments_per_photo": float(np.mean(mine.garments)),
                "ne_bbox": accuracies.get(runner.model),
                "milliseconds": mine.one_ms,
                "batch_milliseconds": mine.batch_ms,
            }
        )
    for figure in figures:
        figure["ratios"] = ratios_of(figure, figures)
    return figures


def ratios_of(figure, figures) -> dict:
    """Return a runner's time ratio to each measured baseline; above 1 is slower.

    Returns:
        For each baseline a dict of median, min and max over the rounds. The ratio of a round is the runner's median
        time over that of the baseline's fastest runner.
    """
    ratios = {}
    for baseline, (model, precision) in _BASELINES.items():
        others = [f for f in figures if f["model"] == model and precision in (None, f["precision"])]
        if others:
            fastest = np.min([other["round_medians_ms"] for other in others], axis=0)
            found = np.array(figure["round_medians_ms"]) / fastest
            ratios[baseline] = {
                "median": float(np.median(found)),
                "min": float(found.min()),
                "max": float(found.max()),
            }
    return ratios


# Text ----------------------------------------------------------------------------------------------------------------


def to_markdown(figures, setting) -> str:
    """Return the report as Markdown.

    Args:
        figures: the result of `figures_of`.
        setting: dict of machine (cpu, cores), threads, load, photos (a text), rounds, repeats, seconds, garments,
            notes (list of texts).
    """
    has_peers = not all(figure["is_ours"] for figure in figures)
    lines = ["# From JPEG bytes to keypoints in photo pixels", "", *_how_it_was_measured(setting, has_peers), ""]
    lines += [_latency_table(figures), "", _throughput_table(figures), "", *_facts_table(figures), ""]
    return "\n".join(lines)


def _how_it_was_measured(setting, has_peers):
    machine = setting["machine"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores; {setting['threads']} threads for each runner. Load average "
        f"before the start: {setting['load']:.2f}. Photos: {setting['photos']}.",
        "",
        f"Each runner is a separate process, restricted to {setting['threads']} cores. There are {setting['rounds']} "
        "rounds. In each, every runner has a turn, in random order, and all others are suspended meanwhile. A turn is "
        f"up to {setting['repeats']} timed calls with one photo, then a third as many with {BATCH_SIZE} photos, each "
        f"after warm-up calls. Either part ends after {setting['seconds']:g} s, with at least one timed call. A runner "
        "that takes longer than that for a batch runs a single one, in the first round.",
        "",
        "A ratio compares medians of the same round; the table has its median over the rounds (minimum to maximum). "
        "Above 1 is slower. If the range includes 1, neither is clearly faster.",
    ]
    if has_peers:
        lines += [
            "",
            "The peers have random weights, with batch-normalisation statistics from the photos: only their cost is "
            "measured, not their accuracy. The number of detections per photo is fixed: 4 candidates for YOLO and "
            f"Keypoint R-CNN, {setting['garments']} for the two-stage runners.",
        ]
    for note in setting["notes"]:
        lines += ["", note]
    return lines


def _latency_table(figures):
    baselines = [name for name in _BASELINES if name in figures[0]["ratios"]]
    with_accuracy = any(figure["ne_bbox"] is not None for figure in figures)
    header = ["one photo", "precision", "median", "p95", "least to most median of a round", "runs"]
    header += [_COLUMNS[name] for name in baselines] + (["ne_bbox"] if with_accuracy else [])
    rows = []
    for figure in sorted(figures, key=lambda figure: figure["median_ms"]):
        rounds = figure["round_medians_ms"]
        row = [_title(figure), figure["precision"] or "", f"{figure['median_ms']:.1f} ms", f"{figure['p95_ms']:.1f} ms"]
        row += [f"{min(rounds):.1f} to {max(rounds):.1f} ms", str(figure["num_runs"])]
        row += [_spread(figure["ratios"][name]) for name in baselines]
        if with_accuracy:
            row.append("" if figure["ne_bbox"] is None else f"{figure['ne_bbox']:.4f}")
        rows.append(row)
    return make_table(header, rows)


def _throughput_table(figures):
    header = [f"{BATCH_SIZE} photos", "photos/s", "the fastest way of those tried", "batches"]
    ordered = sorted(figures, key=lambda figure: -figure["photos_per_second"])
    rows = [[_title(f), f"{f['photos_per_second']:.1f}", f["batch_way"], str(f["num_batches"])] for f in ordered]
    return make_table(header, rows)


def _facts_table(figures):
    header = ["runner", "threads", "peak memory", "parameters", "GFLOP per photo", "garments found", ""]
    rows = []
    for f in figures:
        parameters = "" if f["parameters"] is None else f"{f['parameters'] / 1e6:.2f} M"
        flops = "" if f["flops"] is None else f"{f['flops'] / 1e9:.2f}"
        memory, garments = f"{f['peak_rss_mb']:.0f} MB", f"{f['garments_per_photo']:.1f}"
        rows.append([_title(f), f["threads"] or "", memory, parameters, flops, garments, f["note"] or ""])
    notes = [
        "",
        "Peak memory is measured after the single-photo calls of the first round; for gRPC it includes the server. "
        "GFLOP counts a multiply-add as two; for our models it is for one garment per photo.",
    ]
    return [make_table(header, rows), *notes]


def _title(figure):
    return f"**{figure['name']}**" if figure["is_ours"] else figure["name"]


def _spread(ratio):
    digits = 2 if ratio["median"] >= 0.1 else 3
    return f"{ratio['median']:.{digits}f} ({ratio['min']:.{digits}f} to {ratio['max']:.{digits}f})"


# Picture -------------------------------------------------------------------------------------------------------------


def draw(figures, path) -> None:
    """Plot latency against accuracy if any accuracy is known, else a latency bar for each runner.

    Args:
        figures: the result of `figures_of`.
        path: PNG file to write.
    """
    has_accuracy = any(figure["ne_bbox"] is not None for figure in figures)
    with saved_plot(path, size=(9, 5 if has_accuracy else 1.2 + 0.32 * len(figures))) as axes:
        (_draw_against_accuracy if has_accuracy else _draw_bars)(axes, figures)
        axes.set_xscale("log")
        axes.set_xlabel("one photo, milliseconds; line: range of the rounds' medians")
        axes.spines[["top", "right"]].set_visible(False)


def _draw_bars(axes, figures):
    ordered = sorted(figures, key=lambda figure: -figure["median_ms"])
    for row, figure in enumerate(ordered):
        axes.barh(row, figure["median_ms"], color=_colour(figure), height=0.7)
        rounds = figure["round_medians_ms"]
        axes.plot([min(rounds), max(rounds)], [row, row], color="black", linewidth=1.5)
        axes.text(1.05 * max(rounds), row, f"{figure['median_ms']:.1f}", va="center", fontsize=8)
    axes.set_yticks(range(len(ordered)), [figure["name"] for figure in ordered], fontsize=8)
    axes.set_xlim(left=0.5 * ordered[-1]["median_ms"], right=1.6 * max(ordered[0]["round_medians_ms"]))


def _draw_against_accuracy(axes, figures):
    """Plot only the fastest runner of each model, as all of them would overlap."""
    fastest = {}
    for figure in sorted(figures, key=lambda figure: figure["median_ms"]):
        fastest.setdefault(figure["model"], figure)
    known = [figure for figure in fastest.values() if figure["ne_bbox"] is not None]
    for place, figure in enumerate(known):
        rounds = figure["round_medians_ms"]
        axes.plot([min(rounds), max(rounds)], [figure["ne_bbox"]] * 2, color=_colour(figure), linewidth=1)
        axes.plot(figure["median_ms"], figure["ne_bbox"], "o", color=_colour(figure))
        axes.annotate(
            f"{figure['name']}: {figure['median_ms']:.1f} ms, {figure['ne_bbox']:.4f}",
            (figure["median_ms"], figure["ne_bbox"]),
            (0.12, 0.95 - 0.06 * place),
            textcoords="axes fraction",
            fontsize=8,
            arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.7},
        )
    # Models without a known accuracy are vertical lines.
    for figure in fastest.values():
        if figure["ne_bbox"] is None:
            axes.axvline(figure["median_ms"], color=_colour(figure), linewidth=0.8, linestyle=":")
            place = (figure["median_ms"], 0.02)
            axes.text(*place, figure["name"], transform=axes.get_xaxis_transform(), rotation=90, fontsize=7, ha="right")
    axes.set_ylim(0, 1.8 * max(figure["ne_bbox"] for figure in known))
    axes.set_ylabel("NE (box sides, ne_bbox), lower is better; dotted: not known")
    axes.set_title("The fastest runtime of each model", fontsize=10, loc="left")


def _colour(figure):
    return "tab:blue" if figure["is_ours"] else "tab:gray"
