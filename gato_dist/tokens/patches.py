"""Cuts images into 16×16 patches and quantises their positions (paper, sections 2.1 and C.3)."""

import numpy as np
from numpy.typing import NDArray

from gato_dist.errors import InputError

PATCH = 16
POSITION_BINS = 128

Pixels = NDArray[np.uint8]


def patches_per_image(height: int, width: int) -> int:
    """Returns the number of patches of an image.

    Raises:
        ValueError: if a side is not a multiple of 16.
    """
    if height % PATCH or width % PATCH:
        raise ValueError(f"image sides must be multiples of {PATCH}, got {height}×{width}")
    return (height // PATCH) * (width // PATCH)


def to_patches(images: Pixels) -> Pixels:
    """Cuts images into patches, in raster order.

    Args:
        images: uint8 [T, H, W, 3].

    Returns:
        uint8 [T, n, 16, 16, 3].

    Raises:
        ValueError: if a side is not a multiple of 16.
    """
    steps, height, width, channels = images.shape
    patches_per_image(height, width)
    # A patch's row of pixels is copied as one value of many bytes, not byte by byte.
    line = np.dtype((np.void, PATCH * channels))
    lines = np.ascontiguousarray(images).reshape(steps, -1).view(line)
    grid = lines.reshape(steps, height // PATCH, PATCH, width // PATCH).swapaxes(2, 3)
    return grid.copy().view(np.uint8).reshape(steps, -1, PATCH, PATCH, channels)


def from_patches(patches: Pixels, height: int, width: int) -> Pixels:
    """Joins patches [T, n, 16, 16, 3] to images [T, height, width, 3]: the inverse of `to_patches`."""
    steps, _, _, _, channels = patches.shape
    grid = patches.reshape(steps, height // PATCH, width // PATCH, PATCH, PATCH, channels)
    return grid.swapaxes(2, 3).reshape(steps, height, width, channels)


def fit_frames(frames: Pixels) -> Pixels:
    """Makes frames fit patches: repeats grey as RGB, and pads with black at the bottom and the right.

    No pixel is resampled.

    Args:
        frames: uint8 [T, H, W, 1 or 3].

    Returns:
        uint8 [T, H', W', 3], with sides that are multiples of 16.

    Raises:
        InputError: if the frames have another number of channels.
    """
    if frames.shape[3] not in (1, 3):
        raise InputError(f"images of {frames.shape[3]} channels; only 1 (grey) and 3 (RGB) can be read")
    below, right = (-side % PATCH for side in frames.shape[1:3])
    rgb = np.repeat(frames, 3, axis=3) if frames.shape[3] == 1 else frames
    return np.pad(rgb, ((0, 0), (0, below), (0, right), (0, 0))) if below or right else rgb


def patch_intervals(height: int, width: int) -> NDArray[np.uint8]:
    """Returns the quantised row and column interval of each patch of an image (paper, section C.3).

    A patch covers [r·16/H, (r+1)·16/H) of the image's height. Both ends are quantised to 128 bins; the last bin is
    inclusive. Training draws a bin from the interval, evaluation takes the mean.

    Returns:
        uint8 [n, 2, 2]: (row, column) × (first bin, last bin).
    """
    count = patches_per_image(height, width)
    rows, columns = height // PATCH, width // PATCH
    index = np.stack(np.unravel_index(np.arange(count), (rows, columns)), axis=-1)
    sides = np.array([rows, columns])
    first = index * POSITION_BINS // sides
    last = (index + 1) * POSITION_BINS // sides - 1
    intervals: NDArray[np.uint8] = np.stack([first, np.maximum(last, first)], axis=-1).astype(np.uint8)
    return intervals
