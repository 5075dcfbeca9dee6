"""The machinery of `benchmarks.compare`: runners in processes of their own, measured in turns, and the report."""
