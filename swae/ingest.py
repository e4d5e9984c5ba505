r"""Files of images, decoded into one array on the disk, and gone on with after an interruption.

The array is written as `part`, of its full size from the start, so that a full disk is known at
once, block by block. A line of `journal` ends each block: what it holds, and its sha256. Who was
interrupted goes on after the last block whose sum is right. The array gets its name when it is
whole and on the disk.

Gray is what has only gray images. Headers lie, and a file that can't be read doesn't count: only
what is decoded tells. So all is taken to be gray until the first image of color, which is nearly
always the first image; then it begins anew.
"""

__all__ = [
    "ARRAY",
    "HEADER",
    "Block",
    "Progress",
    "discard",
    "header",
    "ingest",
    "intact",
    "rejects",
    "remove",
    "room",
    "shape_of",
]

import errno
import hashlib
import io
import json
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .faults import point
from .images import DataError, Framing, check_size, decoded, judge, printable
from .writing import FULL, room_for, sync_folder

ARRAY = "images.npy"
r"""The name of the array, once it is whole."""

BLOCK = 256
r"""The files of a block: a second of work, or less, is what an interruption costs."""

HEADER = 128
r"""The bytes before the first sample, NumPy's header with its padding."""

PIECE = 1 << 20

Progress = Callable[[int, int], None]
r"""Called with the number of files that are read, and of all."""

logger = logging.getLogger("swae")


class Block(NamedTuple):
    r"""What a line of the journal tells.

    Arguments:
        shape: The shape of an image; :py:`None` as long as there is none.
        files: The number of files.
        rows: The number of those that could be read.
        rejected: Those that couldn't, as positions in the folder with reasons.
        sha256: The sum of the rows.
    """

    shape: tuple[int, ...] | None
    files: int
    rows: int
    rejected: tuple[tuple[int, str], ...]
    sha256: str

    @classmethod
    def parse(cls, value: Any) -> "Block":  # noqa: ANN401 - whatever JSON held
        shape, files, rows, rejected, sha256 = value
        return cls(
            None if shape is None else tuple(map(int, shape)),
            int(files),
            int(rows),
            tuple((int(i), str(reason)) for i, reason in rejected),
            str(sha256),
        )


@final
class ColorError(Exception):
    r"""An image of color after gray ones."""


def shape_of(blocks: Sequence[Block]) -> tuple[int, ...]:
    r"""Returns the shape of an image; a block that ended before the first has none."""

    return next((block.shape for block in reversed(blocks) if block.shape is not None), ())


def rejects(
    folder: Path, files: Sequence[str], blocks: Sequence[Block]
) -> tuple[tuple[str, str], ...]:
    r"""Returns the files that could not be read, with the reasons."""

    return tuple(
        (printable(folder / files[i]), reason) for block in blocks for i, reason in block.rejected
    )


def intact(file: BinaryIO, blocks: Sequence[Block], row: int) -> int:
    r"""Returns how many of the blocks that follow in a file are what was written.

    Arguments:
        file: The file, at the first of the blocks.
        blocks: The blocks.
        row: The bytes of an image.
    """

    buffer = memoryview(bytearray(PIECE))
    for i, block in enumerate(blocks):
        digest, left = hashlib.sha256(), block.rows * row
        while left > 0 and (got := file.readinto(buffer[: min(left, PIECE)])):  # type: ignore[attr-defined]
            digest.update(buffer[:got])
            left -= got
        if digest.hexdigest() != block.sha256:
            return i
    return len(blocks)


def header(shape: tuple[int, ...]) -> bytes:
    r"""Returns NumPy's header of an array of bytes, of one length for all shapes."""

    file = io.BytesIO()
    npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    if len(file.getvalue()) != HEADER:
        raise DataError(f"Images of shape {shape} are larger than a cache can hold.")
    return file.getvalue()


@contextmanager
def room(home: Path, needed: Callable[[], int]) -> Iterator[None]:
    r"""Says how much room is missing where a disk is full, and gives back what was taken.

    Arguments:
        home: The folder that is written to.
        needed: Returns the bytes that it needs, once they are known.
    """

    with room_for(home / ARRAY, needed, "make room, or name another place with $SWAE_CACHE"):
        try:
            yield
        except OSError as error:
            if error.errno in FULL:
                discard(home)
            raise


def ingest(
    folder: Path,
    files: Sequence[str],
    framing: Framing,
    home: Path,
    progress: Progress | None,
) -> list[Block]:
    r"""Decodes files into an array, from where an earlier process was interrupted.

    Arguments:
        folder: The folder of the images.
        files: The images.
        framing: What is cut out of them.
        home: The folder of the array.
        progress: Called as images are decoded.

    Returns:
        What the array holds. The journal is left, until :func:`discard`.

    Raises:
        DataError: If more than 1 % cannot be read, or if sizes differ.
        OSError: If the disk is full.
    """

    try:
        try:
            return ingest_as(1, folder, files, framing, home, progress)
        except ColorError:
            discard(home)
            return ingest_as(3, folder, files, framing, home, progress)
    except DataError:
        discard(home)  # the folder has to change, and with it the key
        raise


def ingest_as(
    channels: int,
    folder: Path,
    files: Sequence[str],
    framing: Framing,
    home: Path,
    progress: Progress | None,
) -> list[Block]:
    """Decodes a folder of which so many channels are known to be needed."""

    with Writer(home, folder, files, channels) as writer:
        done = sum(block.files for block in writer.blocks)
        if done:
            logger.info("Going on after %d of %d images in %s.", done, len(files), home)
        with decoded(folder, files[done:], framing) as results:
            for i, result in enumerate(results, done):
                writer.take(i, result)
                if progress is not None:
                    progress(i + 1, len(files))
        judge(folder, rejects(folder, files, writer.blocks), len(files))
        writer.finish()
    return writer.blocks


