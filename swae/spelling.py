r"""What somebody may have meant whose word nobody knows."""

__all__ = ["nearest", "nearest_file"]

import difflib
import itertools
import os
import re
from collections.abc import Iterable
from pathlib import Path


def nearest(name: object, known: Iterable[object], form: str = "{!r}") -> str:
    r"""Asks whether the nearest of the names that are known was meant.

    Capitals do not count. A name that begins with the word is near, then one whose parts begin
    with its letters, then one that is spelt alike.

    Arguments:
        name: What was given.
        known: The names.
        form: How the sentence shows a name.

    Returns:
        A sentence with a space before it, or nothing where no name is near.

    Example:
        >>> nearest("rung", ["ring", "ball"]), nearest("cube", ["ring", "ball"])
        (" Did you mean 'ring'?", '')
        >>> names = ("convolutional", "mlp", "sliced-wasserstein")
        >>> [nearest(word, names, "{}") for word in ("MLP", "conv", "sw")]
        [' Did you mean mlp?', ' Did you mean convolutional?', ' Did you mean sliced-wasserstein?']
    """

    found = closest(name, known)
    return "" if found is None else f" Did you mean {form.format(found)}?"


def closest(name: object, known: Iterable[object]) -> str | None:
    r"""Returns the name that is nearest, if one is near."""

    word, names = str(name).lower(), {str(other).lower(): str(other) for other in known}
    near = [other for other in names if other == word]
    near += [other for other in names if word and other.startswith(word)]
    near += [other for other in names if initials(other) == word]
    near += difflib.get_close_matches(word, names, n=1)
    return names[near[0]] if near else None


def nearest_file(path: str | Path, most: int = 1000) -> str:
    r"""Asks whether a file or folder beside one that is missing was meant.

    Arguments:
        path: What is missing.
        most: The names of its folder that are looked at.

    Returns:
        A sentence as that of :func:`nearest`.

    Example:
        >>> nearest_file("nowhere/data.npy")
        ''
    """

    folder, name = os.path.split(path)
    try:
        with os.scandir(folder or os.curdir) as entries:
            names = [entry.name for entry in itertools.islice(entries, most)]
    except (OSError, ValueError):  # there is no such folder, or none could be called so
        return ""
    found = closest(name, [other for other in names if not other.startswith(".")])
    return "" if found is None else f" Did you mean {os.path.join(folder, found)!r}?"


def initials(name: str) -> str | None:
    r"""Returns the first letters of a name's parts, if it has several."""

    parts = re.findall(r"[^\W_]+", name)
    return "".join(part[0] for part in parts) if len(parts) > 1 else None
