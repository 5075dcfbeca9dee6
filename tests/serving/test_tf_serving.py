"""TF Serving's own configuration files. The image is not run here; what can be parsed is."""

import re
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from cspn_tf.contract import DEFAULT_MODEL_NAME

CONFIG = Path(__file__).parents[2] / "serving" / "tf_serving"


def test_models_config_names_the_model_and_keeps_one_version():
    config = text_format.Parse((CONFIG / "models.config").read_text(), model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == (DEFAULT_MODEL_NAME, "/models/cspn", "tensorflow")
    assert model.model_version_policy.latest.num_versions == 1


def test_batching_sizes_ascend_to_the_maximum_and_scalars_are_wrapped():
    lines = [line for line in (CONFIG / "batching.txt").read_text().splitlines() if not line.startswith("#")]
    sizes = [int(line.split(":")[1]) for line in lines if line.startswith("allowed_batch_sizes:")]
    wrapped = dict(re.fullmatch(r"(\w+) \{ value: (\d+) \}", line).groups() for line in lines if "{" in line)
    assert sizes == [1, 2, 4, 8]
    assert int(wrapped["max_batch_size"]) == sizes[-1]
    assert len(sizes) + len(wrapped) == len(lines)


def test_the_docs_mount_every_file():
    readme = (CONFIG.parents[1] / "docs/serving.md").read_text()
    for name in ("models.config", "batching.txt", "monitoring.txt"):
        assert (CONFIG / name).is_file()
        assert f"/config/{name}" in readme
