"""The commands of `cspn-tf`, one module each with a `main(argv)`.

main                the command `cspn-tf` itself: dispatch to a subcommand
predict             `predict`: garments and keypoints of photos
annotate            `annotate`: catalogues of any size, on Ray
export_coco         `export-coco`: output of `annotate` to COCO keypoints
prepare             `prepare`: a labelled dataset to TFRecords
train_detector      `train-detector`
train_keypoints     `train-keypoints`
calibrate           `calibrate`: scores of trained networks
evaluate            `evaluate`: a model, or any predictions, against labels
reproduce           `reproduce`: the paper's tables
export_saved_model  `export`: a SavedModel for TF Serving
export_tflite       `export-tflite`: a TensorFlow Lite file
check               `check`: an exported SavedModel, for what a serving platform relies on
local_server        `serve`: a development server
client              `client`: send photos to a server
page                `page`: the page that runs the model in the browser

photo_paths         shared: the photos that arguments name
answers             shared: write and draw results
training_arguments  shared: arguments of the training commands, and of commands that take two trained networks

To add a command, write its module and add a line to `COMMANDS` of `main`.
"""
