"""Encoded pictures (JPEG, PNG, WebP, …) as RGB, by one rule for every file format that holds pictures.

The colour follows the picture's mode: a palette is looked up, grey is repeated, CMYK, YCbCr and the like are converted.
What is transparent is laid over white, as on a page: under it, files hold any colour. 16-bit grey is scaled to 8 bits.
32-bit and floating-point grey is refused, since nothing says which value is white. EXIF says which way is up.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np

from gato_dist.errors import InputError, brief

WHITE_16 = 2**16 - 1
# Pillow opens their 16-bit grey as 32-bit integers, whose white is 65535 all the same.
GREY_16_FORMATS = ("PNG", "PPM")


def decode_picture(data: bytes) -> np.ndarray:
    """An encoded picture as uint8 [H, W, 3].

    Raises:
        ValueError: `data` is no picture, or one whose mode has no colours.
        InputError: Pillow is missing.
    """
    with _opened(data) as image:
        return np.array(_upright_rgb(image))


def decode_image(data: bytes, height: int, width: int) -> np.ndarray:
    """An encoded picture as uint8 [height, width, 3], scaled to fill it. Raises as `decode_picture`."""
    with _opened(data) as image:
        # A JPEG is decoded at a fraction of its size where that is large enough.
        image.draft("RGB", (max(height, width),) * 2)
        return np.asarray(_upright_rgb(image).resize((width, height), _pillow().Resampling.BILINEAR))


def decode_channels(data: bytes) -> np.ndarray:
    """An encoded picture's channels as they are stored, [H, W] or [H, W, C]. Raises as `decode_picture`."""
    with _opened(data) as image:
        return np.array(image)


def encode_png(frame: np.ndarray) -> bytes:
    """frame: uint8 [H, W, 3]. Raises InputError if Pillow is missing."""
    file = BytesIO()
    _pillow().fromarray(frame).save(file, "PNG")
    return file.getvalue()


@contextmanager
def _opened(data: bytes) -> Iterator[Any]:
    try:
        with _pillow().open(BytesIO(data)) as image:
            yield image
    except InputError:
        raise
    # What Pillow raises depends on the format, and on how it is damaged.
    except Exception as error:
        raise ValueError(brief(error)) from error


def _upright_rgb(image: Any) -> Any:
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16") or (upright.mode == "I" and image.format in GREY_16_FORMATS):
        grey = np.asarray(upright).astype(np.float64) * (255 / WHITE_16)
        return _pillow().fromarray(np.rint(grey.clip(0, 255)).astype(np.uint8)).convert("RGB")
    if upright.mode in ("I", "F"):
        kind = "32-bit" if upright.mode == "I" else "floating-point"
        raise ValueError(f"{kind} grey has no colour: nothing says which value is white; store it with 8 or 16 bits")
    if upright.has_transparency_data:
        shown = upright.convert("RGBA")
        page = _pillow().new("RGBA", shown.size, "white")
        return _pillow().alpha_composite(page, shown).convert("RGB")
    return upright.convert("RGB")


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError("pictures need Pillow: pip install 'gato-dist[images]'") from error
    return Image
