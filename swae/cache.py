r"""A large folder of images, decoded once into a file that is mapped from then on.

To decode is the slow part of reading a folder, and what is decoded may be larger than the memory.
So the bytes :math:`(n, c, h, w)` go into a file, in the order of the folder's files, and training
maps it. The contract:

* The file has a folder of its own, named by a key: a sum of where the images' folder really lies,
  of the paths in it, the sizes and the times of change of its files (of content or of mode, links
  followed), of the :class:`~swae.images.Framing`, and of the versions of the programs. Another key
  is another file; nothing that is there is ever changed.
* It holds exactly what :func:`swae.images.read_folder` returns for the folder.
* It gets its name when it is whole and on the disk (:mod:`swae.ingest`), and only then its
  manifest: a folder without one is unfinished. When a file is opened its sums are checked; what
  is damaged is built anew.
* One process writes, others wait for it.

Small folders are read into memory, for they are decoded about as fast as all else starts.
"""

__all__ = ["Progress", "cache_folder", "open_folder"]

import fcntl
import functools
import hashlib
import json
import logging
import math
import mmap
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import PIL
import torch
from torch import Tensor

from . import __version__
from .images import Framing, Pictures, find, judge, printable, read_folder
from .ingest import (
    ARRAY,
    HEADER,
    Block,
    Progress,
    discard,
    header,
    ingest,
    intact,
    rejects,
    remove,
    room,
    shape_of,
)
from .manifest import CorruptError, from_json, read_file, to_json
from .writing import write_file

FORMAT = 1
r"""The number of this format; whatever changes a file's bytes changes it."""

FEW, LITTLE = 2000, 1 << 25
r"""Fewer files than this, and fewer bytes in them, take about a second to decode."""

MUCH = 2**30
r"""Bytes of decoded images that a folder of any size must stay below to be kept in memory."""

MANIFEST = "manifest.json"

# Python names it from 3.13 on.
NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)

logger = logging.getLogger("swae")


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
    decoded = 3 * (framing.image_size or 0) ** 2 * len(files)
    if len(files) < FEW and size < LITTLE and decoded < MUCH:
        return read_folder(folder, framing, files=files)

    home = cache_folder() / key
    blocks = stored(home)
    if blocks is None:
        make_folder(home)
        with locked(home / ".lock"):
            blocks = stored(home)  # whoever was waited for has made it
            if blocks is None:
                blocks = make(folder, files, framing, home, progress)
                return pictures(folder, files, home, blocks)
    judge(folder, rejects(folder, files, blocks), len(files))
    return pictures(folder, files, home, blocks)


def cache_folder() -> Path:
    r"""Returns where caches lie: `$SWAE_CACHE`, `$XDG_CACHE_HOME/swae`, else `~/.cache/swae`."""

    if own := os.environ.get("SWAE_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "swae"


def key_of(folder: Path, files: Sequence[str], framing: Framing) -> tuple[str, int]:
    r"""Returns the key of a folder, and the bytes that its files have."""

    # Two folders may hold files of the same names, sizes and times: archives are unpacked so.
    made_by = [FORMAT, __version__, PIL.__version__, os.path.realpath(folder), *framing]
    digest, total = hashlib.sha256(json.dumps(made_by).encode()), 0
    for file in files:
        size, changed = stamp(os.path.join(folder, file))
        digest.update(f"{file}\0{size}\0{changed}\0".encode("utf-8", "surrogateescape"))
        total += size
    return digest.hexdigest()[:32], total


def stamp(path: str) -> tuple[int, int]:
    """Returns size and time of change, of content or mode; zeros for a link to nothing."""

    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_size, max(status.st_mtime_ns, status.st_ctime_ns)


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

    if lock.is_dir():
        remove(lock)
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("Another process reads these images into %s: waiting.", lock.parent)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make(
    folder: Path,
    files: Sequence[str],
    framing: Framing,
    home: Path,
    progress: Progress | None,
) -> list[Block]:
    r"""Fills a cache that is not there, not whole, or damaged."""

    for name in (MANIFEST, ARRAY):  # from here on it is unfinished
        remove(home / name)
    blocks = ingest(folder, files, framing, home, progress)
    manifest = {"folder": printable(folder.absolute()), "blocks": blocks, "sha256": sum_of(blocks)}
    content = to_json(manifest)
    with room(home, lambda: len(content)):
        write_file(home / MANIFEST, content)
    discard(home)
    return blocks


# --- what is there


def pictures(folder: Path, files: Sequence[str], home: Path, blocks: Sequence[Block]) -> Pictures:
    bad = {i for block in blocks for i, _ in block.rejected}
    read = tuple(file for i, file in enumerate(files) if i not in bad)
    x = mapped(home / ARRAY, (len(read), *shape_of(blocks)))
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


def digest_of(blocks: Sequence[Block]) -> str:
    return hashlib.sha256("".join(block.sha256 for block in blocks).encode()).hexdigest()


def stored(home: Path) -> list[Block] | None:
    r"""Returns the blocks of a cache that is whole; :py:`None` if there is none."""

    if not (home / MANIFEST).exists():
        return None
    try:
        blocks = read_manifest(home / MANIFEST)
        status = os.stat(home / ARRAY)
        check(home / ARRAY, tuple(blocks), (status.st_ino, status.st_mtime_ns))
    except (OSError, ValueError, TypeError, KeyError) as error:
        logger.warning("The cache %s is damaged (%s): the images are read anew.", home, error)
        return None
    return blocks


def read_manifest(path: Path) -> list[Block]:
    manifest = from_json(read_file(path), path)
    if sum_of(manifest["blocks"]) != manifest["sha256"]:
        raise CorruptError(f"{path} is not what was written: its sha256 differs.")
    return [Block.parse(block) for block in manifest["blocks"]]


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
