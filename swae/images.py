r"""A folder of images as one array of bytes, with a list of what could not be read.

A folder collected by hand holds surprises: files cut short, text with an image's name,
photographs lying on their side, files made to exhaust the memory. The contract:

* Files are found by name, in the folder and all its sub-folders, and sorted by their path, so
  that the order does not depend on the file system. Links to folders are not followed, hidden
  names (those with a leading dot) are passed over. Files are opened by content: a JPEG that is
  called `x.png` is a JPEG.
* Every image becomes 8 bits deep, gray or RGB:

  | what                                  | becomes                                               |
  |---------------------------------------|-------------------------------------------------------|
  | 1 bit, 8-bit gray                     | gray                                                  |
  | 16-bit gray                           | gray, :math:`v \mapsto \mathrm{round}(v / 257)`       |
  | CMYK, YCbCr, palette                  | RGB                                                   |
  | an alpha channel, a transparent color | composited on white                                   |
  | several frames                        | the first one                                         |
  | an EXIF orientation                   | upright                                               |

  The folder is gray, :math:`c = 1`, if all its images are, otherwise RGB, :math:`c = 3`.
* A file that cannot be read is skipped and reported with its reason. More than one in a hundred
  of these, and the folder is refused, for then what is left is hardly the data that was meant.
* A header that announces too many pixels is refused before a pixel is decoded.
"""

__all__ = ["DataError", "Pictures", "classes", "decode", "find", "read_folder", "to_array"]

import logging
import os
import stat
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

EXTENSIONS = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
)
# A closed list: of Pillow's other formats some start programs (EPS runs Ghostscript).
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
MAX_PIXELS = 100_000_000
TOLERATED = 0.01

logger = logging.getLogger("swae")


