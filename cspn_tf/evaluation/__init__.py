"""Evaluation of predictions against ground truth, for any model or tool.

::

    inputs               labelled photos with a model's predictions, or annotation and results files
    matching             pairs detections with labelled garments, once for all measures
    keypoint_metrics     NE, EPE, PCK and AUC of keypoints, and rates
    average_precision    COCO average precision of boxes and keypoints
    calibration          calibration error and AUROC of scores
    lengths              measured lengths against labelled ones
    bootstrap            confidence intervals
    measures             all of these as one dict, `metrics.json`
    report               the dict as tables, and the files of an evaluation
    pictures             contact sheets of the worst and of random photos; reliability diagram
"""
