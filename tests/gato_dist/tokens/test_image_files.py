"""Image files: every mode decodes to its colour, upright; images without defined colours are refused."""

import io

import numpy as np
import pytest
from PIL import Image

from gato_dist.tokens.image_files import decode_resized, decode_rgb

COLOUR = (200, 100, 50)
LUMA = (124, 124, 124)  # of COLOUR, as ITU-R 601 has it


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def plain(mode: str = "RGB") -> Image.Image:
    return Image.new("RGB", (24, 20), COLOUR).convert(mode)


def wide_grey(dtype: str = "<u2") -> Image.Image:
    return Image.fromarray(np.full((20, 24), 40000, dtype))


IMAGES = {
    "RGB": (encoded(plain()), COLOUR),
    "palette": (encoded(plain().quantize(8)), COLOUR),
    "palette of a GIF": (encoded(plain().quantize(8), "GIF"), COLOUR),
    "palette with alpha": (encoded(plain().quantize(8).convert("PA"), "TIFF"), COLOUR),
    "RGBA": (encoded(plain("RGBA")), COLOUR),
    "grey": (encoded(plain("L")), LUMA),
    "grey with alpha": (encoded(plain("LA")), LUMA),
    "1 bit": (encoded(Image.new("1", (24, 20), 1)), (255, 255, 255)),
    "16-bit grey": (encoded(wide_grey()), (156, 156, 156)),
    "16-bit grey of a TIFF, big-endian": (encoded(wide_grey(">u2"), "TIFF"), (156, 156, 156)),
    "16-bit grey of a PGM": (encoded(wide_grey(), "PPM"), (156, 156, 156)),
    "CMYK": (encoded(plain("CMYK"), "JPEG"), COLOUR),
    "YCbCr": (encoded(plain("YCbCr"), "TIFF"), COLOUR),
}


@pytest.mark.parametrize("name", IMAGES)
def test_every_mode_decodes_to_its_colour(name):
    data, colour = IMAGES[name]
    image = decode_rgb(data)
    assert (image.shape, image.dtype) == ((20, 24, 3), np.uint8)
    # A palette and JPEG round.
    assert np.abs(image.astype(int) - colour).max() <= 5
    assert np.abs(decode_resized(data, 16, 32).astype(int) - colour).max() <= 5


def test_transparent_pixels_are_blended_with_white():
    half = plain("RGBA")
    half.putalpha(128)
    assert np.abs(decode_rgb(encoded(half))[0, 0].astype(int) - (227, 177, 152)).max() <= 1
    clear = Image.new("LA", (24, 20), (9, 0))
    assert (decode_rgb(encoded(clear)) == 255).all()
    palette = Image.new("P", (24, 20), 1)
    palette.putpalette([0, 0, 0, *COLOUR])
    assert (decode_rgb(encoded(palette, transparency=1)) == 255).all()
    assert (decode_rgb(encoded(palette, transparency=0))[0, 0] == COLOUR).all()
    assert (decode_rgb(encoded(plain(), transparency=COLOUR)) == 255).all()


def test_exif_orientation_is_applied():
    image = plain()
    image.putpixel((23, 0), (0, 0, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by a quarter
    upright = decode_rgb(encoded(image, exif=exif))
    assert upright.shape == (24, 20, 3)
    assert upright[23, 19].tolist() == [0, 0, 255]


@pytest.mark.parametrize(("mode", "says"), [("I", "32-bit grey"), ("F", "floating-point grey")])
def test_grey_of_unknown_range_is_refused(mode, says):
    data = encoded(Image.new(mode, (24, 20), 7), "TIFF")
    with pytest.raises(ValueError, match=says):
        decode_rgb(data)
    with pytest.raises(ValueError, match=says):
        decode_resized(data, 16, 16)


def test_damaged_data_raise_a_value_error():
    for data in (b"", b"no image", encoded(plain())[:60]):
        with pytest.raises(ValueError, match=r"\w"):
            decode_rgb(data)
