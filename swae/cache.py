r"""A large folder of images, decoded once into a file that is mapped from then on.

To decode is the slow part of reading a folder, and what is decoded may be larger than the memory.
So the bytes :math:`(n, c, h, w)` go into a file, in the order of the folder's files, and training
maps it. The contract:

* The file has a folder of its own, named by a key: a sum of the files' paths, sizes and times of
  change, of the :class:`~swae.images.Framing`, and of the versions of the programs. Another key is
  another file; nothing that is there is ever changed.
* It holds exactly what :func:`swae.images.read_folder` returns for the folder.
* It is written as `part`, of its full size from the start, so that a full disk is known at once,
  block by block. A line of `journal` ends each block: what it holds, and its sha256. Who was
  interrupted goes on after the last block whose sum is right.
* It gets its name when it is whole and on the disk, and only then its manifest: a folder without
  one is unfinished. When a file is opened its sums are checked; what is damaged is built anew.
* One process writes, others wait for it.

Gray is what has only gray images. Headers lie, and a file that can't be read doesn't count: only
what is decoded tells. So all is taken to be gray until the first image of color, which is nearly
always the first image; then it begins anew.

Small folders are read into memory, for they are decoded about as fast as all else starts.
"""

__all__ = ["Progress", "cache_folder", "open_folder"]

import errno
import fcntl
import functools
import hashlib
import io
import json
import logging
import math
import mmap
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, final

import numpy as np
import PIL
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from . import __version__
from .checkpoint import CorruptError, from_json, read_file, sync_folder, to_json, write_file
from .images import (
    DataError,
    Framing,
    Pictures,
    check_size,
    decoded,
    find,
    judge,
    printable,
    read_folder,
)

FORMAT = 1
r"""The number of this format; whatever changes a file's bytes changes it."""

FEW, LITTLE = 2000, 1 << 25
r"""Fewer files than this, and fewer bytes in them, take about a second to decode."""

BLOCK = 256
r"""The files of a block: a second of work, or less, is what an interruption costs."""

HEADER = 128
r"""The bytes before the first sample, NumPy's header with its padding."""

PIECE = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Python names it from 3.13 on.
NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)

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


def open_folder(
    folder: Path, framing: Framing | None = None, *, progress: Progress | None = None
) -> Pictures:
    r"""Reads the images of a folder, small ones into memory, large ones through the cache.

    Arguments:
        folder: The folder.
        framing: What is cut out of the images. If they are not resized, all must be of one size.
        progress: Called while images are decoded into the cache.

    Returns:
        The images, the path of each of them relative to the folder, and the files that could
        not be read. Mapped images have a digest.

    Raises:
        DataError: If there is no image, if more than 1 % cannot be read, or if sizes differ.
        OSError: If the cache cannot be written.
    """

    framing = framing or Framing()
    framing.check()
    files = find(folder)
    key, size = key_of(folder, files, framing)
    if len(files) < FEW and size < LITTLE:
        return read_folder(folder, framing, files=files)

    home = cache_folder() / key
    blocks = stored(home)
    if blocks is not None:
        judge(folder, rejects(folder, files, blocks), len(files))
    else:
        make_folder(home)
        with locked(home / ".lock"):
            # Whoever was waited for has made it.
            blocks = stored(home) or ingest(folder, files, framing, home, progress)
    return pictures(folder, files, home, blocks)


