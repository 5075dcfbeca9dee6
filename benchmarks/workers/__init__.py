"""Processes that are measured in turns: `process` asks, `worker` answers and runs `ours` or `training_steps`."""
