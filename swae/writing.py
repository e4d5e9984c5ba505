r"""Files that are written whole or not at all.

The bytes go to the disk under a temporary name, are flushed (``fsync``) and moved into place; the
folder is flushed last. Several files that belong together are all on the disk before the first is
moved, so that a disk that is full leaves what was there as it was.
"""

__all__ = ["FULL", "append_line", "room_for", "sync_folder", "write_file", "write_files"]

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .faults import point

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
r"""The errors of a disk without room, of a quota and of a limit on files."""


def write_file(path: Path, content: bytes) -> None:
    r"""Writes a file wholly or not at all.

    Arguments:
        path: The file; what is there is replaced.
        content: The bytes.

    Raises:
        OSError: If the disk is full, with the bytes that are wanted and free, or the folder can't
            be written. The old file is left as it was.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     write_file(Path(folder) / "a.txt", b"whole")
        ...     [path.name for path in Path(folder).iterdir()]
        ['a.txt']
    """

    write_files(path.parent, {path.name: content})


def write_files(folder: Path, files: Mapping[str, bytes], *, shown: Path | None = None) -> None:
    r"""Writes files of one folder, all of them before any takes its place.

    Arguments:
        folder: The folder.
        files: The contents by name; the last to take its place comes last.
        shown: The folder that errors name, where this one is to get its name.

    Raises:
        OSError: As for :func:`write_file`. All old files are left as they were.
    """

    parts = {name: folder / f".{name}.{os.getpid()}.part" for name in files}
    try:
        for name, content in files.items():
            write_through(parts[name], content, (shown or folder) / name)
        for name, part in parts.items():
            point("file.place")
            part.replace(folder / name)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    sync_folder(folder)


def append_line(path: Path, line: str) -> None:
    r"""Appends a line to a file; one that has no room is not begun.

    Raises:
        OSError: As for :func:`write_file`.
    """

    content = f"{line}\n".encode()
    with room_for(path, lambda: len(content)), path.open("ab", buffering=0) as file:
        end = file.tell()
        try:
            rest = content
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            file.truncate(end)
            raise


def write_through(part: Path, content: bytes, path: Path) -> None:
    r"""Writes to the disk itself what is to be a file; what has no room is removed at once."""

    with room_for(path, lambda: len(content)):
        try:
            with part.open("wb") as file:
                point("file.write")
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            part.unlink(missing_ok=True)
            raise


def sync_folder(folder: Path) -> None:
    r"""Flushes the names in a folder to the disk."""

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def room_for(
    path: Path, needed: Callable[[], int], advice: str = "make room, and try again"
) -> Iterator[None]:
    r"""Says how much room is missing where a disk is full.

    Arguments:
        path: The file that is written.
        needed: Returns the bytes that it needs, once they are known.
        advice: What to do.

    Raises:
        OSError: In the place of one that tells of a full disk.
    """

    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        free = shutil.disk_usage(next(p for p in path.parents if p.exists())).free
        raise OSError(
            f"{path} can't be written ({error.strerror}): it needs {needed():,} bytes, and "
            f"{free:,} are free; {advice}."
        ) from error
