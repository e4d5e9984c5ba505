r"""The name that was meant, where another one was given."""

__all__ = ["nearest"]

import difflib
import re
from collections.abc import Iterable


def nearest(word: object, known: Iterable[str]) -> str | None:
    r"""Returns the known name that is most like a word.

    Capitals do not count. A name that begins with the word is near, then one whose parts begin
    with its letters, then one that is spelt alike.

    Arguments:
        word: What was given.
        known: The names that there are.

    Returns:
        The name, :py:`None` where none is near.

    Example:
        >>> names = ("convolutional", "mlp", "sliced-wasserstein")
        >>> [nearest(word, names) for word in ("MLP", "conv", "sw", "mpl", "")]
        ['mlp', 'convolutional', 'sliced-wasserstein', 'mlp', None]
    """

    wanted, names = str(word).lower(), {name.lower(): name for name in known}
    if not wanted:
        return None
    if wanted in names:
        return names[wanted]
    begun = [name for name in names if name.startswith(wanted)]
    begun += [name for name in names if initials(name) == wanted]
    begun += difflib.get_close_matches(wanted, names, n=1)
    return names[begun[0]] if begun else None


def initials(name: str) -> str | None:
    r"""Returns the first letters of a name's parts, if it has several."""

    parts = re.findall(r"[^\W_]+", name)
    return "".join(part[0] for part in parts) if len(parts) > 1 else None
