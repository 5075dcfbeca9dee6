import os

from cspn_tf.machine import describe_machine


def test_the_processor_and_the_cores_are_named():
    machine = describe_machine()
    assert machine["cpu"].strip()
    assert 1 <= machine["cores"] <= os.cpu_count()
