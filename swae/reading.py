r"""What goes wrong while data is read, said with the name of what it is in.

The content of a file is never trusted: a parser that stumbles over it may raise nearly anything,
and what arrives at a user is one sentence that names the file.
"""

__all__ = [
    "check_members",
    "first_line",
    "reading",
    "samples_from",
    "tell",
    "unreadable",
    "utf8",
]

import errno
import functools
import logging
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .data import DataError, Samples, as_samples

logger = logging.getLogger("swae")


@contextmanager
def reading(what: Path | str) -> Iterator[None]:
    r"""Names a file, or another source, in whatever goes wrong while it is read.

    Arguments:
        what: The file.

    Raises:
        DataError: Instead of any other exception.

    Example:
        >>> with reading("a.txt"):
        ...     int("one")
        Traceback (most recent call last):
            ...
        swae.images.DataError: a.txt cannot be read (invalid literal for int() with base 10:
        'one'): replace it by an intact one.
    """

    try:
        yield
    except DataError:
        raise
    except OSError as error:
        if error.errno == errno.ENOMEM:  # which is no fault of the file
            raise MemoryError from error
        raise unreadable(what, error) from error
    # A corrupt or hostile file can make a parser raise nearly anything, and announce so large an
    # array that memory is the first to refuse.
    except Exception as error:
        raise unreadable(what, error) from error


def unreadable(what: Path | str, error: Exception) -> DataError:
    return DataError(f"{what} cannot be read ({first_line(error)}): replace it by an intact one.")


@contextmanager
def utf8(path: Path) -> Iterator[None]:
    r"""Says of text in another encoding how to mend it.

    Raises:
        DataError: Instead of :py:`UnicodeDecodeError`.
    """

    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8: save it as UTF-8.") from error


def first_line(error: BaseException) -> str:
    r"""Returns the first line of an exception's message, or its name where it has none.

    Example:
        >>> first_line(ValueError("one\ntwo")), first_line(KeyboardInterrupt())
        ('one', 'KeyboardInterrupt')
    """

    return f"{error}".strip().split("\n")[0] or type(error).__name__


def check_members(path: Path, archive: zipfile.ZipFile) -> None:
    r"""Refuses an archive that is a bomb: much that was made of nearly nothing.

    Raises:
        DataError: If a member is larger than 64 MiB, and 100 times what it takes in the archive.
    """

    for member in archive.infolist():
        if member.file_size > max(2**26, 100 * member.compress_size):
            raise DataError(
                f"{path} holds {member.filename!r}, {member.file_size:,} bytes that take "
                f"{member.compress_size:,}: so does a bomb; save it without compression, by "
                "np.savez(path, x=X)."
            )


def samples_from(what: Path | str, X: object, labels: object) -> Samples:
    r"""Brings what a file holds under the contract, and names the file if that fails.

    Arguments:
        what: The file.
        X: The samples, :math:`(n, \dots)`.
        labels: The labels, :math:`(n,)`, if there are any.

    Raises:
        DataError: If they do not meet the contract of :func:`swae.data.as_samples`.
    """

    try:
        return as_samples(X, labels)
    except (TypeError, ValueError) as error:
        raise DataError(f"In {what}: {error}") from error


@functools.cache
def tell(sentence: str) -> None:
    r"""Says something to the log once, however often a source is read."""

    logger.info(sentence)
