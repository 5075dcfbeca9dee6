"""Export of a pipeline.

check               what a serving platform relies on, checked at the end of every export
saved_model         a SavedModel, in a version directory for TF Serving
tflite              a TensorFlow Lite file
tflite_metadata     its description, inside the file
"""
