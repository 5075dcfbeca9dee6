"""Worker processes: `process` starts and controls one, `worker` runs in it with a script: `ours`, `training_steps`."""
