r"""The processes of a data loader, which may be killed or hang.

A process that was killed is noticed by torch, whose error names it. One that hangs is noticed by
nobody: the loader waits for its batch, for ever if it has no ``timeout`` of its own. Here whoever
waits looks up from time to time. While a process of the loader computes, it is waited for, and
that is said; when for :data:`PATIENCE` seconds none of them has done anything, an error names
them. A loader whose items may take longer without computing, as from a slow network, says so
itself: ``DataLoader(..., timeout=60)`` waits so long.

Whatever ends the waiting, no process is left behind.
"""

__all__ = ["PATIENCE", "WorkerError", "watched"]

import logging
import multiprocessing as mp
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NoReturn, final

from torch.utils.data import DataLoader

PATIENCE = 8.0
r"""The seconds of standing still after which processes are taken to hang."""

logger = logging.getLogger("swae")


class WorkerError(RuntimeError):
    r"""A process of a data loader that was killed or hangs."""


def watched(loader: DataLoader[Any]) -> Iterator[Any]:
    r"""Iterates over a data loader, and waits for its processes as long as they do something.

    Arguments:
        loader: The data loader.

    Raises:
        WorkerError: If a process was killed, or all stand still.

    Example:
        >>> import torch
        >>> len(list(watched(DataLoader(torch.arange(6), batch_size=2))))
        3
    """

    if loader.num_workers == 0:
        return iter(loader)
    return Watched(loader)


@final
class Watched(Iterator[Any]):
    r"""The items of a data loader with processes.

    Arguments:
        loader: The data loader. One with a ``timeout`` of its own is not watched beyond it.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        own, before = loader.timeout, set(mp.active_children())
        self.own, self.patience = own, own or PATIENCE
        loader.timeout = own or min(1.0, PATIENCE / 4)
        try:
            self.items = iter(loader)
        finally:
            loader.timeout = own
        if loader.persistent_workers:  # which an earlier iteration may have started
            before = set()
        self.children = [child for child in mp.active_children() if child not in before]

    def __next__(self) -> Any:  # noqa: ANN401 - whatever the loader collates
        began = moved = said = time.monotonic()
        used = self.work()
        while True:
            try:
                return next(self.items)
            except (RuntimeError, OSError, EOFError) as error:
                dead = self.dead()  # half a batch of a process that was killed is an OSError
                if not (dead or f"{error}".startswith("DataLoader")):
                    raise
                if dead or self.own or "timed out" not in f"{error}":
                    self.lose(self.lost(error, dead))
            now, before, used = time.monotonic(), used, self.work()
            if used != before:
                moved = now
            if now - moved > self.patience:
                self.lose(
                    f"The data loader's processes ({self.pids}) have given no batch for "
                    f"{now - began:.0f} s and did nothing in the last {self.patience:g}; "
                    "DataLoader(timeout=...) waits longer."
                )
            if now - said > self.patience:
                logger.warning(
                    "The data loader's processes (%s) have given no batch for %.0f s, but "
                    "compute: waiting.", self.pids, now - began
                )  # fmt: skip
                said = now

    @property
    def pids(self) -> str:
        return ", ".join(f"{child.pid}" for child in self.children)

    def dead(self) -> list[str]:
        r"""Returns which processes have ended otherwise than they should."""

        codes: dict[int | None, int | None] = {}
        while len(codes) < len(self.children):
            with suppress(RuntimeError):
                codes |= {child.pid: child.exitcode for child in self.children}
        return [f"{pid} ended with {code}" for pid, code in codes.items() if code]

    def lost(self, error: BaseException, dead: list[str]) -> str:
        r"""Says which processes were lost, or what torch says, of a user's own limit too."""

        if dead:
            return f"A process of the data loader was lost: {', '.join(dead)}."
        what = f"{error}".strip().splitlines()[0].rstrip(".")
        return f"{what}; the data loader's processes were {self.pids}."

    def lose(self, sentence: str) -> NoReturn:
        r"""Ends the processes, and says why."""

        for child in self.children:
            with suppress(RuntimeError):  # torch's, who hears of each that is killed
                child.kill()
        # The processes are known to torch until then, and it would complain at the next occasion.
        shutdown = getattr(self.items, "_shutdown_workers", None)
        with suppress(RuntimeError):
            if shutdown is not None:
                shutdown()
        for child in self.children:
            while child.is_alive():
                with suppress(RuntimeError):
                    child.join(1)
        raise WorkerError(sentence)

    def work(self) -> list[str]:
        r"""Returns what each process has computed so far, as the system counts it."""

        return [ticks(child) for child in self.children]


def ticks(child: BaseProcess) -> str:
    r"""Returns the ticks of user and system time of a process; nothing where nobody counts."""

    try:
        line = Path(f"/proc/{child.pid}/stat").read_text()
    except OSError:  # another system than Linux, or a process that has ended
        return ""
    return " ".join(line.rpartition(")")[2].split()[11:13])
