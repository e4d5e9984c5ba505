r"""Several loggers as one, which training outlives.

A log is worth less than the training that it follows: a logger that fails is left out from then
on, and a warning says so once. A full disk is another matter, for the model will not fit on it
either.
"""

__all__ = ["KINDS", "Together", "kinds_of", "open_logs"]

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, final

from ..spelling import nearest
from ..writing import FULL
from .logger import Logger, Row, Snapshot
from .tensorboard import TensorBoard
from .tensorboard import library as tensorboard_library
from .weights_and_biases import WeightsAndBiases, check_login
from .weights_and_biases import library as wandb_library

logger = logging.getLogger("swae")

KINDS = ("tensorboard", "wandb", "wandb:online")
r"""The names of the loggers that a run may have beside its lines of JSON."""


@final
class Together(Logger):
    r"""Tells several loggers, and leaves out one that fails.

    Arguments:
        loggers: The loggers.

    Example:
        >>> with Together([]) as logs:
        ...     logs.record({"epoch": 1})
    """

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self.loggers = list(loggers)

    def record(self, row: Row) -> None:
        self.each(lambda one: one.record(row))

    def show(self, snapshot: Snapshot) -> None:
        self.each(lambda one: one.show(snapshot))

    def close(self) -> None:
        self.each(lambda one: one.close())

    def each(self, tell: Callable[[Logger], None]) -> None:
        for one in list(self.loggers):
            with surviving(type(one).__name__) as failed:
                tell(one)
            if failed:
                self.loggers.remove(one)
                with suppress(Exception):
                    one.close()


@contextmanager
def surviving(name: str) -> Iterator[list[Exception]]:
    r"""Warns of what goes wrong in somebody else's library, and goes on.

    Yields:
        A list that holds the error afterwards, if there was one.
    """

    failed: list[Exception] = []
    try:
        yield failed
    except MemoryError:
        raise
    except Exception as error:
        if is_full(error):
            raise
        failed.append(error)
        logger.warning(
            "%s failed and is left out; training goes on (%s: %s).",
            name,
            type(error).__name__,
            error,
        )


def is_full(error: BaseException) -> bool:
    r"""Tells whether an error is that of a full disk, or the sentence that stands for one.

    Example:
        >>> is_full(OSError(28, "No space left on device")), is_full(OSError("gone"))
        (True, False)
    """

    return any(getattr(e, "errno", None) in FULL for e in (error, error.__cause__))


def kinds_of(words: str | Sequence[str] | None) -> tuple[str, ...]:
    r"""Returns the names of loggers, if there are such and their libraries are there.

    Arguments:
        words: The names, or one text that separates them by commas.

    Raises:
        ValueError: If a name is none, Weights & Biases is asked for twice, or a library is not
            installed.

    Example:
        >>> kinds_of("tensorboard, wandb"), kinds_of(None)
        (('tensorboard', 'wandb'), ())
    """

    parts = words.split(",") if isinstance(words, str) else words or ()
    kinds = tuple(dict.fromkeys(word.strip() for word in parts if word.strip()))
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(
                f"--log has to be of {', '.join(KINDS)}, but is {kind!r}."
                f"{nearest(kind, KINDS, '{}')}"
            )
    if {"wandb", "wandb:online"} <= {*kinds}:
        raise ValueError("--log has to be wandb or wandb:online, but is both.")
    for kind in kinds:
        if kind == "tensorboard":
            tensorboard_library()
        else:
            module = wandb_library()
            if kind == "wandb:online":
                check_login(module)
    return kinds


def open_logs(
    kinds: Sequence[str],
    folder: Path,
    settings: Mapping[str, Any],
    *,
    name: str | None = None,
    done: int = 0,
) -> Together:
    r"""Opens the loggers of a run.

    Arguments:
        kinds: Their names.
        folder: The folder that gets a folder for each.
        settings: What the run was asked for.
        name: What the run is called.
        done: The number of epochs that are done.
    """

    def begin(kind: str) -> Logger:
        if kind == "tensorboard":
            return TensorBoard(folder / kind, settings, done=done)
        online = kind == "wandb:online"
        return WeightsAndBiases(folder, settings, name, done=done, online=online)

    logs = Together([])
    try:
        for kind in kinds:
            with surviving(kind):
                logs.loggers.append(begin(kind))
    except BaseException:
        logs.close()
        raise
    return logs
