"""The Markdown report of a reproduction and the plot of figure 6, from the results of `results.summarise`."""

import numpy as np

from cspn_tf.evaluation.report import DETECTED, LABELLED, formatted, make_table
from cspn_tf.garments import KEYPOINT_ABBREVIATIONS
from cspn_tf.plots import saved_plot
from cspn_tf.reproduction.experiments import CSPN

# Source, variant and splits of the paper's data, as in a prepared dataset's manifest.
_PAPERS_DATA = ("fld", "DeepFashion FLD", "source")

_SPLITS_NOTE = (
    "FLD's own partition file has about 83k training, 20k validation and 20k test photos; no union of these gives the "
    "paper's 86k and 37k exactly. Here the validation split selects the best epoch, and all results are on the test "
    "split."
)


def make_report(found) -> str:
    """Return the report.

    Args:
        found: the dict of `results.summarise`, with `machine` added.
    """
    plan, data = found["plan"], found["data"]
    machine = found["machine"]
    overrides = f", {' '.join(plan['overrides'])}" if plan["overrides"] else ""
    is_papers_data = (data["source"], data["variant"], data["splits_from"]) == _PAPERS_DATA
    detector = f"detector `{plan['detector']}`" if plan["detector"] else f"{plan['detector_epochs']} of the detector"
    splits = ", ".join(
        f"{name} {entry['num_photos']} photos with {entry['num_garments']} garments"
        for name, entry in data["splits"].items()
    )
    parts = [
        "# The paper's tables",
        f"- data: `{data['source']}` ({data['variant']}); splits: {splits}\n"
        f"- scale `{plan['scale']}`{overrides}; "
        f"{plan['keypoint_epochs']} epochs of each keypoint network, {detector}; "
        f"seeds {', '.join(map(str, plan['seeds']))}\n"
        f"- machine: {machine['cores']} cores of {machine['cpu']}",
        _SPLITS_NOTE,
        "**The paper's data, in FLD's own splits: the paper's rows are on the same photos, split differently.**"
        if is_papers_data
        else "**Not the paper's data: the paper's rows are for reference only and cannot be compared.**",
        "Numbers with ± are mean and standard deviation over seeds. Errors are over visible keypoints of detected "
        "garments. PCK and AUC are over all labelled keypoints; those of missed garments count as wrong. All methods "
        "share one detector, so they miss the same garments, and the CSPN preset's schedule, learning rate and frozen "
        "layers, which were not tuned for any of them.",
        "Answers are based on 95 % intervals by Student's t over seeds, paired by seed. They cover the variation "
        "between trainings on these test photos; the bootstrap intervals cover the variation between photos. One in "
        "twenty such answers is wrong by chance.",
        "## What the paper claims",
        _claims(found["claims"]),
    ]
    if found["table_1"]:
        parts += ["## Table 1: methods", *_table_1(found["table_1"], is_papers_data)]
    if found["table_2"]:
        parts += ["## Table 2: with and without a detection stage", *_table_2(found["table_2"])]
    if len(found["stages"]) > 1:
        parts += ["## Figure 6 and table 3: stages", "![figure 6](figure_6.png)", _stages(found["stages"])]
    if found["beyond"]:
        parts += ["## Beyond the paper", *_beyond(found["beyond"], found["stages"])]
    configs = {name: " ".join(f"`{text}`" for text in texts) for name, texts in found["config"].items()}
    parts += ["## What was trained", "\n".join(f"- `{name}`: {text or 'nothing'}" for name, text in configs.items())]
    return "\n\n".join(parts) + "\n"


def _claims(claims):
    lines = []
    for claim in claims:
        lines.append(f"- **{claim['claim']}: {claim['answer']}.**")
        for part in claim["parts"]:
            if part["gain"] is None:
                lines.append(f"  - {part['question']}: nothing to measure")
                continue
            interval = "one seed"
            if part["interval"]:
                interval = "{:+.4f} to {:+.4f} by Student's t over seeds".format(*part["interval"])
            lines.append(
                f"  - {part['question']}: `{part['measure']}` {part['mean']:.4f} → {part['others']:.4f}, better by "
                f"{part['gain']:+.4f} ({interval}), in {part['num_better']} of {part['num_seeds']} seeds"
            )
    return "\n".join(lines)


def _table_1(rows, is_papers_data):
    header = ["method", *KEYPOINT_ABBREVIATIONS, "mean ± sd", "test photos, 95 %", "keypoints", "skipped"]
    lines = []
    for row in rows:
        score = row[DETECTED]["ne_garment"]
        interval = "-" if score["interval"] is None else "{:.4f} to {:.4f}".format(*score["interval"])
        counts = [str(score["count"]), str(score["skipped"])]
        per_keypoint = [formatted(value) for value in score["per_keypoint"].values()]
        lines.append([row["title"], *per_keypoint, _spread(score), interval, *counts])
        if "paper" in row:
            values = [formatted(value) for value in row["paper"].values()]
            where = "FLD, other split" if is_papers_data else "FLD: not the same data"
            lines.append([f"*{row['title']}, the paper's*", *values, where, "", ""])
    others = [
        {
            "method": row["title"],
            "ne_bbox, detected": _spread(row[DETECTED]["ne_bbox"]),
            "ne_bbox, ground-truth boxes": _spread(row[LABELLED]["ne_bbox"]),
            "published": formatted(row.get("published_ne_bbox")),
            "ne_longside": _spread(row[DETECTED]["ne_longside"]),
            "PCK@0.2": _spread(row[DETECTED]["pck_02"]),
            "AUC": _spread(row[DETECTED]["auc"]),
            "EPE, pixels": _spread(row[DETECTED]["epe"]),
            "million parameters": formatted(row["parameters"] / 1e6, 2),
            "ms per crop": formatted(row["network_ms"], 1),
        }
        for row in rows
    ]
    return [
        "NE by the garment's sleeve or waistline distance (the paper's equation 3), detected boxes. The interval is "
        "a bootstrap over test photos, averaged over seeds. Garments whose normalising pair is not fully labelled or "
        "closer than 10 pixels are skipped.",
        make_table(header, lines),
        f"The other measures. *Published* is `ne_bbox` of the methods' own implementations on FLD"
        f"{'' if is_papers_data else ': not the same data'}. "
        f"Missed by the detector: {rows[0]['miss_rate']['value']:.4f} of {rows[0]['miss_rate']['count']} garments.",
        _table(others),
    ]