def cache_folder() -> Path:
    r"""Returns where caches lie: `$SWAE_CACHE`, `$XDG_CACHE_HOME/swae`, else `~/.cache/swae`."""

    if own := os.environ.get("SWAE_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "swae"


def key_of(folder: Path, files: Sequence[str], framing: Framing) -> tuple[str, int]:
    r"""Returns the key of a folder, and the bytes that its files have."""

    made_by = [FORMAT, __version__, PIL.__version__, *framing]
    digest, total = hashlib.sha256(json.dumps(made_by).encode()), 0
    for file in files:
        size, changed = stamp(os.path.join(folder, file))
        digest.update(f"{file}\0{size}\0{changed}\0".encode("utf-8", "surrogateescape"))
        total += size
    return digest.hexdigest()[:32], total


def stamp(path: str) -> tuple[int, int]:
    """Returns size and time of change; of what can't be asked, as a link to nothing, zeros."""

    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def make_folder(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"The cache {home} can't be made ({error.strerror}); name another place with "
            "$SWAE_CACHE."
        ) from error


@contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Holds a lock that goes when the process does; its file stays, for others may wait at it."""

    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("Another process reads these images into %s: waiting.", lock.parent)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


# --- what is there


def pictures(folder: Path, files: Sequence[str], home: Path, blocks: Sequence[Block]) -> Pictures:
    bad = {i for block in blocks for i, _ in block.rejected}
    read = tuple(file for i, file in enumerate(files) if i not in bad)
    x = mapped(home / "images.npy", (len(read), *shape_of(blocks)))
    return Pictures(x, read, rejects(folder, files, blocks), digest_of(blocks))


def mapped(path: Path, shape: tuple[int, ...]) -> Tensor:
    """Maps the samples: what would be written stays in memory, and none is kept free for it."""

    with path.open("rb") as file:
        memory = mmap.mmap(
            file.fileno(),
            0,
            flags=mmap.MAP_PRIVATE | NORESERVE,
            prot=mmap.PROT_READ | mmap.PROT_WRITE,  # torch warns of what is only to be read
        )
    return torch.from_numpy(np.frombuffer(memory, np.uint8, offset=HEADER).reshape(shape))


def rejects(
    folder: Path, files: Sequence[str], blocks: Sequence[Block]
) -> tuple[tuple[str, str], ...]:
    return tuple(
        (printable(folder / files[i]), reason) for block in blocks for i, reason in block.rejected
    )


def shape_of(blocks: Sequence[Block]) -> tuple[int, ...]:
    """Returns the shape of an image; a block that ended before the first has none."""

    return next((block.shape for block in reversed(blocks) if block.shape is not None), ())


def digest_of(blocks: Sequence[Block]) -> str:
    return hashlib.sha256("".join(block.sha256 for block in blocks).encode()).hexdigest()


def stored(home: Path) -> list[Block] | None:
    r"""Returns the blocks of a cache that is whole; :py:`None` if there is none."""

    if not (home / "manifest.json").exists():
        return None
    try:
        blocks = read_manifest(home / "manifest.json")
        status = os.stat(home / "images.npy")
        check(home / "images.npy", tuple(blocks), (status.st_ino, status.st_mtime_ns))
    except (OSError, ValueError, TypeError, KeyError) as error:
        logger.warning("The cache %s is damaged (%s): the images are read anew.", home, error)
        return None
    return blocks


def read_manifest(path: Path) -> list[Block]:
    manifest = from_json(read_file(path), path)
    if sum_of(manifest["blocks"]) != manifest["sha256"]:
        raise CorruptError(f"{path} is not what was written: its sha256 differs.")
    return [Block.parse(block) for block in manifest["blocks"]]


def write_manifest(path: Path, folder: Path, blocks: Sequence[Block]) -> None:
    manifest = {"folder": printable(folder.absolute()), "blocks": blocks, "sha256": sum_of(blocks)}
    write_file(path, to_json(manifest))


def sum_of(blocks: object) -> str:
    return hashlib.sha256(json.dumps(blocks).encode()).hexdigest()


@functools.cache
def check(path: Path, blocks: tuple[Block, ...], stamp: tuple[int, ...]) -> None:
    """Holds a file against its sums, once a process: it is read as the first epoch would."""

    shape, n = shape_of(blocks), sum(block.rows for block in blocks)
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size != HEADER + n * math.prod(shape):
            raise CorruptError("images.npy has not the size that was written")
        if file.read(HEADER) != header((n, *shape)):
            raise CorruptError("images.npy has not the header that was written")
        good = intact(file, blocks, math.prod(shape))
    if good < len(blocks):
        raise CorruptError(f"the sha256 of block {good + 1} of {len(blocks)} differs")


def intact(file: BinaryIO, blocks: Sequence[Block], row: int) -> int:
    """Returns how many of the blocks that follow in a file are what was written."""

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
    """Returns NumPy's header of an array of bytes, of one length for all shapes."""

    file = io.BytesIO()
    npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    if len(file.getvalue()) != HEADER:
        raise DataError(f"Images of shape {shape} are larger than a cache can hold.")
    return file.getvalue()


# --- making it


def ingest(
    folder: Path,
    files: Sequence[str],
    framing: Framing,
    home: Path,
    progress: Progress | None,
) -> list[Block]:
    r"""Decodes a folder into the cache, from where an earlier process was interrupted."""

    (home / "manifest.json").unlink(missing_ok=True)  # from here on the folder is unfinished
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
    for name in ("journal", "part"):
        (home / name).unlink(missing_ok=True)


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
        self.shape = shape_of(self.blocks)
        self.needed = 0
        self.file: BinaryIO | None = None
        self.begin_block()

    def __enter__(self) -> "Writer":
        with self.space():
            self.journal = (self.home / "journal").open("w")
            for block in self.blocks:
                self.note(block)
            if self.shape:
                self.reserve()
        return self

    def __exit__(self, *_: object) -> None:
        self.journal.close()
        if self.file is not None:
            self.file.close()

    @contextmanager
    def space(self) -> Iterator[None]:
        r"""Says how much room is missing where a disk is full, and leaves what there was."""

        try:
            yield
        except OSError as error:
            if error.errno not in FULL:
                raise
            discard(self.home)
            free = shutil.disk_usage(self.home).free
            raise OSError(
                f"{self.home / 'images.npy'} can't be written ({error.strerror}): it needs "
                f"{self.needed:,} bytes, and {free:,} are free; make room, or name another place "
                "with $SWAE_CACHE."
            ) from error

    def begin_block(self) -> None:
        self.rows, self.digest = 0, hashlib.sha256()
        self.rejected: list[tuple[int, str]] = []

    def reserve(self) -> None:
        r"""Opens the file after its last block, at the size that it will have at most."""

        row = math.prod(self.shape)
        self.needed = HEADER + len(self.files) * row
        part = self.home / "part"
        self.file = part.open("r+b" if self.blocks and part.exists() else "w+b", PIECE)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self.file.fileno(), 0, self.needed)
        else:
            self.file.truncate(self.needed)
        self.file.seek(HEADER + row * sum(block.rows for block in self.blocks))

    def take(self, i: int, result: NDArray[np.uint8] | str) -> None:
        r"""Takes what became of a file, in their order."""

        with self.space():
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
        r"""Gives the file its name, once it is on the disk, and then its manifest."""

        n, file, target = sum(block.rows for block in self.blocks), self.opened, self.home
        with self.space():
            file.seek(0)
            file.write(header((n, *self.shape)))
            file.flush()
            file.truncate(HEADER + n * math.prod(self.shape))
            os.fsync(file.fileno())
            os.replace(target / "part", target / "images.npy")
            sync_folder(target)
            write_manifest(target / "manifest.json", self.folder, self.blocks)
        (target / "journal").unlink()
        logger.info(f"Read {n:,} images into {target} ({self.needed / 1e6:,.1f} MB).")


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
