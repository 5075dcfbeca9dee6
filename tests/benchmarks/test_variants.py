import pytest

from benchmarks.variants import format_figures, main, measure
from benchmarks.workers.litert import by_type
from cspn_tf.console import run
from cspn_tf.files import read_json
from cspn_tf.models.checkpoints import shipped_tflite
from tests import photos

PACKAGE_FILE = shipped_tflite()

# The form of LiteRT's summary, with another table before and after.
SUMMARY = """
=== Top by Computation Time ===
             GATHER      0.000      0.4      0.4     99.000%    99.000%      0.000      2   [Builtin]:17

=== Summary by node type ===
                                   [Node type]    [count]   [avg ms]    [avg %]    [cdf %]   [mem KB] [times called]
                                         WHILE          1      3.000    50.000%    50.000%      0.000              2
         Delegate/Fully Connected (NC, F32) GEMM        98      1.000    33.000%    83.000%      0.000              2
                             Delegate/Add (ND)          8      0.300    10.000%    93.000%      0.000              2
                                        GATHER          3      0.120     4.000%    97.000%      0.000              2
                                            IF          1      0.090     3.000%   100.000%      0.000              2

=== Delegate Statistics ===
Delegate/Fully Connected (NC, F32) GEMM        2     1000.00        900       1100       2000

Timings (microseconds): count=5 curr=6000
"""


def test_the_time_of_an_operation_is_its_share_of_a_run():
    assert by_type(SUMMARY, num_runs=2) == pytest.approx({"XNNPACK": 1.29, "GATHER": 0.12})


def test_a_file_is_timed_and_profiled(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(photos.jpeg(photos.picture(90, 120)))
    (row,) = measure([PACKAGE_FILE], tmp_path / "photo.jpg", [2], rounds=1, repeats=2).values()
    assert row["mb"] == pytest.approx(PACKAGE_FILE.stat().st_size / 1e6) and 40 < row["peak_mb"] < 400
    assert list(row["ms"]) == [2] and row["ms"][2] > 0
    outside = sum(row["by_type"].values()) - row["by_type"]["XNNPACK"]
    # The networks are nearly all of it, and crops are gathered.
    assert 0 < row["by_type"]["GATHER"] < outside < 0.3 * row["by_type"]["XNNPACK"]


def test_figures_are_a_table_with_ratios_to_the_first_file():
    rows = {
        "a.tflite": {
            "mb": 28.14,
            "ms": {1: 20.0, 2: 12.0},
            "peak_mb": 170.4,
            "by_type": {"XNNPACK": 18.0, "CAST": 2.0},
        },
        "b.tflite": {"mb": 7.8, "ms": {1: 30.0, 2: 9.0}, "peak_mb": 90.0, "by_type": {"XNNPACK": 5.0}},
    }
    assert format_figures(rows, {"cpu": "a processor", "cores": 2}).splitlines() == [
        *("a processor, 2 cores", ""),
        "| file | MB | ms, 1 thread | ms, 2 threads | peak MB | outside of XNNPACK |",
        "|---|---|---|---|---|---|",
        "| a.tflite | 28.1 | 20.0 (1.00) | 12.0 (1.00) | 170 | 10.0%: CAST 10.0% |",
        "| b.tflite | 7.8 | 30.0 (1.50) | 9.0 (0.75) | 90 | 0.0% |",
    ]


def test_the_command_writes_figures_and_names_a_file_that_is_none(tmp_path, capsys):
    fast = ["--rounds", "1", "--repeats", "1", "--threads", "1"]
    assert run(main, [str(PACKAGE_FILE), *fast, "--json", str(tmp_path / "figures.json")]) == 0
    assert list(read_json(tmp_path / "figures.json")["files"]) == [str(PACKAGE_FILE)]
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    assert run(main, [str(broken), *fast]) == 1
    (line,) = capsys.readouterr().err.splitlines()[1:]
    assert line.startswith(f"error: {broken}, 1 threads: ")
