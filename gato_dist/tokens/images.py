"""Images to 16×16 patches and their places (paper, sections 2.1 and C.3)."""

import numpy as np

from gato_dist.errors import InputError

PATCH = 16
POSITION_BINS = 128


def patches_per_image(height: int, width: int) -> int:
    """Raises ValueError where a side is no multiple of 16."""
    if height % PATCH or width % PATCH:
        raise ValueError(f"image sides must be multiples of {PATCH}, got {height}×{width}")
    return (height // PATCH) * (width // PATCH)


def to_patches(images: np.ndarray) -> np.ndarray:
    """uint8 [T, H, W, 3] to uint8 [T, n, 16, 16, 3], patches in raster order."""
    steps, height, width, channels = images.shape
    patches_per_image(height, width)
    # A patch's row of pixels is copied as one value of many bytes, not byte by byte.
    line = np.dtype((np.void, PATCH * channels))
    lines = np.ascontiguousarray(images).reshape(steps, -1).view(line)
    grid = lines.reshape(steps, height // PATCH, PATCH, width // PATCH).swapaxes(2, 3)
    return grid.copy().view(np.uint8).reshape(steps, -1, PATCH, PATCH, channels)


def from_patches(patches: np.ndarray, height: int, width: int) -> np.ndarray:
    """The inverse of `to_patches`."""
    steps, _, _, _, channels = patches.shape
    grid = patches.reshape(steps, height // PATCH, width // PATCH, PATCH, PATCH, channels)
    return grid.swapaxes(2, 3).reshape(steps, height, width, channels)


def fit_frames(frames: np.ndarray) -> np.ndarray:
    """uint8 [T, H, W, 1 or 3] to [T, H', W', 3]: grey to RGB, black below and right up to multiples of 16.

    No pixel is resampled. Raises InputError for another number of channels.
    """
    if frames.shape[3] not in (1, 3):
        raise InputError(f"pictures of {frames.shape[3]} channels; 1 (grey) and 3 (RGB) can be read")
    below, right = (-side % PATCH for side in frames.shape[1:3])
    rgb = np.repeat(frames, 3, axis=3) if frames.shape[3] == 1 else frames
    return np.pad(rgb, ((0, 0), (0, below), (0, right), (0, 0))) if below or right else rgb


def patch_intervals(height: int, width: int) -> np.ndarray:
    """Quantised row and column interval of each patch: uint8 [n, 2, 2], (row, column) × (first, last bin).

    A patch covers [r·16/H, (r+1)·16/H) of the image's height; both ends are quantised to 128 bins, the last
    inclusive. Training draws a bin inside the interval, evaluation takes its mean (paper, section C.3).
    """
    count = patches_per_image(height, width)
    rows, columns = height // PATCH, width // PATCH
    place = np.stack(np.unravel_index(np.arange(count), (rows, columns)), axis=-1)
    sides = np.array([rows, columns])
    first = place * POSITION_BINS // sides
    last = (place + 1) * POSITION_BINS // sides - 1
    return np.stack([first, np.maximum(last, first)], axis=-1).astype(np.uint8)
