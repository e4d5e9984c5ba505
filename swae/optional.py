r"""Libraries that not everybody wants, imported where they are used."""

__all__ = ["optional"]

import importlib
from typing import Any


def optional(name: str, extra: str, wants: str) -> Any:  # noqa: ANN401 - a module that is optional
    r"""Imports a library, or says how it is installed.

    Arguments:
        name: The module.
        extra: The extra of swae that brings it.
        wants: What wants it, as the sentence begins.

    Raises:
        ValueError: If it is not installed.

    Example:
        >>> optional("json", "files", "A file is read by").loads("[1]")
        [1]
    """

    try:
        return importlib.import_module(name)
    except ImportError:
        raise ValueError(
            f"{wants} {name.partition('.')[0]}, which is not installed: "
            f"`pip install 'swae[{extra}]'`."
        ) from None
