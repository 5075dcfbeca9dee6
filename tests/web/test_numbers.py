"""Numbers that change with the weights are the same in the page; `test_page` compares all tables, but needs Node.js."""

import json
import re
from pathlib import Path

from cspn_tf.garments import GarmentType
from cspn_tf.lengths import KEYPOINT_SDS


def test_errors_of_keypoints_are_those_of_python():
    script = (Path(__file__).parents[2] / "web" / "lengths.js").read_text()
    (table,) = re.findall(r"KEYPOINT_SDS = (\[.*?\n\]);", script, re.DOTALL)
    rows = json.loads(table.replace(",\n]", "\n]"))
    assert rows == [[], *(list(KEYPOINT_SDS[garment_type]) for garment_type in GarmentType)]
