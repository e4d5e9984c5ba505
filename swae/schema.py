r"""What the samples of a model are: their shape, and the names of their columns.

Data may come as rows that are flat, :math:`(n, c h w)`, and be images to the networks,
:math:`(n, c, h, w)`. What a model was fitted to decides what later data has to be, and in which
form decoded data is given back.
"""

__all__ = ["Schema", "check_numbers", "frame_columns", "learn"]

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, final

import numpy as np

from .data import DataError, Samples
from .shards import Rows, Shards

Some = TypeVar("Some", Samples, Shards)


@final
@dataclass(frozen=True)
class Schema:
    r"""The form of a model's samples.

    Arguments:
        shape: The shape of one sample, as the networks see it.
        flat: Whether the rows that the model was fitted to were flat.
        named: Whether ``image_shape`` said how to read rows, so that flat ones may come.
        names: The names of the columns, if they have any.

    Example:
        >>> import torch
        >>> schema = Schema((1, 8, 8), flat=True, named=True)
        >>> schema.read(Samples(torch.zeros(5, 64))).shape
        (1, 8, 8)
        >>> schema.give(np.zeros((5, 1, 8, 8))).shape
        (5, 64)
    """

    shape: tuple[int, ...]
    flat: bool = False
    named: bool = False
    names: tuple[str, ...] | None = None

    @property
    def n_features(self) -> int:
        r"""The number of values of a sample."""

        return math.prod(self.shape)

    def read(self, samples: Some) -> Some:
        r"""Brings samples to the shape that the networks see.

        Raises:
            DataError: If they have another shape, or columns of other names.
        """

        if samples.columns is not None and self.names not in (None, samples.columns):
            raise DataError(
                f"X has the columns {', '.join(samples.columns)}, but the model was fitted to "
                f"{', '.join(self.names or ())}."
            )
        if samples.shape == self.shape:
            return samples
        if self.named and samples.shape == (self.n_features,):
            return samples.reshape(self.shape)
        flat = f", or flat rows of {self.n_features}" if self.named else ""
        raise DataError(
            f"The samples of X have shape {samples.shape}, but the model wants {self.shape}{flat}."
        )

    def give(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        r"""Gives decoded samples the form of those that the model was fitted to."""

        return x.reshape(len(x), -1) if self.flat else x


def learn(samples: Rows, image_shape: Sequence[int] | None) -> Schema:
    r"""Returns the schema of the samples that a model is fitted to.

    Arguments:
        samples: The samples.
        image_shape: The shape of one where rows may be flat.
    """

    if image_shape is None:
        return Schema(samples.shape, names=samples.columns)
    shape = tuple(map(int, image_shape))
    return Schema(shape, samples.shape != shape, named=True, names=samples.columns)


def frame_columns(X: Any) -> list[Any] | None:  # noqa: ANN401 - any array
    r"""Returns the columns of a data frame, pandas' or polars'; None for what is none."""

    return list(X.columns) if hasattr(X, "columns") and hasattr(X, "__getitem__") else None


def check_numbers(X: Any) -> None:  # noqa: ANN401 - a data frame
    r"""Refuses the first column of a data frame that does not hold numbers, by its name."""

    for name in frame_columns(X) or ():
        try:
            np.asarray(X[name], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"The column {name!r} of X has to hold numbers, but {error}; encode it, or leave "
                "it out."
            ) from None
