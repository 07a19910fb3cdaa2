"""Decodes image files (JPEG, PNG, WebP, …) to RGB in the same way for every data format that holds images.

Colours follow the image's mode: palettes are looked up, grey is repeated, CMYK, YCbCr and others are converted.
Transparent pixels are blended with white, because files store arbitrary colours under them. 16-bit grey is scaled to 8
bits. 32-bit and floating-point grey is refused, because it does not define which value is white. Images are rotated
upright as their EXIF data say.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gato_dist.errors import InputError, brief

WHITE_16 = 2**16 - 1
# Pillow opens 16-bit grey of these formats as 32-bit integers; white is still 65535.
GREY_16_FORMATS = ("PNG", "PPM")


def decode_rgb(data: bytes) -> NDArray[np.uint8]:
    """Decodes an image file.

    Args:
        data: bytes of the file.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: if `data` is not an image, or its mode has no defined colours.
        InputError: if Pillow is missing.
    """
    with _opened(data) as image:
        return np.array(_upright_rgb(image))


def decode_resized(data: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """Decodes an image file and scales it to exactly this size.

    Returns:
        uint8 [height, width, 3].

    Raises:
        ValueError: if `data` is not an image, or its mode has no defined colours.
        InputError: if Pillow is missing.
    """
    with _opened(data) as image:
        # Pillow can decode a JPEG at a fraction of its size, if that is large enough.
        image.draft("RGB", (max(height, width),) * 2)
        return np.asarray(_upright_rgb(image).resize((width, height), _pillow().Resampling.BILINEAR))


def decode_channels(data: bytes) -> NDArray[Any]:
    """Decodes an image file without any conversion of its channels.

    Returns:
        [H, W] or [H, W, C], as stored.

    Raises:
        ValueError: if `data` is not an image.
        InputError: if Pillow is missing.
    """
    with _opened(data) as image:
        return np.array(image)


def encode_png(frame: NDArray[np.uint8]) -> bytes:
    """Encodes a frame, uint8 [H, W, 3], as PNG.

    Raises:
        InputError: if Pillow is missing.
    """
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
    # Pillow raises different errors, depending on the format and the damage.
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
        raise ValueError(f"{kind} grey has no defined white: store the image with 8 or 16 bits per channel")
    if upright.has_transparency_data:
        shown = upright.convert("RGBA")
        page = _pillow().new("RGBA", shown.size, "white")
        return _pillow().alpha_composite(page, shown).convert("RGB")
    return upright.convert("RGB")


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError("images need Pillow: pip install 'gato-dist[images]'") from error
    return Image
