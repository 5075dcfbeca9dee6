"""Means, spreads, intervals and answers from made-up evaluations, by hand."""

import pytest

from cspn_tf.garments import KEYPOINT_ABBREVIATIONS
from cspn_tf.reproduction import report, results
from cspn_tf.reproduction.experiments import BEYOND, paper_experiments
from cspn_tf.reproduction.plan import Plan

MANIFEST = {
    "source": "synthetic",
    "variant": "DeepFashion FLD",
    "splits_from": "source",
    "splits": {name: {"num_photos": 10, "num_garments": 11} for name in ("train", "val", "test")},
}


def score(value, count=100):
    per_keypoint = {name: {"value": value, "count": count // 8} for name in KEYPOINT_ABBREVIATIONS}
    interval = None if value is None else [value - 0.01, value + 0.01]
    return {"value": value, "count": count, "skipped": 3, "interval": interval, "per_keypoint": per_keypoint}


def evaluation(error, labelled_error=None, pck=0.9):
    """An evaluation in which all errors are the same."""
    modes = {results.DETECTED: error, results.LABELLED: error if labelled_error is None else labelled_error}
    found = {
        mode: {
            measure: {"overall": score(pck if measure in ("pck_02", "auc") else value)} for measure in results.MEASURES
        }
        for mode, value in modes.items()
    }
    visibility = {"auroc": 0.7, "calibration_error": 0.1}
    return {**found, "miss_rate": {"value": 0.05, "count": 20, "interval": [0.0, 0.1]}, "visibility": visibility}


def plan_of(names=None, num_seeds=3, beyond=()):
    wanted = [e for e in paper_experiments() if names is None or e.name in names]
    return Plan("cpu", [], [*wanted, *beyond], list(range(1, num_seeds + 1)), 3, 3)


def costs_of(plan):
    cost = {"parameters": 2_000_000, "flops": 300_000_000, "network_ms": 5.0, "photo_ms": 50.0}
    return {"num_repeats": 30, "networks": {e.name: {**cost} for e in plan.experiments}}


def errors_of(plan, **others):
    """Evaluations of all experiments: error 0.10 with a small spread between seeds, or what is given by name."""
    return {
        e.name: [evaluation(others.get(e.name, 0.10) + 0.0001 * seed * (len(e.name) % 3)) for seed in plan.seeds]
        for e in plan.experiments
    }


# Numbers -------------------------------------------------------------------------------------------------------------


def test_summary_is_mean_and_spread_over_seeds():
    found = results.summary([evaluation(0.1), evaluation(0.2), evaluation(0.3)])
    measured = found[results.DETECTED]["ne_bbox"]
    assert measured["mean"] == pytest.approx(0.2) and measured["sd"] == pytest.approx(0.1)
    assert measured["values"] == [0.1, 0.2, 0.3]
    assert measured["per_keypoint"]["LW"] == pytest.approx(0.2)
    assert (measured["count"], measured["skipped"]) == (100, 3)
    assert measured["interval"] == [pytest.approx(0.19), pytest.approx(0.21)]
    assert results.summary([evaluation(0.1)])[results.DETECTED]["auc"]["sd"] is None


def test_student_s_interval_by_hand():
    # Mean 2, standard deviation 1, three values: 4.303 / sqrt(3).
    low, high = results.student_interval([1.0, 2.0, 3.0])
    assert (low, high) == (pytest.approx(2 - 2.4843, abs=1e-3), pytest.approx(2 + 2.4843, abs=1e-3))
    assert results.student_interval([1.0]) is None


@pytest.mark.parametrize(
    "measure, first, second, verdict",
    [
        ("ne_bbox", (0.30, 0.31, 0.32), (0.20, 0.21, 0.22), "better"),
        ("ne_bbox", (0.20, 0.21, 0.22), (0.30, 0.31, 0.32), "worse"),
        ("ne_bbox", (0.20, 0.30, 0.25), (0.25, 0.20, 0.29), "undecided"),
        ("ne_bbox", (0.30,), (0.20,), "undecided"),
    ],
)
def test_a_difference_is_decided_where_its_interval_leaves_out_zero(measure, first, second, verdict):
    found = results.difference([evaluation(v) for v in first], [evaluation(v) for v in second], measure)
    assert found["verdict"] == verdict
    assert found["gain"] == pytest.approx(sum(first) / len(first) - sum(second) / len(second))


def test_seeds_in_which_the_others_were_better_are_counted():
    first, second = [evaluation(v) for v in (0.3, 0.2, 0.1)], [evaluation(v) for v in (0.2, 0.3, 0.05)]
    found = results.difference(first, second, "ne_bbox")
    assert (found["num_better"], found["num_seeds"]) == (2, 3)


def test_of_a_share_of_right_keypoints_more_is_better():
    low, high = [evaluation(0.1, pck=0.8)] * 3, [evaluation(0.1, pck=v) for v in (0.9, 0.91, 0.92)]
    assert results.difference(low, high, "pck_02")["verdict"] == "better"
    assert results.difference(high, low, "pck_02")["gain"] == pytest.approx(-0.11)


def test_nothing_measured_is_undecided():
    found = results.difference([evaluation(None)], [evaluation(0.1)], "ne_garment")
    assert found["gain"] is None and found["verdict"] == "undecided"


# Claims --------------------------------------------------------------------------------------------------------------


def answers(plan, evaluations):
    found = results.summarise(plan, evaluations, costs_of(plan), MANIFEST)
    return {claim["claim"]: claim["answer"] for claim in found["claims"]}


def test_claims_hold_where_every_part_does():
    plan = plan_of()
    errors = {"fashionnet": 0.3, "dfa": 0.25, "dlan": 0.2, "bcrnn": 0.2, "ncspn": 0.15, "cspn": 0.06}
    stages = {"stages-1": 0.12, "stages-2": 0.1, "stages-3": 0.08, "stages-5": 0.08}
    evaluations = errors_of(plan, **errors, **stages)
    evaluations["ncspn"] = [evaluation(0.15, pck=v) for v in (0.7, 0.71, 0.72)]
    found = answers(plan, evaluations)
    assert len(found) == 6 and set(found.values()) == {"holds here"}


def test_one_part_that_is_worse_decides_the_claim():
    plan = plan_of()
    found = answers(plan, errors_of(plan, fashionnet=0.3, dfa=0.02, dlan=0.2, bcrnn=0.2, cspn=0.06))
    assert found["CSPN beats FashionNet, DFA and DLAN"] == "does not hold here"
    assert found["CSPN beats BCRNN, which the paper only names"] == "holds here"


def test_a_claim_of_which_a_part_was_not_run_is_not_decided():
    plan = plan_of({"cspn", "fashionnet"})
    assert answers(plan, errors_of(plan, fashionnet=0.3, cspn=0.06)) == {
        "CSPN beats FashionNet, DFA and DLAN": "is not decided here"
    }


@pytest.mark.parametrize(
    "fifth, answer",
    [
        ((0.1000, 0.1001, 0.1002), "holds here"),  # no gain, and no room for one
        ((0.0900, 0.1100, 0.1000), "is not decided here"),  # none was found, but there may be one
        ((0.0800, 0.0801, 0.0802), "does not hold here"),
    ],
)
def test_that_more_stages_add_nothing_must_be_shown_and_not_only_not_refuted(fifth, answer):
    plan = plan_of({"cspn", "stages-5"})
    four = [evaluation(v) for v in (0.1000, 0.1001, 0.1002)]
    evaluations = {"cspn": four, "stages-5": [evaluation(v) for v in fifth]}
    assert answers(plan, evaluations) == {"More than four stages add no accuracy": answer}


def test_one_seed_decides_nothing():
    plan = plan_of(num_seeds=1)
    assert set(answers(plan, errors_of(plan, cspn=0.01)).values()) == {"is not decided here"}


# The report ----------------------------------------------------------------------------------------------------------


def make_report(plan, manifest=MANIFEST, **errors):
    found = results.summarise(plan, errors_of(plan, **errors), costs_of(plan), manifest)
    return report.make_report({**found, "machine": {"cpu": "a processor", "cores": 2}})


def test_report_has_every_table_with_the_paper_s_rows_beside_ours():
    text = make_report(plan_of(beyond=BEYOND))
    for title in ("Table 1", "Table 2", "Figure 6 and table 3", "Beyond the paper", "What the paper claims"):
        assert f"## {title}" in text
    assert "| *CSPN, the paper's* | 0.0515 | 0.0523 |" in text and "FLD: not the same data" in text
    assert "Not the paper's data" in text and "86k" in text
    assert "| 5 | " in text and "300" in text
    assert "better by" in text


def test_of_fld_the_paper_s_rows_are_comparable():
    text = make_report(plan_of(), {**MANIFEST, "source": "fld"})
    assert "not the same data" not in text and "FLD, other split" in text


@pytest.mark.parametrize(
    "other", [{"variant": "DeepFashion In-shop"}, {"splits_from": {"fractions": [0.8, 0.1, 0.1], "seed": 0}}]
)
def test_neither_another_variant_nor_other_splits_are_the_paper_s_data(other):
    assert "Not the paper's data" in make_report(plan_of(), {**MANIFEST, "source": "fld", **other})


def test_what_was_not_run_is_not_reported():
    text = make_report(plan_of({"cspn", "fashionnet"}))
    assert "## Table 1" in text and "## Table 2" not in text and "## Figure 6" not in text


def test_figure_is_a_picture(tmp_path):
    from PIL import Image

    plan = plan_of()
    found = results.summarise(plan, errors_of(plan), costs_of(plan), MANIFEST)
    report.draw_stages(found["stages"], tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as picture:
        assert picture.format == "PNG" and picture.size[0] > 1000
    # With a detector that finds nothing there is no error to draw.
    nothing = {e.name: [evaluation(None)] * 3 for e in plan.experiments}
    report.draw_stages(results.summarise(plan, nothing, costs_of(plan), MANIFEST)["stages"], tmp_path / "other.png")
    assert (tmp_path / "other.png").exists()
