"""The detector, building blocks of networks, and checkpoints.

The networks of keypoint methods are in `cspn_tf.methods`.

backbones           pretrained backbones with multi-level features
blocks              convolution blocks of the pyramids
faster_rcnn         the garment detector: KerasCV's Faster R-CNN, with workarounds
roi_features        RoI align and RoI pooling
nms                 non-maximum suppression, hard and soft
fused_features      one fused map at stride 8, for some methods
regression          layers that regress coordinates
window_sampling     differentiable sampling of windows
checkpoints         checkpoint directories: config, description, weights
torch_state_dict    read a PyTorch state dict without PyTorch
"""
