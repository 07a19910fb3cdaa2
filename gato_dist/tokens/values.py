"""Encodes numbers as bins 0 … 1023 and decodes them (paper, section 2.1)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 1024
MU = 100.0
M = 256.0
UNBOUNDED = 1e30  # Some environments write an infinite bound as the largest float32.
_LOG_SCALE = np.log(M * MU + 1.0)

Floats = NDArray[np.float64]


def mu_law(x: ArrayLike) -> Floats:
    """Computes F(x) = sign(x)·ln(μ|x| + 1) / ln(Mμ + 1), without clipping (paper, equation 3).

    Args:
        x: numbers of any shape.

    Returns:
        float64 array of the same shape.
    """
    values = np.asarray(x, dtype=np.float64)
    compressed: Floats = np.sign(values) * np.log1p(MU * np.abs(values)) / _LOG_SCALE
    return compressed


def encode_continuous(x: ArrayLike) -> NDArray[np.int32]:
    """Encodes continuous observations as bins: mu-law, clipping to [−1, 1], 1024 equal bins (paper, section 2.1).

    Args:
        x: numbers of any shape.

    Returns:
        int32 array of the same shape, with bins 0 … 1023.

    Raises:
        ValueError: if a value is NaN or infinite.
    """
    return _to_bins(mu_law(_finite(x)))


def decode_continuous(bins: ArrayLike) -> Floats:
    """Decodes bins of continuous observations: the inverse mu-law of each bin's centre.

    Args:
        bins: integers 0 … 1023 of any shape.

    Returns:
        float64 array of the same shape.
    """
    y = _to_centres(bins)
    values: Floats = np.sign(y) * np.expm1(np.abs(y) * _LOG_SCALE) / MU
    return values


def encode_action(x: ArrayLike, low: ArrayLike = -1.0, high: ArrayLike = 1.0) -> NDArray[np.int32]:
    """Encodes continuous actions as bins: scaling from [low, high] to [−1, 1], clipping, 1024 equal bins, no mu-law.

    If low equals high, every value becomes the middle bin. An element without two finite bounds cannot be scaled, so
    it is encoded like an observation, with the mu-law.

    Args:
        x: numbers of any shape.
        low, high: bounds, which broadcast to the shape of `x`.

    Returns:
        int32 array of the same shape as `x`, with bins 0 … 1023.

    Raises:
        ValueError: if a value is NaN or infinite.
    """
    values, (start, span, bounded) = _finite(x), _scale(low, high)
    unit = 2.0 * (values - start) / np.where(span > 0, span, 1.0) - 1.0
    unit = np.where(span > 0, unit, 0.0)
    return _to_bins(unit if bounded.all() else np.where(bounded, unit, mu_law(values)))


def decode_action(bins: ArrayLike, low: ArrayLike = -1.0, high: ArrayLike = 1.0) -> Floats:
    """Decodes bins of continuous actions: each bin's centre, scaled to [low, high].

    Args:
        bins: integers 0 … 1023 of any shape.
        low, high: bounds, which broadcast to the shape of `bins`.

    Returns:
        float64 array of the same shape as `bins`. If low equals high, this value.
    """
    start, span, bounded = _scale(low, high)
    values: Floats = start + (_to_centres(bins) + 1.0) / 2.0 * span
    if bounded.all():
        return values
    clipped: Floats = np.clip(np.where(bounded, values, decode_continuous(bins)), low, high)
    return clipped


def _scale(low: ArrayLike, high: ArrayLike) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Returns lower bound, span, and whether both bounds are finite. The span is 1 if they are not, the bound 0."""
    lower, upper = np.asarray(low, np.float64), np.asarray(high, np.float64)
    bounded = np.asarray(np.maximum(np.abs(lower), np.abs(upper)) < UNBOUNDED)
    start = np.where(bounded, lower, 0.0)
    return start, np.where(bounded, upper, 1.0) - start, bounded


def _finite(x: ArrayLike) -> Floats:
    values = np.asarray(x, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("values must be finite, got NaN or infinity")
    return values


def _to_bins(unit: Floats) -> NDArray[np.int32]:
    # The top of the range is valid input: it belongs to the last bin, not to the next range of token ids.
    bins: NDArray[np.int32] = np.clip(np.floor((unit + 1.0) / 2.0 * BINS), 0, BINS - 1).astype(np.int32)
    return bins


def _to_centres(bins: ArrayLike) -> Floats:
    centres: Floats = (np.asarray(bins, dtype=np.float64) + 0.5) / BINS * 2.0 - 1.0
    return centres
