"""Speed benchmarks. The product does not import them.

Commands, `python -m benchmarks.NAME --help`::

    served             latency and throughput of a SavedModel in process and over gRPC, and of a TFLite file
    lite               size, start and memory of an installation without TensorFlow
    compare            our models against YOLO-pose, Keypoint R-CNN and two-stage pipelines
    profile            time of each step of the pipeline, and FLOP rate of its networks
    scaling            time against batch size, number of garments and photo size
    variants           size, time and memory of TFLite files in LiteRT, and what is outside of XNNPACK
    frontier           latency against accuracy of trained networks
    prepare            throughput of `training.prepare` against a plain file copy
    input_pipelines    throughput of the input pipelines against that of the training step
    training           training throughput of other settings against the defaults
    phone              what another resize, or following garments through a video, does to keypoints
    load               rate, latency and refusals of a server with several numbers of clients
    fuzz               damaged photos among good ones: what fails, what moves, what they cost
    bulk               rate and memory of `cspn-tf annotate` against a plain loop, and of one node against two
    untrained          writes checkpoints with random weights, to measure presets that are not trained yet
    yolo_accuracy      trains YOLO-pose on our labels; a stand-alone script in the peers' environment

`commands`, `networks`, `photos`, `comparison` and `workers` (processes that time one way of running a model) are shared
by the commands; the scripts in `peers` run in an environment with the other toolkits.
"""
