"""What measures speed. Each file is a command, `python -m benchmarks.NAME --help`; nothing of the product imports them.

::

    served             a SavedModel in this process, behind the local server, and a TFLite file, beside each other
    compare            our models beside what people would use instead, each in a process of its own
    profile            the pipeline's steps, and what its networks make of the machine
    scaling            more photos in a batch, more garments on a photo, larger photos
    frontier           trained networks: what each costs and what it reached
    prepare            `training.prepare` beside a copy of the same files
    input_pipelines    what feeds training beside what a training step eats
    training           training with other settings beside the defaults
    untrained          networks with random weights, to measure what nobody has trained yet
    yolo_accuracy      a program by itself, in the peers' environment: trains YOLO-pose on our labels

`comparison` and `workers` are what `compare` and `training` are made of; `peers` are run by another interpreter.
"""
