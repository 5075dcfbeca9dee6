"""Compute the paper's tables and the answers to its claims from the evaluations of all runs, as JSON-ready dicts.

A value over several seeds is their mean with the standard deviation. The interval of a value is a bootstrap over test
photos, that of a difference is Student's t over seeds.
"""

import functools
import math
import statistics

import numpy as np

from cspn_tf.evaluation.keypoint_metrics import LOWER_IS_BETTER
from cspn_tf.evaluation.report import DETECTED, LABELLED
from cspn_tf.garments import KEYPOINT_ABBREVIATIONS
from cspn_tf.reproduction.experiments import BASELINES, BEYOND, CSPN, NCSPN, PAPER_STAGES, STAGES, stages_name

MEASURES = ("ne_garment", "ne_bbox", "ne_longside", "pck_02", "auc", "epe")

# Table 1 of the paper, on FLD: NE by sleeve or waistline distance of LC RC LS RS LW RW LH RH, and the printed average.
# FashionNet's printed average is not that of its row; it is quoted unchanged.
PAPER_TABLE_1 = {
    "fashionnet": (0.0878, 0.0910, 0.0968, 0.0925, 0.0965, 0.0845, 0.0856, 0.0832, 0.0798),
    "dfa": (0.0615, 0.0642, 0.0635, 0.0621, 0.0746, 0.0754, 0.0642, 0.0636, 0.0661),
    "dlan": (0.0576, 0.0602, 0.0668, 0.0652, 0.0703, 0.0695, 0.0635, 0.0612, 0.0642),
    "cspn": (0.0515, 0.0523, 0.0502, 0.0556, 0.0621, 0.0648, 0.0540, 0.0575, 0.0560),
}
# Other results published on FLD: NE by the sides of the box.
PUBLISHED_NE_BBOX = {"fashionnet": 0.0859, "dfa": 0.0680, "dlan": 0.0672, "bcrnn": 0.0583}


def summarise(plan, evaluations, costs, manifest) -> dict:
    """Return the contents of the report.

    Args:
        plan: a `cspn_tf.reproduction.plan.Plan`.
        evaluations: experiment name to a list of metrics.json contents, as `evaluate` wrote them, one per seed.
        costs: as returned by `costs.measure`.
        manifest: the dataset's manifest.

    Returns:
        A JSON-ready dict: plan, config (experiment name to overrides and flags), data, costs; table_1, table_2, stages
        (figure 6 and table 3) and beyond, lists of rows; claims. Parts whose experiments were not run are empty.
    """
    rows = {e.name: _row(e, evaluations[e.name], costs["networks"][e.name]) for e in plan.experiments}
    stages = [(num, stages_name(num)) for num in STAGES if stages_name(num) in rows]
    beyond = [e.name for e in BEYOND if e.name in rows]
    return {
        "plan": plan.to_dict(),
        "config": {e.name: [*plan.overrides_of(e), *e.flags] for e in plan.experiments},
        "data": _describe_data(manifest),
        "costs": costs,
        "table_1": [rows[name] for name in (*BASELINES, CSPN) if name in rows],
        "table_2": [rows[name] for name in (CSPN, NCSPN) if {CSPN, NCSPN} <= set(rows)],
        "stages": [{"num_stages": num, **rows[name]} for num, name in stages],
        "beyond": [{**rows[name], "against_cspn": _against_cspn(evaluations, name)} for name in beyond],
        "claims": _claims(evaluations),
    }


def _describe_data(manifest):
    about = {name: manifest.get(name) for name in ("source", "variant", "splits_from")}
    splits = {
        name: {key: entry[key] for key in ("num_photos", "num_garments")} for name, entry in manifest["splits"].items()
    }
    return {**about, "splits": splits}


def _row(experiment, runs, costs):
    row = {"name": experiment.name, "title": experiment.title, **summary(runs), **costs}
    if experiment.name in PAPER_TABLE_1:
        values = PAPER_TABLE_1[experiment.name]
        row["paper"] = dict(zip((*KEYPOINT_ABBREVIATIONS, "mean"), values, strict=True))
    if experiment.name in PUBLISHED_NE_BBOX:
        row["published_ne_bbox"] = PUBLISHED_NE_BBOX[experiment.name]
    return row


def _against_cspn(evaluations, name):
    return {measure: difference(evaluations[CSPN], evaluations[name], measure) for measure in MEASURES}


# Numbers of several seeds --------------------------------------------------------------------------------------------


def summary(runs) -> dict:
    """Return mean and spread of an experiment's runs.

    Args:
        runs: list of evaluations, one per seed.

    Returns:
        A dict: detected_boxes and ground_truth_boxes, each measure to mean, sd (None for one seed), values, count,
        skipped, interval (mean of the seeds' bootstrap intervals) and per_keypoint, abbreviation to mean; miss_rate;
        and for the keypoint scores as predictions of visible against occluded, visibility_auroc and
        visibility_calibration_error.
    """
    boxes = {
        mode: {measure: _measured([run[mode][measure]["overall"] for run in runs]) for measure in MEASURES}
        for mode in (DETECTED, LABELLED)
    }
    return {
        **boxes,
        "miss_rate": runs[0]["miss_rate"],
        "visibility_auroc": _mean([run["visibility"]["auroc"] for run in runs]),
        "visibility_calibration_error": _mean([run["visibility"]["calibration_error"] for run in runs]),
    }


