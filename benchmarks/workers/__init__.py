"""Worker processes: `process` controls one; `worker` runs in it with a script, `ours`, `litert` or `training_steps`."""