def _table_2(rows):
    lines = [
        {
            "network": row["title"],
            **{name: formatted(value) for name, value in row[DETECTED]["ne_garment"]["per_keypoint"].items()},
            "NE (garment pair)": _spread(row[DETECTED]["ne_garment"]),
            "ne_bbox": _spread(row[DETECTED]["ne_bbox"]),
            "ne_bbox, all garments": _spread(row[LABELLED]["ne_bbox"]),
            "PCK@0.2": _spread(row[DETECTED if row["name"] == CSPN else LABELLED]["pck_02"]),
        }
        for row in rows
    ]
    return [
        "NE is over the garments that the detector found, the same for both. NCSPN reads the whole photo without a "
        "detector, so it misses none and its PCK is over all garments; in CSPN's PCK, keypoints of garments that the "
        "detector missed count as wrong. *All garments* uses ground-truth boxes for CSPN. Both inputs have the same "
        "size, so NCSPN sees the garment smaller, which is part of the comparison. In photos with several garments "
        "NCSPN cannot know which one is meant. The paper gives its own numbers only in a figure.",
        _table(lines),
    ]


def _stages(rows):
    lines = [
        {
            "stages": str(row["num_stages"]),
            "NE (garment pair)": _spread(row[DETECTED]["ne_garment"]),
            "ne_bbox": _spread(row[DETECTED]["ne_bbox"]),
            "PCK@0.2": _spread(row[DETECTED]["pck_02"]),
            "million parameters": formatted(row["parameters"] / 1e6, 3),
            "million operations": formatted(row["flops"] / 1e6, 0),
            "ms per crop": formatted(row["network_ms"], 1),
            "ms per photo, with detector": formatted(row["photo_ms"], 1),
        }
        for row in rows
    ]
    return _table(lines)


def _beyond(rows, stages):
    cspn = next(row for row in stages if row["name"] == CSPN)

    def cells(row, title, gain="", interval="", verdict=""):
        return {
            "switch": title,
            "ne_bbox": _spread(row[DETECTED]["ne_bbox"]),
            "better by": gain,
            "95 %, seeds": interval,
            "operations": f"{row['flops'] / cspn['flops']:.2f}",
            "ms per crop": f"{row['network_ms'] / cspn['network_ms']:.2f}",
            "verdict": verdict,
            "garments missed": formatted(row["miss_rate"]["value"]),
            "visibility AUROC": formatted(row["visibility_auroc"]),
            "calibration error": formatted(row["visibility_calibration_error"]),
        }

    lines = [cells(cspn, "CSPN, the preset's")]
    for row in rows:
        against = row["against_cspn"]["ne_bbox"]
        gain = "-" if against["gain"] is None else f"{against['gain']:+.4f}"
        without = "-" if against["gain"] is None else "one seed"
        interval = "{:+.4f} to {:+.4f}".format(*against["interval"]) if against["interval"] else without
        lines.append(cells(row, row["title"], gain, interval, against["verdict"]))
    return [
        "Each switch on its own, detected boxes; operations and milliseconds are ratios to the CSPN's. A switch helps "
        "if the interval of its gain is above 0. The last two columns rate the keypoint scores as predictions of "
        "visibility: AUROC of visible against occluded keypoints, and calibration error.",
        _table(lines),
    ]


def _table(rows):
    """Return a Markdown table of rows given as dicts of header to cell."""
    return make_table(list(rows[0]), [list(row.values()) for row in rows])


def _spread(score):
    if score["mean"] is None:
        return "-"
    return f"{score['mean']:.4f}" + ("" if score["sd"] is None else f" ± {score['sd']:.4f}")


# Figure 6 -------------------------------------------------------------------------------------------------------------


def draw_stages(rows, path) -> None:
    """Plot figure 6: the error and the cost against the number of stages.

    Args:
        rows: list of dicts, the rows `stages` of `results.summarise`.
        path: file to write, PNG.
    """
    from matplotlib import ticker

    numbers = [row["num_stages"] for row in rows]
    with saved_plot(path, 1, 3, size=(12, 3.4)) as axes:
        for axis, (measure, title) in zip(
            axes, (("ne_garment", "NE (garment pair)"), ("ne_bbox", "NE (box sides)")), strict=False
        ):
            scores = [row[DETECTED][measure] for row in rows]
            means, sds, values = (np.array([score[key] for score in scores], float) for key in ("mean", "sd", "values"))
            axis.errorbar(numbers, means, yerr=np.nan_to_num(sds), marker="o", capsize=3, label="mean and sd of seeds")
            by_seed = np.repeat(numbers, values.shape[1])
            axis.scatter(by_seed, values, s=10, color="grey", label="one seed", zorder=3)
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
