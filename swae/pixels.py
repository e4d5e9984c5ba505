r"""One picture in its plain form: upright, 8 bits deep, on white.

| what                                  | becomes                                               |
|---------------------------------------|-------------------------------------------------------|
| 1 bit, 8-bit gray                     | gray                                                  |
| 16-bit gray                           | gray, :math:`v \mapsto \mathrm{round}(v / 257)`       |
| CMYK, YCbCr, palette                  | RGB                                                   |
| an alpha channel, a transparent color | composited on white                                   |
| several frames                        | the first one                                         |
| an EXIF orientation                   | upright                                               |
"""

__all__ = ["eight_bits", "opaque", "upright"]

import numpy as np
from PIL import Image, ImageOps

ORIENTATION = 0x0112
r"""EXIF's tag of the side that is up."""


def upright(image: Image.Image) -> Image.Image:
    """Turns what lies on its side; Pillow's own function copies what does not."""

    image.load()  # some formats have their EXIF after the pixels
    turned = image.getexif().get(ORIENTATION, 1) != 1
    return ImageOps.exif_transpose(image) if turned else image


def eight_bits(image: Image.Image, file_format: str | None) -> Image.Image:
    """Scales 16-bit gray; Pillow's own conversion clips at 255."""

    # Pillow reads 16-bit PGM, and before version 11 also PNG, into 32-bit integers.
    wide = image.mode == "I" and file_format in ("PNG", "PPM")
    if wide or image.mode.startswith("I;16"):
        pixels = np.asarray(image).astype(np.float32) / 257
        return Image.fromarray(pixels.round().astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("32-bit pixels have no known range; save them with 8 or 16 bits")
    return image


def opaque(image: Image.Image) -> Image.Image:
    """Composites on white what is transparent, and converts to gray or RGB."""

    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image if image.mode == mode else image.convert(mode)
