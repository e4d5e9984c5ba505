r"""Pictures in fewer bytes, where nobody sees a difference.

Most pictures of a run are grays and a few colours, stored with millions in mind. With 64 grays and
the 192 colours that cover theirs best they take a third of the room, and no gray is tinted.
Photographs lose more than that and are left as they are, and so is the file in the run's folder.
"""

__all__ = ["shrunk"]

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SMALL = 65_536
r"""The bytes that are not worth the time."""

LARGE = 50_000_000
r"""The pixels that would take too much of it."""

SEEN = 24
r"""The most that a pixel may change, of 255 levels: less than colours of a legend are apart."""

GRAYS = 64
r"""The grays of a palette of 256 colours."""

TINGE = 8
r"""The levels by which the channels of a gray may differ."""


def shrunk(png: bytes) -> bytes:
    r"""Returns a picture in fewer bytes, or as it is.

    Arguments:
        png: The picture.

    Raises:
        OSError: If it is no whole picture.

    Example:
        >>> buffer = io.BytesIO()
        >>> Image.new("RGB", (8, 8)).save(buffer, format="png")
        >>> shrunk(buffer.getvalue()) == buffer.getvalue()  # small as it is
        True
    """

    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
            if image.width * image.height > LARGE:
                return png
            opaque = Image.new("RGB", image.size, "white")
            opaque.paste(image, mask=image.getchannel("A") if image.mode == "RGBA" else None)
    except (ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise OSError(f"The picture can't be read: {error}") from error
    if len(png) < SMALL:
        return png

    pixels = np.asarray(opaque)
    few = in_few_colours(pixels)
    changed = np.abs(np.asarray(few.convert("RGB"), dtype=np.int16) - pixels).max()
    buffer = io.BytesIO()
    few.save(buffer, format="png")
    better = changed <= SEEN and len(buffer.getvalue()) < len(png)
    return buffer.getvalue() if better else png


def in_few_colours(pixels: NDArray[Any]) -> Image.Image:
    r"""Returns pixels of shape (h, w, 3) as an image that looks up its colours in a palette."""

    low, high = pixels.min(axis=-1), pixels.max(axis=-1)
    coloured = high - low > TINGE
    if not (high > low).any():
        return Image.fromarray(low)  # every gray there is

    step = 255 / (GRAYS - 1)
    palette = (np.arange(GRAYS) * step).round().astype(np.uint8).repeat(3).tolist()
    index = ((low.astype(np.float32) + high) / 2 / step).round().astype(np.uint8)
    if coloured.any():
        row = Image.fromarray(pixels[coloured][None]).quantize(
            256 - GRAYS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
        palette += row.getpalette() or []
        index[coloured] = GRAYS + np.asarray(row)[0]
    image = Image.fromarray(index)
    image.putpalette(palette[: 3 * 256])
    return image
