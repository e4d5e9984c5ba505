r"""Whatever a user gives as the prior, made a law of the codes.

| what                                    | becomes                                            |
|-----------------------------------------|----------------------------------------------------|
| ``uniform``, ``ring:sigma=0.05``, ...   | the law of that name                               |
| ``image:heart.png``, a Pillow image     | :class:`FromPicture`                               |
| ``samples:codes.npy``, an array         | :class:`FromSamples`                               |
| a distribution of torch                 | :class:`FromDistribution`                          |
| a function ``f(n, generator)``          | :class:`FromFunction`                              |
| a prior                                 | itself, copied                                     |

Only here is a file opened for a prior, and only because the user named it: the configuration of
a stored model may not (:mod:`swae.storage`), for its numbers lie with the weights.
"""

__all__ = ["absolute_law", "check_same_law", "kind_of_file", "law_of"]

import copy
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.distributions import Distribution

from .codes import read_codes
from .data import DataError
from .images import opened, reason
from .priors import (
    FromDistribution,
    FromFunction,
    FromPicture,
    FromSamples,
    Prior,
    prior_from_name,
)
from .priors.names import FILES
from .spelling import nearest_file


def law_of(given: Any, dim: int, *, stratified: bool = False) -> Prior:  # noqa: ANN401 - see above
    r"""Makes a law of whatever is given.

    Arguments:
        given: The prior, as in the table above.
        dim: The dimension :math:`d` of the codes.
        stratified: Whether the angles of a ring that is named are evenly spaced within a draw.

    Returns:
        The law, which shares no memory with what was given.

    Raises:
        TypeError: If nothing of the kind can be a prior.
        ValueError: If a name is unknown, a number can't be, or the dimension is another.
        DataError: If a file is not what it is said to be.

    Example:
        >>> law_of(lambda n, generator: torch.rand(n, 3, generator=generator), dim=3)
        FromFunction(dim=3)
    """

    prior = made_of(given, dim, stratified)
    if prior.dim != dim:
        raise ValueError(f"The prior has {prior.dim} dimensions, but latent_dim is {dim}.")
    return prior


def made_of(given: Any, dim: int, stratified: bool) -> Prior:  # noqa: ANN401 - see above
    match given:
        case str() if kind_of_file(given):
            return from_file(given)
        case str() if hint := kind_hint(given):
            raise ValueError(f"There is no prior {given!r}.{hint}")
        case str():
            return prior_from_name(given, dim, stratified=stratified)
        case Prior():
            return copy.deepcopy(given)
        case Distribution():
            return FromDistribution(given)
        case Image.Image():
            return FromPicture(given)
        case Tensor() | list() | tuple():
            return FromSamples(given)
    if hasattr(given, "__array__"):  # of NumPy, pandas, polars, ...
        return FromSamples(np.asarray(given))
    if callable(given) and not isinstance(given, type):
        return FromFunction(given, dim)
    raise TypeError(
        "prior has to be a name, a Prior, an array of samples, a torch distribution, a Pillow "
        f"image or a function f(n, generator), but is {given!r}.{kind_hint(given)}"
    )


def kind_of_file(given: object) -> str | None:
    r"""Returns which kind of file a prior is, image or samples; :py:`None` if it is none.

    Example:
        >>> kind_of_file("image:heart.png"), kind_of_file("ring")
        ('image', None)
    """

    kind = given.partition(":")[0] if isinstance(given, str) else None
    return kind if kind in FILES else None


def kind_hint(given: object) -> str:
    r"""Says how a prior names a file, if it is a file's name alone; else nothing.

    Example:
        >>> kind_hint("codes.npy"), kind_hint("ring:sigma=0.05")
        (" Did you mean 'samples:codes.npy'?", '')
    """

    if not isinstance(given, str | Path) or ":" in str(given) or not Path(given).suffix:
        return ""
    kind = "samples" if Path(given).suffix.lower() in (".npy", ".npz", ".csv") else "image"
    return f" Did you mean '{kind}:{given}'?"


def absolute_law(given: Any) -> Any:  # noqa: ANN401 - whatever a prior may be
    r"""Returns a prior that means the same from every folder."""

    kind = kind_of_file(given)
    return given if kind is None else f"{kind}:{path_in(given).absolute()}"


def path_in(spec: str) -> Path:
    kind, _, path = spec.partition(":")
    if not path:
        raise ValueError(f"The prior {spec!r} wants a file: {kind}:FILE.")
    return Path(path).expanduser()


def from_file(spec: str) -> FromPicture | FromSamples:
    r"""Opens a file that a user named."""

    path = path_in(spec)
    if not os.path.exists(path):
        raise ValueError(
            f"There is no file {path}, which the prior {spec!r} names.{nearest_file(path)}"
        )
    try:
        if kind_of_file(spec) == "samples":
            return FromSamples(read_codes(path))
        with warnings.catch_warnings(), opened(path) as image:
            warnings.simplefilter("ignore")  # of Pillow's, about what is readable all the same
            return FromPicture(image)
    except MemoryError:
        raise
    # A corrupt picture can make a decoder raise nearly anything (SyntaxError, struct.error, ...).
    except Exception as error:
        raise DataError(f"The prior {spec!r} can't be made: {reason(error)}") from error


def check_same_law(prior: Prior, state: Mapping[str, Tensor], prefix: str) -> None:
    r"""Refuses to go on with another picture, other samples or components than are stored.

    Arguments:
        prior: The law that was made anew.
        state: What is stored.
        prefix: What the names of the prior's numbers begin with there.

    Raises:
        DataError: If a number differs.
    """

    for name, now in prior.state_dict(prefix=prefix).items():
        if name not in state or not torch.equal(state[name].cpu(), now.cpu()):
            raise DataError(
                "The prior is not what the checkpoint was trained with, so training can't go on "
                "with it: its file, array or components have changed since. Give the same one, or "
                "begin anew."
            )
