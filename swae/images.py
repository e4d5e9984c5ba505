r"""Files of images as arrays of bytes, with a list of what could not be read.

A folder collected by hand holds surprises: files cut short, text with an image's name,
photographs lying on their side, files made to exhaust the memory. The contract:

* Files are found by name, in the folder and all its sub-folders, and sorted by their path, so
  that the order does not depend on the file system. Links to folders are not followed, hidden
  names (those with a leading dot) are passed over. Files are opened by content: a JPEG that is
  called `x.png` is a JPEG.
* Every image becomes upright and 8 bits deep, gray or RGB, on white (:mod:`swae.pixels`). The
  folder is gray, :math:`c = 1`, if all its images are, otherwise RGB, :math:`c = 3`.
* A file that cannot be read is skipped and reported with its reason. More than one in a hundred
  of these, and the folder is refused, for then what is left is hardly the data that was meant.
* A header that announces too many pixels, or many in a file of nearly none, is refused before a
  pixel is decoded.
* What is cut out of an upright image, and how large it becomes, is its `Framing`.

Whatever reads a folder decodes through :func:`decoded`, in the files' order: small folders are
read into memory here, large ones into a file by :mod:`swae.cache`.
"""

__all__ = [
    "DataError",
    "Framing",
    "Pictures",
    "classes",
    "decode",
    "decoded",
    "find",
    "opened",
    "read_folder",
    "to_array",
]

import itertools
import logging
import os
import stat
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from .pixels import eight_bits, opaque, upright

EXTENSIONS = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
)
# A closed list: of Pillow's other formats some start programs (EPS runs Ghostscript).
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
MAX_PIXELS = 100_000_000
MAX_SIDE = 10_000
MUCH, LITTLE = 2**26, 100
r"""A bomb has more bytes of pixels than the one, and the other times those of its file."""

TOLERATED = 0.01
TOGETHER = 8
r"""The files that a thread takes at once: to hand one over is a tenth of the work of decoding."""

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


