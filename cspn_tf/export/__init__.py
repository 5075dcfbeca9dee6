"""Export of a pipeline.

saved_model         a SavedModel, in a version directory for TF Serving
tflite              a TensorFlow Lite file
"""