def discard(home: Path) -> None:
    r"""Removes what an interrupted process left."""

    for name in ("journal", "part"):
        remove(home / name)


def remove(path: Path) -> None:
    r"""Removes what has a file's place in a cache, were it a folder."""

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@final
class Writer:
    r"""The array while it is written.

    Arguments:
        home: The folder of the cache.
        folder: The folder of the images.
        files: The images.
        channels: The channels that are known to be needed.
    """

    def __init__(self, home: Path, folder: Path, files: Sequence[str], channels: int) -> None:
        self.home, self.folder, self.files, self.channels = home, folder, files, channels
        self.blocks = restored(home)
        if not self.blocks:
            discard(home)
        self.shape = shape_of(self.blocks)
        self.needed = 0
        self.file: BinaryIO | None = None
        self.begin_block()

    def __enter__(self) -> "Writer":
        with self.room():
            self.journal = (self.home / "journal").open("w")
            for block in self.blocks:
                self.note(block)
            if self.shape:
                self.reserve()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # a full disk, which has been said already
            self.journal.close()
        with suppress(OSError):
            if self.file is not None:
                self.file.close()

    def room(self) -> AbstractContextManager[None]:
        return room(self.home, lambda: self.needed)

    def begin_block(self) -> None:
        self.rows, self.digest = 0, hashlib.sha256()
        self.rejected: list[tuple[int, str]] = []

    def reserve(self) -> None:
        r"""Opens the file after its last block, at the size that it will have at most."""

        row = math.prod(self.shape)
        self.needed = HEADER + len(self.files) * row
        part = self.home / "part"
        self.file = part.open("r+b" if self.blocks and part.exists() else "w+b", PIECE)
        allocate(self.file, self.needed)
        self.file.seek(HEADER + row * sum(block.rows for block in self.blocks))

    def take(self, i: int, result: NDArray[np.uint8] | str) -> None:
        r"""Takes what became of a file, in their order."""

        with self.room():
            if isinstance(result, str):
                self.rejected.append((i, result))
            else:
                self.write(i, result)
            if (i + 1) % BLOCK == 0 or i + 1 == len(self.files):
                self.end_block(i + 1)

    def write(self, i: int, pixels: NDArray[np.uint8]) -> None:
        if self.file is None:
            self.shape = (max(self.channels, len(pixels)), *pixels.shape[1:])
            self.reserve()
        if pixels.shape[1:] != self.shape[1:]:
            check_size(self.folder, self.first(), self.shape[1:], self.files[i], pixels.shape[1:])
        if len(pixels) > self.shape[0]:
            raise ColorError
        if len(pixels) < self.shape[0]:
            pixels = np.repeat(pixels, self.shape[0], axis=0)
        self.digest.update(pixels.data)
        self.opened.write(pixels.data)
        self.rows += 1

    @property
    def opened(self) -> BinaryIO:
        if self.file is None:
            raise DataError(f"No image of {printable(self.folder)} can be read.")
        return self.file

    def first(self) -> str:
        r"""Returns the file that the shape is from."""

        bad = {i for block in self.blocks for i, _ in block.rejected} | dict(self.rejected).keys()
        return next(file for i, file in enumerate(self.files) if i not in bad)

    def end_block(self, done: int) -> None:
        point("ingest.block")
        files = done - sum(block.files for block in self.blocks)
        if self.file is not None:
            self.file.flush()
        # Nothing is forced to the disk here: the sum tells what has arrived there.
        block = Block(
            self.shape or None, files, self.rows, tuple(self.rejected), self.digest.hexdigest()
        )
        self.blocks.append(block)
        self.note(block)
        self.begin_block()

    def note(self, block: Block) -> None:
        self.journal.write(json.dumps(block) + "\n")
        self.journal.flush()

    def finish(self) -> None:
        r"""Gives the file its name, once it is on the disk."""

        n, file = sum(block.rows for block in self.blocks), self.opened
        with self.room():
            file.seek(0)
            file.write(header((n, *self.shape)))
            file.flush()
            file.truncate(HEADER + n * math.prod(self.shape))
            os.fsync(file.fileno())
            os.replace(self.home / "part", self.home / ARRAY)
            sync_folder(self.home)
        logger.info(f"Read {n:,} images into {self.home} ({self.needed / 1e6:,.1f} MB).")


def allocate(file: BinaryIO, size: int) -> None:
    """Takes a file's room on the disk now, where the system and the file system can."""

    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except AttributeError:
        file.truncate(size)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
        file.truncate(size)


def restored(home: Path) -> list[Block]:
    """Returns the blocks that an interrupted process left, as far as their sums are right."""

    try:
        lines = (home / "journal").read_text().splitlines()
        blocks = list(parsed(lines))
        with (home / "part").open("rb") as file:
            file.seek(HEADER)
            return blocks[: intact(file, blocks, math.prod(shape_of(blocks)))]
    except (OSError, UnicodeDecodeError):
        return []


def parsed(lines: Sequence[str]) -> Iterator[Block]:
    """Reads a journal up to a line that was cut off."""

    for line in lines:
        try:
            yield Block.parse(json.loads(line))
        except (TypeError, ValueError):
            return
