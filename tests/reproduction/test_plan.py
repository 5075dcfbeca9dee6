"""What a call of the reproduction asks for, and what of it stands already."""

import os
import types

import pytest

from cspn_tf.cli import reproduce
from cspn_tf.console import CallError, UserError
from cspn_tf.models import checkpoints
from cspn_tf.reproduction import plan as plans
from cspn_tf.reproduction import steps
from cspn_tf.reproduction.experiments import BASELINES, SCALES


@pytest.fixture(autouse=True)
def data(tmp_path):
    """A manifest is all that a plan looks at; its digest stands for the data."""
    (tmp_path / "data").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "data" / "dataset.json").write_text("{}")


def call(tmp_path, *arguments):
    return reproduce._parse(["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), *arguments])


def make_plan(args):
    return plans.settle_plan(plans.make_plan_of(args), args)


def test_paper_s_experiments_are_all_there():
    names = [experiment.name for experiment in plans.make_plan_of(call_without_files()).experiments]
    assert names == [
        *("cspn", "ncspn", "fashionnet", "dfa", "dlan", "bcrnn"),
        *("stages-1", "stages-2", "stages-3", "stages-5"),
    ]


def call_without_files(**changes):
    given = {"scale": "cpu", "set": [], "only": None, "beyond": False, "seeds": 3, "epochs": None, "budget": None}
    given["detector"] = None
    return types.SimpleNamespace(**{**given, **changes})


@pytest.mark.parametrize("scale", list(SCALES))
def test_every_experiment_of_every_scale_has_a_config(scale):
    plan = plans.make_plan_of(call_without_files(scale=scale, beyond=True))
    for experiment in plan.experiments:
        assert plan.config(experiment).preset == SCALES[scale].preset
    assert plan.config(next(e for e in plan.experiments if e.name == "ncspn")).keypoints.region == "photo"


def test_paper_scale_takes_vgg16_for_the_other_methods():
    plan = plans.make_plan_of(call_without_files(scale="paper"))
    backbones = {e.name: plan.config(e).keypoints.backbone for e in plan.experiments}
    assert backbones["fashionnet"] == backbones["bcrnn"] == "vgg16" and backbones["cspn"] == "resnet101"


def test_plan_is_taken_up_again_and_another_one_is_refused(tmp_path):
    plan = make_plan(call(tmp_path, "--epochs", "2", "--only", "cspn"))
    again = make_plan(call(tmp_path, "--only", "cspn", "dfa"))
    assert again.keypoint_epochs == plan.keypoint_epochs == 2
    assert [e.name for e in again.experiments] == ["cspn", "dfa"]
    with pytest.raises(UserError, match=r"keypoint_epochs: 2 != 5"):
        make_plan(call(tmp_path, "--epochs", "5"))
    with pytest.raises(UserError, match="another reproduction: overrides"):
        make_plan(call(tmp_path, "--set", "keypoints.width=16"))
    with pytest.raises(UserError, match="another reproduction: detector: None != shipped"):
        make_plan(call(tmp_path, "--detector", "shipped"))


@pytest.mark.parametrize("name", ["subpixel-dark", "visibility", "ema"])
def test_what_goes_beyond_the_paper_brings_the_cspn_with_it(tmp_path, name):
    plan = make_plan(call(tmp_path, "--beyond", "--only", name))
    assert [e.name for e in plan.experiments] == ["cspn", name]


@pytest.mark.parametrize(
    "arguments, message", [(["--only", "cspm"], "no such experiment"), (["--set", "keypoints.widht=1"], "widht")]
)
def test_a_wrong_name_is_a_wrong_call(tmp_path, arguments, message):
    with pytest.raises(CallError, match=message):
        make_plan(call(tmp_path, *arguments))
    assert not list((tmp_path / "out").iterdir())


def test_a_given_detector_is_not_trained_and_must_fit(tmp_path, monkeypatch):
    from cspn_tf.data import pipeline

    monkeypatch.setattr(pipeline, "num_examples", lambda *args, **kwargs: 10)
    plan = make_plan(call(tmp_path, "--detector", "shipped", "--only", "cspn", "--seeds", "1"))
    steps.check_detector(plan)
    trainings, (evaluation,) = steps.make_jobs(plan, tmp_path / "data", tmp_path / "out")
    assert [job.title for job in trainings] == ["trained CSPN, seed 1"]
    assert checkpoints.SHIPPED_PAIR / "detector" in evaluation.command
    other = plans.make_plan_of(call(tmp_path, "--detector", "shipped", "--set", "canvas_size=256"))
    with pytest.raises(UserError, match="these checkpoints do not go together"):
        steps.check_detector(other)
    with pytest.raises(UserError, match="is not a detector checkpoint"):
        steps.check_detector(plans.make_plan_of(call(tmp_path, "--detector", str(tmp_path / "data"))))


@pytest.fixture
def ten_milliseconds(monkeypatch):
    """The time of a garment in training; there are 6,000."""
    from cspn_tf.data import pipeline
    from cspn_tf.reproduction import costs

    monkeypatch.setattr(costs, "training_seconds", lambda config, training, data: 0.01)
    monkeypatch.setattr(pipeline, "num_examples", lambda *args, **kwargs: 6000)


@pytest.mark.usefixtures("ten_milliseconds")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_budget_gives_as_many_epochs_as_fit(tmp_path, jobs):
    # 60 s an epoch of one run, 6 min of it and the detector; 70 % of an hour less 20 s has six of them.
    plan = make_plan(call(tmp_path, "--budget", "60", "--only", "cspn", "--seeds", "1", "--jobs", jobs))
    assert (plan.keypoint_epochs, plan.detector_epochs) == (6, 6)
    assert plan.seeds == [1]


@pytest.mark.usefixtures("ten_milliseconds")
def test_a_given_detector_costs_nothing_of_the_budget(tmp_path):
    # 60 s an epoch: 42 min less 20 s have 41 of them.
    plan = make_plan(call(tmp_path, "--budget", "60", "--only", "cspn", "--seeds", "1", "--detector", "shipped"))
    assert plan.keypoint_epochs == 41


@pytest.mark.usefixtures("ten_milliseconds")
def test_a_budget_that_is_too_small_trains_an_epoch_and_says_so(tmp_path, capsys):
    plan = make_plan(call(tmp_path, "--budget", "2", "--only", "cspn", "--seeds", "1"))
    assert plan.keypoint_epochs == 1
    assert "not enough for one epoch" in capsys.readouterr().out
    make_plan(call(tmp_path, "--budget", "500", "--only", "cspn", "--seeds", "1"))
    assert "its 1 epochs stay" in capsys.readouterr().out


def test_other_data_are_another_reproduction(tmp_path):
    make_plan(call(tmp_path))
    (tmp_path / "data" / "dataset.json").write_text('{"other": 1}')
    with pytest.raises(UserError, match="another reproduction: data_sha256"):
        make_plan(call(tmp_path))


@pytest.mark.parametrize(
    "field", ["keypoints.num_stages=2", "keypoints.method=dfa", "keypoints.region=photo", "keypoints.subpixel=none"]
)
def test_what_the_experiments_vary_cannot_be_set(tmp_path, field):
    with pytest.raises(CallError, match="the experiments themselves vary this"):
        plans.make_plan_of(call(tmp_path, "--set", field))


def test_what_the_user_sets_reaches_the_other_methods_too(tmp_path):
    plan = plans.make_plan_of(call(tmp_path, "--scale", "paper", "--set", "keypoints.crop_size=256"))
    assert {plan.config(e).keypoints.crop_size for e in plan.experiments} == {256}
    assert len(plan.experiments) > len(BASELINES)


@pytest.mark.parametrize("scale, same", [("cpu", "subpixel-parabola"), ("paper", "subpixel-none")])
def test_a_way_of_decoding_that_the_preset_has_is_no_experiment(tmp_path, scale, same):
    names = [e.name for e in plans.make_plan_of(call(tmp_path, "--scale", scale, "--beyond")).experiments]
    assert same not in names and "subpixel-dark" in names


def test_an_evaluation_older_than_its_weights_is_made_again(tmp_path, monkeypatch):
    from cspn_tf.data import pipeline

    monkeypatch.setattr(pipeline, "num_examples", lambda *args, **kwargs: 10)
    plan = make_plan(call(tmp_path, "--only", "cspn", "--seeds", "1"))
    out = tmp_path / "out"
    _, (evaluation,) = steps.make_jobs(plan, tmp_path / "data", out)
    names = ("detector/best.weights.h5", "runs/cspn-seed1/best.weights.h5", "evaluations/cspn-seed1/metrics.json")
    for age, name in enumerate(reversed(names)):
        (out / name).parent.mkdir(parents=True)
        (out / name).touch()
        os.utime(out / name, (1000 - age, 1000 - age))
    assert evaluation.is_done()
    os.utime(out / names[1], (2000, 2000))
    assert not evaluation.is_done()
    (out / names[1]).unlink()
    assert not evaluation.is_done()
