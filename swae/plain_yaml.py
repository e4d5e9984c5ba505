r"""Settings by name in YAML of which nothing is believed.

What a person writes is plain: a mapping of names to numbers, words and short lists. YAML can do
more, and a file from a stranger might: an alias stands for what was written before, so that ten
lines of them stand for a thousand million words; lists within lists exhaust the stack of whoever
reads them; a pipe has no end. None of it is needed, so all of it is refused before it is made.
"""

__all__ = ["MOST_YAML", "from_yaml", "read_yaml"]

import os
from pathlib import Path
from typing import Any

import yaml

from .spelling import nearest_file

MOST_YAML = 2**20
r"""The bytes of YAML that are parsed: the names of 40,000 columns."""

DEEPEST = 20
r"""The lists and mappings within each other."""


def read_yaml(path: Path) -> dict[str, Any]:
    r"""Reads settings by name; empty where a file holds nothing.

    Raises:
        ValueError: If there is no such file, or it holds anything else.
    """

    if not os.path.isfile(path):  # to open a pipe is to wait for its writer
        raise ValueError(f"There is no file {path}.{nearest_file(path)}")
    if (size := path.stat().st_size) > MOST_YAML:
        raise ValueError(f"{path} has {size:,} bytes, but may have {MOST_YAML:,} at most.")
    return from_yaml(path.read_bytes(), path)


def from_yaml(content: bytes, path: Path) -> dict[str, Any]:
    r"""Parses settings by name.

    Arguments:
        content: The YAML.
        path: The file that it is from, for the message.

    Raises:
        ValueError: If it is no YAML, or not plain.

    Example:
        >>> from_yaml(b"seed: 3", Path("a.yaml"))
        {'seed': 3}
        >>> from_yaml(b"a: &x [1]\nb: *x", Path("a"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        swae.plain_yaml.PlainError: a holds an alias (*x), which settings have no need of: ...
    """

    try:
        text = content.decode()
        check_plain(text, path)
        settings = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no YAML: it is no text in UTF-8.") from error
    # Of a scalar that has a number's or a date's form and is none; a mapping as a key is no hash.
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        if isinstance(error, PlainError):
            raise
        raise ValueError(f"{path} is no YAML: {' '.join(f'{error}'.split())}.") from error
    if settings is None:
        return {}
    if not (isinstance(settings, dict) and all(isinstance(name, str) for name in settings)):
        raise ValueError(f"{path} does not hold settings by name.")
    return settings


class PlainError(ValueError):
    r"""YAML that is more than settings by name."""


def check_plain(text: str, path: Path) -> None:
    r"""Looks through what the parser sees, before anything is made of it."""

    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise PlainError(
                f"{path} holds an alias (*{event.anchor}), which settings have no need of: write "
                "it out."
            )
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise PlainError(f"{path} holds more than {DEEPEST} lists within lists.")
