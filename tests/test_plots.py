"""Plots as files."""

import io

import pytest
from PIL import Image

from cspn_tf.plots import saved_plot


def test_a_plot_is_a_png_of_the_size_that_is_asked_for():
    file = io.BytesIO()
    with saved_plot(file, 1, 2, size=(4, 3), squeeze=False) as axes:
        assert axes.shape == (1, 2)
        axes[0, 1].plot([0, 1], [0, 1], color="red")
    with Image.open(file) as picture:
        assert (picture.format, picture.size) == ("PNG", (440, 330))
        reds = [pixel for _, pixel in picture.convert("RGB").getcolors(10**6) if pixel == (255, 0, 0)]
    assert reds == [(255, 0, 0)]


def test_a_plot_that_fails_is_not_written(tmp_path):
    with pytest.raises(KeyError), saved_plot(tmp_path / "plot.png", size=(4, 3)):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