class Framing(NamedTuple):
    r"""What is cut out of an upright image, and how large it becomes.

    Arguments:
        image_size: The side :math:`s` to which what is cut out is resized, directly to
            :math:`s \times s`. If :py:`None`, it is not.
        crop: The side of the square that is cut out of the middle. If :py:`None`, none is.
        width: The width of the images that :py:`crop` is measured in; in an image of another
            width it is as large a share. If :py:`None`, it is measured in pixels.

    Example:
        >>> Framing(crop=148, width=178).side(89), Framing(crop=148).side(200)
        (74, 148)
    """

    image_size: int | None = None
    crop: int | None = None
    width: int | None = None

    def check(self) -> None:
        r"""Refuses sides that no image has."""

        for name in ("image_size", "crop"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
            if value is not None and value > MAX_SIDE:
                raise ValueError(f"{name} must be at most {MAX_SIDE:,}, got {value}.")

    def side(self, width: int) -> int:
        r"""Returns the side of the square that is cut out of an image of some width."""

        side = self.crop or width
        return side if self.width is None else max(1, round(side * width / self.width))

    def __call__(self, image: Image.Image) -> Image.Image:
        r"""Cuts and resizes."""

        if self.crop is not None:
            side, (width, height) = self.side(image.width), image.size
            if side > min(width, height):
                raise ValueError(f"a square of {side} cannot be cut out of {width} x {height}")
            left, top = (width - side) // 2, (height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        if self.image_size is not None:
            # Pillow widens the kernel when it shrinks, which is what avoids aliasing. Bilinear, as
            # published figures on CelebA are; bicubic overshoots at edges.
            image = image.resize((self.image_size,) * 2, Image.Resampling.BILINEAR)
        return image


AS_IT_IS = Framing()


class Pictures(NamedTuple):
    r"""A folder that was read.

    Arguments:
        x: The bytes, :math:`(n, c, h, w)`.
        files: The path of each image, relative to the folder.
        rejected: The files that could not be read, as pairs of path and reason.
        digest: A sum of the bytes, where the folder is mapped from a file that has one.
    """

    x: Tensor
    files: tuple[str, ...]
    rejected: tuple[tuple[str, str], ...]
    digest: str | None = None


def read_folder(
    folder: Path,
    framing: Framing = AS_IT_IS,
    *,
    files: Sequence[str] | None = None,
) -> Pictures:
    r"""Reads the images of a folder and its sub-folders into memory, sorted by their path.

    Arguments:
        folder: The folder.
        framing: What is cut out of the images. If they are not resized, all must be of one size.
        files: The files, as :func:`find` lists them, where they are known.

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

    framing.check()
    files = find(folder) if files is None else files
    pixels: list[NDArray[np.uint8]] = []
    read: list[str] = []
    rejected: list[tuple[str, str]] = []
    with decoded(folder, files, framing) as results:
        for file, result in zip(files, results, strict=True):
            if isinstance(result, str):
                rejected.append((printable(folder / file), result))
            else:
                pixels.append(result)
                read.append(file)
    judge(folder, rejected, len(files))
    return Pictures(stack(folder, read, pixels), tuple(read), tuple(rejected))


def find(folder: Path) -> list[str]:
    r"""Lists what has the name of an image in a folder and below, relative to it and sorted.

    Raises:
        DataError: If there is none, or a folder cannot be listed.
    """

    def refuse(error: OSError) -> NoReturn:
        raise DataError(
            f"The folder {printable(error.filename)} cannot be listed ({error.strerror}): make it "
            "readable or move it away."
        ) from error

    files: list[str] = []
    for root, folders, names in os.walk(folder, onerror=refuse, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = os.path.relpath(root, folder)
        files += [
            name if below == os.curdir else os.path.join(below, name)
            for name in names
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS
        ]
    if not files:
        raise DataError(
            f"There is no image in {printable(folder)}: give a folder with files that end in one "
            f"of {', '.join(sorted(EXTENSIONS))}."
        )
    # By their parts: the separator, which no name holds, comes before all that names hold.
    return sorted(files, key=lambda file: file.replace(os.sep, "\0"))


def classes(files: Sequence[str]) -> tuple[Tensor | None, tuple[str, ...]]:
    r"""Numbers the first-level sub-folders, in their sorted order.

    Arguments:
        files: The paths of the images, relative to their folder.

    Returns:
        The number of each image's sub-folder and their names, or :py:`None` and no names if
        there are not at least two, or if some of the images lie beside them.

    Example:
        >>> classes(["cat/1.png", "dog/1.png", "dog/old/2.png"])
        (tensor([0, 1, 1]), ('cat', 'dog'))
    """

    names = sorted({file.partition(os.sep)[0] for file in files})
    if len(names) < 2 or any(os.sep not in file for file in files):
        return None, ()
    number = {name: i for i, name in enumerate(names)}
    labels = [number[file.partition(os.sep)[0]] for file in files]
    return torch.tensor(labels, dtype=torch.int64), tuple(map(printable, names))


def decode(path: str | Path, framing: Framing = AS_IT_IS) -> NDArray[np.uint8]:
    r"""Decodes one image file.

    Arguments:
        path: The file.
        framing: What is cut out of the image.

    Returns:
        The pixels, :math:`(1, h, w)` if gray, otherwise :math:`(3, h, w)`.

    Raises:
        ValueError: If the file is not regular, announces too many pixels, has no 8-bit form, or
            is smaller than what is to be cut out.
        OSError: If the file cannot be opened or is cut short. Of a corrupt file Pillow may also
            raise other exceptions.
    """

    return decode_opened(path, framing)


def decode_opened(file: str | Path | IO[bytes], framing: Framing = AS_IT_IS) -> NDArray[np.uint8]:
    """Decodes what a file, or the memory of one, holds."""

    with opened(file) as image:
        return to_array(image, framing)


@contextmanager
def opened(file: str | Path | IO[bytes]) -> Iterator[Image.Image]:
    r"""Opens one image, before a pixel is decoded.

    Arguments:
        file: The file, or the memory of one.

    Yields:
        The image.

    Raises:
        ValueError: If the file is not regular or announces too many pixels, in all or for its
            size.
        OSError: If the file cannot be opened.
    """

    if isinstance(file, str | Path):
        status = os.stat(file)
        # Before opening, because to open a FIFO is to wait for its writer.
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        size = status.st_size
        with open(file, "rb") as raw:
            head = raw.read(30)
    else:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(30)
        file.seek(0)
    if head[8:12] == b"WEBP":  # whose decoder takes the canvas, twice, when it is opened
        check_announced(webp_size(head), 3, size)
    with Image.open(file, formats=FORMATS) as image:
        check_announced(image.size, bytes_of(image), size)
        yield image


def webp_size(head: bytes) -> tuple[int, int]:
    r"""Reads the width and height of a WebP from its first 30 bytes.

    References:
        | RFC 9649, Sections 2.5 to 2.7
        | https://www.rfc-editor.org/rfc/rfc9649

    Example:
        >>> webp_size(b"RIFF....WEBPVP8X........" + bytes((31, 1, 0, 63, 0, 0)))
        (288, 64)
    """

    match head[12:16]:
        case b"VP8X":
            width, height = head[24:27], head[27:30]
            return 1 + int.from_bytes(width, "little"), 1 + int.from_bytes(height, "little")
        case b"VP8L":
            sizes = int.from_bytes(head[21:25], "little")
            return 1 + (sizes & 0x3FFF), 1 + (sizes >> 14 & 0x3FFF)
    width, height = head[26:28], head[28:30]
    return int.from_bytes(width, "little") & 0x3FFF, int.from_bytes(height, "little") & 0x3FFF


def bytes_of(image: Image.Image) -> int:
    """Returns the bytes that a pixel takes."""

    deep = {"I": 4, "F": 4}.get(image.mode, 2 if image.mode.startswith("I;16") else 1)
    return deep * len(image.getbands())


def check_announced(sides: tuple[int, int], each: int, size: int) -> None:
    """Refuses what a header announces, if it is too much, or too much for so small a file."""

    width, height = sides
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels exceed the limit of {MAX_PIXELS:,}")
    if width * height * each > max(MUCH, LITTLE * size):
        raise ValueError(
            f"{width} x {height} pixels in a file of {size:,} bytes are a bomb; save it smaller, "
            "or without compression"
        )


def to_array(image: Image.Image, framing: Framing = AS_IT_IS) -> NDArray[np.uint8]:
    r"""Brings an image into its 8-bit form, upright, channels first.

    Arguments:
        image: The image, of any mode.
        framing: What is cut out of it.

    Returns:
        The pixels, :math:`(1, h, w)` if gray, otherwise :math:`(3, h, w)`.

    Raises:
        ValueError: If the mode has no 8-bit form, as 32-bit pixels, whose range is unknown.

    Example:
        >>> to_array(Image.new("RGBA", (3, 2), (0, 0, 0, 0))).shape
        (3, 2, 3)
    """

    pixels = np.asarray(framing(opaque(eight_bits(upright(image), image.format))), dtype=np.uint8)
    # A copy, for an image's own memory is not to be written to.
    return np.array(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1), order="C")


@contextmanager
def decoded(
    folder: Path, files: Sequence[str], framing: Framing = AS_IT_IS
) -> Iterator[Iterator[NDArray[np.uint8] | str]]:
    r"""Decodes files in their order, with a thread per core and not far ahead of who takes them.

    Pillow releases the interpreter while it decodes.

    Arguments:
        folder: Their folder.
        files: Their paths in it.
        framing: What is cut out of them.

    Yields:
        An iterator over the pixels of each file, or the reason why it cannot be read.
    """

    def some(start: int) -> list[NDArray[np.uint8] | str]:
        names = files[start : start + TOGETHER]
        return [decode_or_reason(os.path.join(folder, name), framing) for name in names]

    Image.init()  # once, here, rather than in a race of the threads
    threads = os.cpu_count() or 1
    # Filters belong to the process: they are set here, because in a thread they would race.
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        starts = iter(range(0, len(files), TOGETHER))
        try:
            yield in_order(pool, some, starts, ahead=2 * threads)
        finally:
            pool.shutdown(cancel_futures=True)


def in_order(
    pool: ThreadPoolExecutor,
    some: Callable[[int], list[NDArray[np.uint8] | str]],
    starts: Iterator[int],
    ahead: int,
) -> Iterator[NDArray[np.uint8] | str]:
    """Has some started ahead of the one that is handed out, and no more in memory."""

    coming: deque[Future[list[NDArray[np.uint8] | str]]] = deque()
    coming.extend(pool.submit(some, start) for start in itertools.islice(starts, ahead))
    while coming:
        results = coming.popleft().result()
        coming.extend(pool.submit(some, start) for start in itertools.islice(starts, 1))
        yield from results


def decode_or_reason(path: str, framing: Framing) -> NDArray[np.uint8] | str:
    try:
        return decode(path, framing)
    except MemoryError:
        raise
    # A corrupt file can make a decoder raise nearly anything (SyntaxError, struct.error, ...).
    except Exception as error:
        return reason(error)


def reason(error: Exception) -> str:
    """Says why a file can't be read, in one line."""

    if isinstance(error, UnidentifiedImageError):
        return f"not an image of a known format ({', '.join(FORMATS)})"
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


def check_size(
    folder: Path, first: str, wanted: tuple[int, ...], file: str, got: tuple[int, ...]
) -> None:
    """Refuses an image whose height and width are not the first one's."""

    if got != wanted:
        raise DataError(
            f"All images must have one size, got {wanted[1]} x {wanted[0]} "
            f"({printable(folder / first)}) and {got[1]} x {got[0]} ({printable(folder / file)}): "
            "resize them with --image-size (image_size=...)."
        )


def stack(folder: Path, files: Sequence[str], pixels: list[NDArray[np.uint8]]) -> Tensor:
    """Stacks images of one size, gray ones repeated if others are not, and empties the list."""

    height, width = pixels[0].shape[1:]
    for file, image in zip(files, pixels, strict=True):
        check_size(folder, files[0], (height, width), file, image.shape[1:])
    channels = max(len(image) for image in pixels)
    x = np.empty((len(pixels), channels, height, width), dtype=np.uint8)
    for i in reversed(range(len(x))):
        x[i] = pixels.pop()
    return torch.from_numpy(x)


def printable(path: object) -> str:
    """Makes a name printable, also one whose bytes are not UTF-8."""

    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")
