"""Examples, run from a checkout: `python -m examples.demo`."""
