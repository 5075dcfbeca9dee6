"""The paper's figure 6 as a picture."""


def draw_stages(rows, path) -> None:
    """Draw the error and the cost against the number of stages.

    Args:
        rows: list of dicts, the rows `stages` of `results.summarise`.
        path: file to write, PNG.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    from training.reproduction.results import DETECTED

    numbers = [row["num_stages"] for row in rows]
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.4))
    for axis, (measure, title) in zip(
        axes, (("ne_garment", "NE by sleeve or waistline"), ("ne_bbox", "NE by box sides")), strict=False
    ):
        scores = [row[DETECTED][measure] for row in rows]
        axis.errorbar(
            numbers,
            [score["mean"] for score in scores],
            yerr=[score["sd"] or 0.0 for score in scores],
            marker="o",
            capsize=3,
            label="mean and sd of seeds",
        )
        points = [(number, value) for number, score in zip(numbers, scores, strict=True) for value in score["values"]]
        axis.scatter(*zip(*points, strict=True), s=10, color="grey", label="one seed", zorder=3)
        axis.set_title(f"{title}, detected boxes", fontsize=10)
        axis.legend(fontsize=7)
    cost = axes[2]
    cost.plot(numbers, [row["network_ms"] for row in rows], marker="o", color="tab:red", label="milliseconds a crop")
    cost.plot(numbers, [row["flops"] / 1e6 for row in rows], marker="s", color="tab:orange", label="million operations")
    other = cost.twinx()
    other.plot(numbers, [row["parameters"] / 1e6 for row in rows], marker="^", color="tab:green", label="parameters")
    other.set_ylabel("million parameters", fontsize=8)
    cost.set_title("cost of the keypoint network", fontsize=10)
    cost.set_ylim(bottom=0)
    other.set_ylim(bottom=0)
    lines = [*cost.get_lines(), *other.get_lines()]
    cost.legend(lines, [line.get_label() for line in lines], fontsize=7, loc="lower right")
    for axis in axes:
        axis.set_xlabel("stages")
        axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110, format="png")
    pyplot.close(figure)
