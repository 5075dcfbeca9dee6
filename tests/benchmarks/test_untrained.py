import numpy as np
import pytest
import tensorflow as tf

from benchmarks import untrained
from cspn_tf.console import UserError, run
from cspn_tf.inference.pipeline import load_pipeline
from tests.fake_model import encode, make_pixels


@pytest.mark.slow
def test_untrained_networks_find_one_garment_with_finite_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(untrained, "_STEPS", 2)
    assert run(untrained.main, ["--preset", "tiny", "--out", str(tmp_path)]) == 0
    pipeline = load_pipeline(tmp_path / "detector", tmp_path / "keypoints")
    outputs = pipeline.serve(tf.constant([encode(make_pixels(40, 52))]))
    assert outputs["num_garments"].numpy().tolist() == [1]
    assert all(np.isfinite(value.numpy()).all() for value in outputs.values())


def test_what_is_there_is_not_written_over(tmp_path):
    from cspn_tf import config as configs

    (tmp_path / "detector").mkdir()
    with pytest.raises(UserError, match="detector exists"):
        untrained.write(configs.preset("tiny"), tmp_path)
