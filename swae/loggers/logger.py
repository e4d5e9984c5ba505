r"""What a logger is given, and what it has to do with it.

A row is the numbers of an epoch by name, ``epoch`` among them. A snapshot is what the model looks
like at an epoch: figures, codes :math:`z_1, \dots, z_n`, and with each code its label and a
thumbnail of the sample that it is of.
"""

__all__ = ["Logger", "Row", "Snapshot", "check", "numbers_of", "picture_of", "row_of"]

from abc import ABC, abstractmethod
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..training import Epoch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, Any] | Epoch
r"""The numbers of an epoch: a mapping with ``epoch``, or the record that training yields."""


class Snapshot(NamedTuple):
    r"""What a model looks like at an epoch.

    Arguments:
        epoch: The number of epochs done.
        figures: Figures by name.
        codes: Codes, with shape :math:`(n, d)`, or None.
        labels: A number or a text for each code, with shape :math:`(n)`, or None.
        thumbnails: The images that the codes are of, in [0, 1], with shape :math:`(n, c, h, w)`
            and c of 1 or 3, or None.

    Example:
        >>> Snapshot(3, codes=np.zeros((5, 2))).codes.shape
        (5, 2)
    """

    epoch: int
    figures: "Mapping[str, Figure]" = {}  # noqa: RUF012 - a tuple's default, which nobody changes
    codes: NDArray[Any] | None = None
    labels: NDArray[Any] | None = None
    thumbnails: NDArray[Any] | None = None


class Logger(ABC):
    r"""Writes down how a training goes.

    Each takes the number of epochs that are done when it begins: what it holds of later ones is
    from a run that was cut short, and is dropped, so that no epoch is there twice. Use as a
    context manager closes it at the end.
    """

    @abstractmethod
    def record(self, row: Row) -> None:
        r"""Writes the numbers of an epoch.

        Arguments:
            row: The numbers by name, ``epoch`` among them; of other values None is left out. Or
                the record that :meth:`swae.SWAE.fit_epochs` yields.
        """

    @abstractmethod
    def show(self, snapshot: Snapshot) -> None:
        r"""Writes what the model looks like.

        Arguments:
            snapshot: The figures and codes. The figures stay open.

        Raises:
            ValueError: If labels or thumbnails are not one for each code.
        """

    @abstractmethod
    def close(self) -> None:
        r"""Finishes the files; once more does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def row_of(row: Row) -> dict[str, Any]:
    r"""Returns the numbers of an epoch by name.

    Example:
        >>> row_of(Epoch(1, 8, 0.5, 0.3, {"reconstruction": 0.2}, 1e-3))["reconstruction"]
        0.2
    """

    if not isinstance(row, Epoch):
        if type(row.get("epoch")) is not int:
            raise ValueError(
                f"row has to name its epoch, a whole number, but it is {row.get('epoch')!r}."
            )
        return dict(row)
    named = row._asdict()
    return {"epoch": named.pop("number"), **named.pop("parts"), **named}


def numbers_of(row: Row) -> tuple[int, dict[str, float]]:
    r"""Returns an epoch and its numbers, those of training and those of validation apart.

    Example:
        >>> numbers_of({"epoch": 2, "loss": 0.5, "val_mse": 0.1, "val_bce": None})
        (2, {'train/loss': 0.5, 'val/mse': 0.1})
    """

    row = row_of(row)
    numbers = {}
    for name, value in row.items():
        if name != "epoch" and isinstance(value, int | float):
            group = "val" if name.startswith("val_") else "train"
            numbers[f"{group}/{name.removeprefix('val_')}"] = float(value)
    return int(row["epoch"]), numbers


def check(snapshot: Snapshot) -> None:
    r"""Raises if labels or thumbnails are not one for each code."""

    n = 0 if snapshot.codes is None else len(snapshot.codes)
    if snapshot.codes is not None and np.ndim(snapshot.codes) != 2:
        shape = np.shape(snapshot.codes)
        raise ValueError(f"codes has to have shape (n, d), but has {shape}.")
    for name in ("labels", "thumbnails"):
        values = getattr(snapshot, name)
        if values is not None and len(values) != n:
            raise ValueError(f"{name} has to be one for each of {n} codes, but is {len(values)}.")
    if snapshot.thumbnails is None:
        return
    shape = np.shape(snapshot.thumbnails)
    if len(shape) != 4 or shape[1] not in (1, 3):
        raise ValueError(f"thumbnails has to have shape (n, 1 or 3, h, w), but has {shape}.")


def picture_of(figure: "Figure") -> NDArray[np.uint8]:
    r"""Returns the pixels of a figure, with shape :math:`(h, w, 3)`."""

    from PIL import Image

    with BytesIO() as file:
        figure.savefig(file, format="png", dpi=100)
        return np.asarray(Image.open(file).convert("RGB"))