def _measured(scores):
    values, intervals = ([score[key] for score in scores] for key in ("value", "interval"))
    first = scores[0]
    return {
        "mean": _mean(values),
        "sd": statistics.stdev(values) if len(values) > 1 and None not in values else None,
        "values": values,
        "count": first["count"],
        "skipped": first["skipped"],
        "interval": None if None in intervals else np.mean(intervals, axis=0).tolist(),
        "per_keypoint": {
            name: _mean([score["per_keypoint"][name]["value"] for score in scores]) for name in KEYPOINT_ABBREVIATIONS
        },
    }


def _mean(values):
    return None if None in values else statistics.fmean(values)


def difference(runs, others, measure, mode=DETECTED, others_mode=None) -> dict:
    """Compare two experiments, paired by seed.

    Args:
        runs, others: lists of evaluations, one per seed.
        measure: one of `MEASURES`.
        mode, others_mode: `DETECTED` or `LABELLED` boxes; `others_mode` defaults to `mode`.

    Returns:
        A dict: measure; mean (of `runs`) and others (their mean); gain, the mean difference, positive if the others
        are better; num_better, the seeds in which they are, of num_seeds; interval, 95 % by Student's t over the pairs,
        None for one seed; verdict, "better" or "worse" for the others if the interval excludes 0, else "undecided".
        Without a value for some seed only measure, gain and interval (both None) and verdict.
    """
    first = [run[mode][measure]["overall"]["value"] for run in runs]
    second = [run[others_mode or mode][measure]["overall"]["value"] for run in others]
    sign = -1.0 if measure in LOWER_IS_BETTER else 1.0
    if None in first or None in second:
        return {"measure": measure, "gain": None, "interval": None, "verdict": "undecided"}
    gains = [sign * (b - a) for a, b in zip(first, second, strict=True)]
    found = {"measure": measure, "mean": _mean(first), "others": _mean(second), "gain": _mean(gains)}
    found |= {"num_better": sum(gain > 0 for gain in gains), "num_seeds": len(gains)}
    interval = student_interval(gains)
    verdict = "undecided"
    if interval and interval[0] > 0:
        verdict = "better"
    elif interval and interval[1] < 0:
        verdict = "worse"
    return {**found, "interval": interval, "verdict": verdict}


def student_interval(values) -> list[float] | None:
    """Return the 95 % interval of the mean of the values by Student's t, or None for fewer than two values."""
    if len(values) < 2:
        return None
    from scipy.stats import t

    mean, error = statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
    margin = float(t.ppf(0.975, len(values) - 1)) * error
    return [mean - margin, mean + margin]


# Claims --------------------------------------------------------------------------------------------------------------

_ANSWERS = {"better": "holds here", "worse": "does not hold here", "undecided": "is not decided here"}

# Gains below this fraction of the error count as no gain.
NEGLIGIBLE = 0.02


def _claims(evaluations) -> list[dict]:
    """Return the paper's claims as dicts of claim, answer and parts, without those whose experiments were not run."""
    compare = functools.partial(_compare, evaluations)
    beats = {
        name: compare(name, CSPN, f"CSPN against {title}", measure="ne_garment") for name, title in BASELINES.items()
    }
    found_only = compare(NCSPN, CSPN, "the garments that the detector found", measure="ne_garment")
    everything = compare(
        NCSPN,
        CSPN,
        "all garments, those that the detector missed count as wrong",
        measure="pck_02",
        mode=LABELLED,
        others_mode=DETECTED,
    )
    steps = [
        compare(stages_name(num - 1), stages_name(num), f"{num} stages against {num - 1}", measure="ne_garment")
        for num in range(2, PAPER_STAGES + 1)
    ]
    more = compare(CSPN, stages_name(PAPER_STAGES + 1), "5 stages against 4", measure="ne_garment")
    claims = [
        _claim("CSPN beats FashionNet, DFA and DLAN", [beats[name] for name in ("fashionnet", "dfa", "dlan")]),
        _claim("CSPN beats BCRNN, which the paper only names", [beats["bcrnn"]]),
        _claim("A detection stage in front lowers the error of what it finds", [found_only]),
        _claim("It also pays when what it misses counts as wrong, which the paper does not ask", [everything]),
        _claim("Each of four stages helps", steps),
        more and {"claim": "More than four stages add no accuracy", "answer": _no_gain(more), "parts": [more]},
    ]
    return [claim for claim in claims if claim]


def _compare(evaluations, first, second, question, **options):
    """Return the `difference` of two experiments with its question and answer, or None if one was not run."""
    if first not in evaluations or second not in evaluations:
        return None
    found = difference(evaluations[first], evaluations[second], **options)
    return {"question": question, **found, "answer": _ANSWERS[found["verdict"]]}


def _claim(claim, parts):
    """Return a claim: it holds if all its parts do, does not hold if any does not, and is undecided otherwise."""
    ran = [part for part in parts if part]
    if not ran:
        return None
    verdicts = {part["verdict"] if part else "undecided" for part in parts}
    whole = verdicts.pop() if len(verdicts) == 1 else "worse" if "worse" in verdicts else "undecided"
    return {"claim": claim, "answer": _ANSWERS[whole], "parts": ran}


def _no_gain(part) -> str:
    """Answer whether there is no gain: the interval must exclude a gain of `NEGLIGIBLE`; undecided is not enough."""
    if part["interval"] is None:
        return _ANSWERS["undecided"]
    if part["verdict"] == "better":
        return _ANSWERS["worse"]
    return _ANSWERS["better" if part["interval"][1] < NEGLIGIBLE * part["mean"] else "undecided"]
