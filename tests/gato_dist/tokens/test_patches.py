"""Padding of frames to whole patches."""

import numpy as np
import pytest

from gato_dist.errors import InputError
from gato_dist.tokens.patches import fit_frames


def test_frames_are_padded_with_black_and_no_pixel_changes():
    grey = np.arange(2 * 20 * 40, dtype=np.uint8).reshape(2, 20, 40, 1)
    frames = fit_frames(grey)
    assert frames.shape == (2, 32, 48, 3)
    assert (frames[:, :20, :40] == grey).all()
    assert not frames[:, 20:].any()
    assert not frames[:, :, 40:].any()
    with pytest.raises(InputError, match="4 channels"):
        fit_frames(np.zeros((1, 16, 16, 4), np.uint8))
