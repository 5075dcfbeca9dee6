"""Prepare PyTorch networks for measurement, and count their parameters and FLOP."""

import time

import cv2
import torch
from torch.utils.flop_counter import FlopCounterMode

_NUM_SETTLING = 3
_NUM_TRIALS = 2


def to_tensor(pixels):
    """Return a photo, uint8 `(H, W, 3)`, BGR, as float32 `(3, H, W)`, RGB, 0 to 1."""
    pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return torch.from_numpy(pixels).permute(2, 0, 1).float().div_(255.0)


def settle(network, run) -> None:
    """Estimate the batch-normalisation statistics from real photos.

    With the initial statistics, activations of a random network grow or shrink from layer to layer, down to denormal
    numbers, which processors handle many times slower.

    Args:
        network: module that contains the layers; it is left in eval mode.
        run: function without arguments that runs the network on photos.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # cumulative average over all passes
    network.train()
    with torch.no_grad():
        for _ in range(_NUM_SETTLING):
            run()
    network.eval()


def faster_layout(network, run):
    """Convert a network to the memory format that is faster on this machine.

    Args:
        network: changed in place.
        run: function of a memory format that runs the network.

    Returns:
        The memory format and its name.
    """
    formats = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
    seconds = {}
    for name, layout in formats.items():
        network.to(memory_format=layout)
        run(layout)
        seconds[name] = min(_seconds(run, layout) for _ in range(_NUM_TRIALS))
    name = min(seconds, key=seconds.get)
    network.to(memory_format=formats[name])
    return formats[name], name


def _seconds(run, layout):
    start = time.perf_counter()
    run(layout)
    return time.perf_counter() - start


def num_parameters(*networks) -> int:
    """Return the number of weights."""
    return sum(weight.numel() for network in networks for weight in network.parameters())


def num_flops(run) -> int:
    """Return the FLOP of a function's convolutions and matrix products; a multiply-add counts as two."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()
