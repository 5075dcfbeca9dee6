"""Training of both networks.

fitting             the training loop: checkpoints, resuming, logs, curves
task                interface of what differs between the two networks
detector, keypoints the two tasks, with validation
distribution        several devices or machines
calibrate           calibration of scores after training
"""
