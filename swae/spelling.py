r"""What somebody may have meant whose word nobody knows."""

__all__ = ["nearest"]

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[object], form: str = "{!r}") -> str:
    r"""Asks whether the nearest of the names that are known was meant.

    Arguments:
        name: What was given.
        known: The names.
        form: How the sentence shows a name.

    Returns:
        A sentence with a space before it, or nothing where no name is near.

    Example:
        >>> nearest("rung", ["ring", "ball"]), nearest("xyz", ["ring", "ball"])
        (" Did you mean 'ring'?", '')
    """

    near = difflib.get_close_matches(name, list(map(str, known)), n=1)
    return f" Did you mean {form.format(near[0])}?" if near else ""
