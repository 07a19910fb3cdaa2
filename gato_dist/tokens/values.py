"""Numbers to bins 0 … 1023 and back (paper, section 2.1)."""

import numpy as np
from numpy.typing import ArrayLike

BINS = 1024
MU = 100.0
M = 256.0
UNBOUNDED = 1e30  # environments write infinity as the largest float32, too
_LOG_SCALE = np.log(M * MU + 1.0)


def mu_law(x: ArrayLike) -> np.ndarray:
    """F(x) = sign(x)·ln(μ|x| + 1) / ln(Mμ + 1), float64, not clipped (paper, equation 3)."""
    x = np.asarray(x, dtype=np.float64)
    return np.sign(x) * np.log1p(MU * np.abs(x)) / _LOG_SCALE


def encode_continuous(x: ArrayLike) -> np.ndarray:
    """Observation values to bins: mu-law, clipped to [−1, 1], 1024 equal bins. Any shape; int32 of that shape.

    Raises ValueError on NaN or infinity.
    """
    return _to_bins(mu_law(_finite(x)))


def decode_continuous(bins: ArrayLike) -> np.ndarray:
    """Bins to observation values: the inverse mu-law of each bin's centre. float64, any shape."""
    y = _to_centres(bins)
    return np.sign(y) * np.expm1(np.abs(y) * _LOG_SCALE) / MU


def encode_action(x: ArrayLike, low: ArrayLike = -1.0, high: ArrayLike = 1.0) -> np.ndarray:
    """Actions to bins: scaled from [low, high] to [−1, 1], clipped, 1024 equal bins; no mu-law. int32.

    `low` and `high` broadcast over the last axes; where they are equal every value is the middle bin. An element
    without two usable bounds cannot be scaled: it is encoded like an observation, by the mu-law.
    Raises ValueError on NaN or infinity.
    """
    x, (low, span, bounded) = _finite(x), _scale(low, high)
    unit = 2.0 * (x - low) / np.where(span > 0, span, 1.0) - 1.0
    unit = np.where(span > 0, unit, 0.0)
    return _to_bins(unit if bounded.all() else np.where(bounded, unit, mu_law(x)))


def decode_action(bins: ArrayLike, low: ArrayLike = -1.0, high: ArrayLike = 1.0) -> np.ndarray:
    """Bins to actions in [low, high]: each bin's centre. float64; where low equals high, that value."""
    finite_low, span, bounded = _scale(low, high)
    values = finite_low + (_to_centres(bins) + 1.0) / 2.0 * span
    return values if bounded.all() else np.clip(np.where(bounded, values, decode_continuous(bins)), low, high)


def _scale(low: ArrayLike, high: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower bound, span and whether both bounds are usable; 0 and 1 where they are not."""
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    bounded = np.maximum(np.abs(low), np.abs(high)) < UNBOUNDED
    return np.where(bounded, low, 0.0), np.where(bounded, high, 1.0) - np.where(bounded, low, 0.0), bounded


def _finite(x: ArrayLike) -> np.ndarray:
    x = np.asarray(x, dtype=np.float64)
    if not np.isfinite(x).all():
        raise ValueError("values must be finite, got NaN or infinity")
    return x


def _to_bins(unit: np.ndarray) -> np.ndarray:
    # The top of the range is valid input and belongs to the last bin, not to the next token range.
    return np.clip(np.floor((unit + 1.0) / 2.0 * BINS), 0, BINS - 1).astype(np.int32)


def _to_centres(bins: ArrayLike) -> np.ndarray:
    return (np.asarray(bins, dtype=np.float64) + 0.5) / BINS * 2.0 - 1.0
