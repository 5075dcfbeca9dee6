"""Inference: photo bytes to garments with keypoints, and loading of every kind of model.

pipeline            the pipeline as one tf.Module, for evaluation, export and conversion
photo_outputs       coordinates from crops and canvases back to photo pixels
frozen, quantized   constant weights and folded normalisation; ranges for int8
lite                what a TFLite file needs before and after it, without TensorFlow
predictors          one interface for training directories, SavedModel and TFLite
model               the public API: `load` and `Model`
versions            version directories of exported models
"""