class DataError(ValueError):
    r"""Raises when data is bad: unreadable, not finite, or of different shapes.

    The command line turns it into exit code 3.

    Arguments:
        message: What was got, what is wanted and what to do.
        rejected: The files that could not be read, as pairs of path and reason.
    """

    def __init__(self, message: str, rejected: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.rejected = tuple(rejected)


class Pictures(NamedTuple):
    r"""What :func:`read_folder` returns: bytes :math:`(n, c, h, w)`, files and rejected files."""

    x: Tensor
    files: tuple[Path, ...]
    rejected: tuple[tuple[str, str], ...]


def read_folder(folder: Path, image_size: int | None = None) -> Pictures:
    r"""Reads the images of a folder and its sub-folders, sorted by their path.

    Arguments:
        folder: The folder.
        image_size: The side :math:`s` to which each image is resized, directly to
            :math:`s \times s`, without cropping. If :py:`None`, all must be of one size.

    Returns:
        The images, the path of each of them relative to the folder, and the files that could
        not be read.

    Raises:
        DataError: If there is no image, if more than 1 % cannot be read, or if sizes differ.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("L", (6, 4)).save(f"{folder}/a.png")
        ...     read_folder(Path(folder)).x.shape
        torch.Size([1, 1, 4, 6])
    """

    if image_size is not None and image_size < 1:
        raise ValueError(f"image_size must be at least 1, got {image_size}.")
    files = find(folder)
    if not files:
        raise DataError(
            f"There is no image in {printable(folder)}: give a folder with files that end in one "
            f"of {', '.join(sorted(EXTENSIONS))}."
        )
    results = decode_all([folder / file for file in files], image_size)
    rejected = tuple(
        (printable(folder / file), result)
        for file, result in zip(files, results, strict=True)
        if isinstance(result, str)
    )
    judge(folder, rejected, len(files))
    read = tuple(
        file for file, result in zip(files, results, strict=True) if not isinstance(result, str)
    )
    pixels = [result for result in results if not isinstance(result, str)]
    results.clear()  # one list holds the images, so that stacking can free them one by one
    return Pictures(stack(folder, read, pixels), read, rejected)


def find(folder: Path) -> list[Path]:
    r"""Lists what has the name of an image in a folder and below, relative to it and sorted."""

    def refuse(error: OSError) -> NoReturn:
        raise DataError(
            f"The folder {printable(error.filename)} cannot be listed ({error.strerror}): make it "
            "readable or move it away."
        ) from error

    files = []
    for root, folders, names in os.walk(folder, onerror=refuse, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [
            Path(root, name).relative_to(folder)
            for name in names
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS
        ]
    return sorted(files, key=lambda file: file.parts)


def classes(files: Sequence[Path]) -> Tensor | None:
    r"""Numbers the first-level sub-folders, in their sorted order.

    Arguments:
        files: The paths of the images, relative to their folder.

    Returns:
        The number of each image's sub-folder, or :py:`None` if there are not at least two, or
        if some of the images lie beside them.

    Example:
        >>> classes([Path("cat/1.png"), Path("dog/1.png"), Path("dog/old/2.png")])
        tensor([0, 1, 1])
    """

    names = sorted({file.parts[0] for file in files})
    if len(names) < 2 or any(len(file.parts) == 1 for file in files):
        return None
    number = {name: i for i, name in enumerate(names)}
    return torch.tensor([number[file.parts[0]] for file in files], dtype=torch.int64)


def decode(path: Path, image_size: int | None = None) -> NDArray[np.uint8]:
    r"""Decodes one image file.

    Arguments:
        path: The file.
        image_size: The side to which the image is resized. If :py:`None`, it is not.

    Returns:
        The pixels, :math:`(1, h, w)` if gray, otherwise :math:`(3, h, w)`.

    Raises:
        ValueError: If the file is not regular, announces too many pixels, or has no 8-bit form.
        OSError: If the file cannot be opened or is cut short. Of a corrupt file Pillow may also
            raise other exceptions.
    """

    # Before opening, because to open a FIFO is to wait for its writer.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("not a regular file")
    with Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ValueError(f"{width} x {height} pixels exceed the limit of {MAX_PIXELS:,}")
        return to_array(image, image_size)


def to_array(image: Image.Image, image_size: int | None = None) -> NDArray[np.uint8]:
    r"""Brings an image into its 8-bit form, upright, channels first.

    Arguments:
        image: The image, of any mode.
        image_size: The side to which the image is resized. If :py:`None`, it is not.

    Returns:
        The pixels, :math:`(1, h, w)` if gray, otherwise :math:`(3, h, w)`.

    Raises:
        ValueError: If the mode has no 8-bit form, as 32-bit pixels, whose range is unknown.

    Example:
        >>> to_array(Image.new("RGBA", (3, 2), (0, 0, 0, 0))).shape
        (3, 2, 3)
    """

    image = opaque(eight_bits(ImageOps.exif_transpose(image), image.format))
    if image_size is not None:
        # Pillow widens the kernel when it shrinks, which is what avoids aliasing.
        image = image.resize((image_size, image_size), Image.Resampling.BICUBIC)
    pixels = np.array(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


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
    return image.convert(mode)


def decode_all(paths: list[Path], image_size: int | None) -> list[NDArray[np.uint8] | str]:
    """Decodes with a thread per core; Pillow releases the interpreter while it decodes."""

    Image.init()  # once, here, rather than in a race of the threads
    # Filters belong to the process: they are set here, because in a thread they would race.
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return list(pool.map(partial(decode_or_reason, image_size=image_size), paths))


def decode_or_reason(path: Path, image_size: int | None) -> NDArray[np.uint8] | str:
    try:
        return decode(path, image_size)
    except MemoryError:
        raise
    except UnidentifiedImageError:
        return f"not an image of a known format ({', '.join(FORMATS)})"
    # A corrupt file can make a decoder raise nearly anything (SyntaxError, struct.error, ...).
    except Exception as error:
        return printable(f"{error}".strip().split("\n")[0] or type(error).__name__)


def judge(folder: Path, rejected: Sequence[tuple[str, str]], n: int) -> None:
    """Warns of the rejected files, or refuses the folder when they are too many."""

    if not rejected:
        return
    some = "; ".join(f"{path}: {reason}" for path, reason in rejected[:3])
    more = "; ..." if len(rejected) > 3 else ""
    found = f"{len(rejected)} of {n} images in {printable(folder)} cannot be read ({some}{more})"
    if len(rejected) > TOLERATED * n:
        raise DataError(
            f"{found}, at most {TOLERATED:.0%} may be: repair or remove them.", rejected
        )
    logger.warning("%s: they are skipped.", found)


def stack(folder: Path, files: Sequence[Path], pixels: list[NDArray[np.uint8]]) -> Tensor:
    """Stacks images of one size, gray ones repeated if others are not, and empties the list."""

    height, width = pixels[0].shape[1:]
    for file, (_, h, w) in zip(files, [image.shape for image in pixels], strict=True):
        if (h, w) != (height, width):
            raise DataError(
                f"All images must have one size, got {width} x {height} "
                f"({printable(folder / files[0])}) and {w} x {h} ({printable(folder / file)}): "
                "resize them with --image-size (image_size=...)."
            )
    channels = max(len(image) for image in pixels)
    x = np.empty((len(pixels), channels, height, width), dtype=np.uint8)
    for i in reversed(range(len(x))):
        x[i] = pixels.pop()
    return torch.from_numpy(x)


def printable(path: object) -> str:
    """Makes a name printable, also one whose bytes are not UTF-8."""

    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")
