r"""``shards:FOLDER``, as a command names shards."""

__all__ = ["PREFIX", "folder_of", "from_anywhere", "has_test", "is_ours"]

from pathlib import Path

PREFIX = "shards:"


def is_ours(source: str | Path) -> bool:
    r"""Tells whether a source is a folder of shards.

    Example:
        >>> is_ours("shards:/data"), is_ours("datasets:/data")
        (True, False)
    """

    return str(source).startswith(PREFIX)


def from_anywhere(source: str) -> str:
    r"""Returns a source such that it means the same from every folder.

    Example:
        >>> from_anywhere("shards:/data")
        'shards:/data'
    """

    return source if source == PREFIX else f"{PREFIX}{folder_of(source).absolute()}"


def folder_of(source: str | Path) -> Path:
    return Path(str(source).removeprefix(PREFIX)).expanduser()


def has_test(source: str | Path) -> bool:
    r"""Tells whether a folder has shards for the test: it has two folders, train and test."""

    return all((folder_of(source) / name).is_dir() for name in ("train", "test"))
