"""The plot of the paper's figure 6."""

from cspn_tf.plots import saved_plot


def draw_stages(rows, path) -> None:
    """Plot the error and the cost against the number of stages.

    Args:
        rows: list of dicts, the rows `stages` of `results.summarise`.
        path: file to write, PNG.
    """
    from matplotlib import ticker

    from cspn_tf.reproduction.results import DETECTED

    numbers = [row["num_stages"] for row in rows]
    with saved_plot(path, 1, 3, size=(12, 3.4)) as axes:
        for axis, (measure, title) in zip(
            axes, (("ne_garment", "NE (garment pair)"), ("ne_bbox", "NE (box sides)")), strict=False
        ):
            scores = [row[DETECTED][measure] for row in rows]
            axis.errorbar(
                numbers,
                [_or_nan(score["mean"]) for score in scores],
                yerr=[score["sd"] or 0.0 for score in scores],
                marker="o",
                capsize=3,
                label="mean and sd of seeds",
            )
            points = [
                (number, _or_nan(value))
                for number, score in zip(numbers, scores, strict=True)
                for value in score["values"]
            ]
            axis.scatter(*zip(*points, strict=True), s=10, color="grey", label="one seed", zorder=3)
            axis.set_title(f"{title}, detected boxes", fontsize=10)
            axis.legend(fontsize=7)
        for name, title in (
            ("network_ms", "milliseconds per crop"),
            ("flops", "operations"),
            ("parameters", "parameters"),
        ):
            ratios = [row[name] / rows[0][name] for row in rows]
            axes[2].plot(numbers, ratios, marker="o", label=title)
        axes[2].set_title(f"cost of the keypoint network, {numbers[0]} stage = 1", fontsize=10)
        axes[2].legend(fontsize=7)
        for axis in axes:
            axis.set_xlabel("stages")
            axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
            axis.grid(alpha=0.3)


def _or_nan(value):
    return float("nan") if value is None else value
