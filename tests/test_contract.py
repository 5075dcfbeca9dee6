import subprocess
import sys

import numpy as np
import pytest

from cspn_tf.contract import OUTPUTS, check_outputs


def make_outputs():
    """Two photos, two rows: a lower-body garment in the first, a status in the second."""
    sizes = {"B": 2, "N": 2}
    outputs = {
        name: np.zeros([sizes.get(size, size) for size in output.shape], output.dtype)
        for name, output in OUTPUTS.items()
    }
    outputs["status"][1] = 3
    outputs["image_size"][0] = 40, 30
    outputs["num_garments"][0] = 1
    outputs["classes"][0, 0] = 2
    outputs["scores"][0, 0] = 0.75
    outputs["boxes"][0, 0] = 1, 2, 20.126, 30
    outputs["keypoints"][0, 0, 4:] = [[5, 6], [7, 6], [5, 29], [7.5, 29]]
    outputs["keypoint_scores"][0, 0, 4:] = [0.5, 0.25, 1, 0.125]
    return outputs


def test_what_is_as_the_contract_says_passes():
    check_outputs(make_outputs())
    check_outputs({**make_outputs(), "more": None})


def test_rows_of_no_garment_at_all_pass():
    outputs = {
        name: array[:, :0] if OUTPUTS[name].shape[1:2] == ("N",) else array for name, array in make_outputs().items()
    }
    outputs["num_garments"][:] = 0
    check_outputs(outputs)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("scores", lambda a: None, "missing: scores"),
        ("status", lambda a: a[0], r"status must be int32 \(B\)"),
        ("classes", lambda a: a[0], r"classes must be int32 \(B, N\), received int32 \(2,\)"),
        ("boxes", lambda a: a[:, :1], r"boxes must be float32 \(B, N, 4\), received float32 \(2, 1, 4\)"),
        ("keypoints", lambda a: a.astype(np.float64), "keypoints must be float32"),
        ("scores", lambda a: a * np.nan, "scores must be finite"),
        ("num_garments", lambda a: a + 2, r"num_garments must be 0 to 2, received \[3, 2\]"),
        ("num_garments", lambda a: a - 2, r"num_garments must be 0 to 2, received \[-1, -2\]"),
        ("classes", lambda a: a + 2, r"classes must be \[1, 2, 3\] in real rows, received 4"),
    ],
)
def test_the_output_that_breaks_the_contract_is_named(name, change, message):
    outputs = make_outputs()
    outputs[name] = change(outputs[name])
    if outputs[name] is None:
        del outputs[name]
    with pytest.raises(ValueError, match=message):
        check_outputs(outputs)


def test_import_needs_no_tensorflow():
    modules = "cspn_tf.contract, cspn_tf.result, cspn_tf.serve.wire, cspn_tf.serve.client, cspn_tf.cli.client"
    modules += ", cspn_tf.cli.local_server, serving.benchmark"
    code = f"import sys, {modules}; sys.exit(any(name.startswith('tensorflow') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
