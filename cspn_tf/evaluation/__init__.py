"""How right predictions are, whatever made them.

::

    inputs               labelled photos with a model's answers, or labels and results of files
    matching             which detection found which labelled garment: once for all that follow
    keypoint_metrics     NE, EPE, PCK and AUC of keypoints, and rates
    average_precision    COCO's average precision of boxes and keypoints
    calibration          whether keypoint scores tell visible keypoints from occluded ones
    bootstrap            intervals
    measures             all of these as one dict, `metrics.json`
    report               the dict as tables, and the files of an evaluation
    pictures             the worst and some random photos; scores against visibility
"""
