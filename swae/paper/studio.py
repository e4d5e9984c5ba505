r"""Where a figure of the paper is made: its folder, its data, and how it trains what it shows.

A figure is a function of a :class:`Studio` that returns a :class:`Plate`. What it has to train it
asks the studio for by a name and the words of ``swae fit``, so that each run is a run folder like
any other: it can be interrupted, goes on where it stood, is not trained twice, and the command
that made it can be read.
"""

__all__ = ["Plate", "Studio", "mean_and_deviation"]

import hashlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
from matplotlib.figure import Figure

from ..data import Samples
from ..estimator import SWAE
from ..sources import Split, load


class Plate(NamedTuple):
    r"""What is printed of a figure: its pictures by name, and the numbers under them."""

    pictures: Mapping[str, Figure]
    numbers: Mapping[str, Any]


@final
@dataclass(frozen=True)
class Studio:
    r"""Where figures are made.

    Arguments:
        out: The folder of the figures; runs lie in its folder ``runs``.
        fit: Trains a run folder up to its end, from the words of ``swae fit``.
        data_dir: Where data sets lie.
        quick: Whether a taste is enough: less data and fewer steps.
        seeds: How many seeds a figure with statistics trains.
        commands: The trainings that were asked for, as one would type them.
    """

    out: Path
    fit: Callable[[list[str]], None]
    data_dir: str | None = None
    quick: bool = False
    seeds: int = 1
    commands: list[str] = field(default_factory=list)

    def train(self, name: str, words: Sequence[str]) -> SWAE:
        r"""Returns the model of a run, trained now unless it was before.

        Arguments:
            name: The run's name.
            words: The words of ``swae fit``, but for the data's and the run's folder.
        """

        folder = self.out / "runs" / name
        words = [*words, *self.data_words(words[0]), "--out", str(folder)]
        self.commands.append(shlex.join(["swae", "fit", *words]))
        self.fit(words)
        return SWAE.load(folder / "model")

    def data_words(self, source: str) -> list[str]:
        r"""Returns where a named data set lies; an array file says so itself."""

        if self.data_dir is None or source.endswith(".npz"):
            return []
        return ["--data-dir", self.data_dir]

    def samples(self, source: str, split: Split) -> Samples:
        r"""Reads a data set."""

        return load(source, split, data_dir=None if source.endswith(".npz") else self.data_dir)

    def store(self, name: str, **arrays: Any) -> str:  # noqa: ANN401 - arrays
        r"""Writes arrays that a run trains on, and returns the file, named by its content."""

        digest = hashlib.sha256()
        for array in arrays.values():
            digest.update(np.ascontiguousarray(array).tobytes())
        file = self.out / "data" / f"{name}-{digest.hexdigest()[:8]}.npz"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            draft = file.with_suffix(".part.npz")
            np.savez(draft, **arrays)
            draft.replace(file)
        return str(file)

    def excerpt(self, source: str, train: int, test: int) -> str:
        r"""Returns a small part of a data set as a file, or for the whole figure its name."""

        if not self.quick:
            return source
        parts: dict[str, tuple[int, Split]] = {"x": (train, "train"), "x_test": (test, "test")}
        arrays: dict[str, Any] = {}
        for key, (n, split) in parts.items():
            samples = self.samples(source, split)
            arrays[key] = next(samples.chunks(n)).numpy()
            if samples.labels is not None:
                arrays[key.replace("x", "y")] = samples.labels[:n].numpy()
        return self.store(f"{source}-{train}", **arrays)


def mean_and_deviation(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    r"""Returns the mean of each number over seeds and, of two or more, its deviation."""

    numbers: dict[str, float] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        numbers[name] = float(np.mean(values))
        if len(values) > 1:
            numbers[f"{name}_deviation"] = float(np.std(values, ddof=1))
    return numbers
