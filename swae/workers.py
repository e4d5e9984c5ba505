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
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NoReturn, final

from torch.utils.data import DataLoader

PATIENCE = 8.0
r"""The seconds of standing still after which processes are taken to hang."""

LOST: list[Any] = []
r"""Iterators whose processes were killed: to delete one may wait for ever for a lock of theirs."""

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
        before = set(mp.active_children())
        self.items, self.own = iter(loader), loader.timeout
        new = [child for child in mp.active_children() if child not in before]
        # Those that outlive an epoch are not new, and nothing public tells them from others.
        self.children = list(getattr(self.items, "_workers", new))
        self.verdict: str | None = None

    def __next__(self) -> Any:  # noqa: ANN401 - whatever the loader collates
        try:
            return self.wait()
        except RuntimeError as error:  # which torch raises when a process ends, wherever we are
            if isinstance(error, WorkerError) or not is_torch_s(error):
                raise
            self.lose(self.lost(error, self.dead(wait=True)))

    def wait(self) -> Any:  # noqa: ANN401 - likewise
        done = threading.Event()
        if not self.own:
            threading.Thread(target=self.watch, args=(done,), daemon=True).start()
        try:
            return next(self.items)
        except (RuntimeError, OSError, EOFError) as error:
            # Half a batch of a process that was killed is an OSError.
            dead = self.dead(wait=is_cut(error))
            if not (dead or is_torch_s(error)):
                raise
            self.lose(self.lost(error, dead))
        finally:
            done.set()

    def watch(self, done: threading.Event) -> None:
        r"""Ends processes that stand still, which whoever waits for them then hears of.

        It is a thread, for to wait for half a batch of a process that was stopped has no end.
        """

        began = moved = said = time.monotonic()
        used = self.work()
        while not done.wait(PATIENCE / 16):
            now, before, used = time.monotonic(), used, self.work()
            if used != before:
                moved = now
            if now - moved > PATIENCE and any(used):  # where somebody counts what they do
                self.verdict = (
                    f"The data loader's processes ({self.pids}) have given no batch for "
                    f"{now - began:.0f} s and did nothing in the last {PATIENCE:g}; "
                    "DataLoader(timeout=...) waits longer."
                )
                for child in self.children:
                    child.kill()
                return
            if now - said > PATIENCE:
                said = now
                logger.warning(
                    "The data loader's processes (%s) have given no batch for %.0f s, but "
                    "compute: waiting.",
                    self.pids,
                    now - began,
                )

    @property
    def pids(self) -> str:
        return ", ".join(f"{child.pid}" for child in self.children)

    def dead(self, *, wait: bool) -> list[str]:
        r"""Returns which processes have ended otherwise than they should.

        Arguments:
            wait: Whether one is about to.
        """

        end = time.monotonic() + 2
        while True:
            codes: dict[int | None, int | None] = {}
            with suppress(RuntimeError):
                time.sleep(0.01 if wait else 0)
                codes = {child.pid: child.exitcode for child in self.children}
            ended = [f"{pid} ended with {code}" for pid, code in codes.items() if code]
            if ended or (codes and not (wait and time.monotonic() < end)):
                return ended

    def lost(self, error: BaseException, dead: list[str]) -> str:
        r"""Says which processes were lost, or what torch says, of a user's own limit too."""

        if self.verdict is not None:
            return self.verdict
        if dead:
            return f"A process of the data loader was lost: {', '.join(dead)}."
        what = f"{error}".strip().splitlines()[0].rstrip(".")
        return f"{what}; the data loader's processes were {self.pids}."

    def lose(self, sentence: str) -> NoReturn:
        r"""Ends the processes, and says why."""

        LOST.append(self.items)
        for child in self.children:
            while child.exitcode is None:
                with suppress(RuntimeError):
                    child.kill()
                    child.join()
        raise WorkerError(sentence)

    def work(self) -> list[str]:
        r"""Returns what each process has computed so far, as the system counts it."""

        return [ticks(child) for child in self.children]


def is_torch_s(error: BaseException) -> bool:
    r"""Tells whether an error is of the data loader, and not one that an item has raised."""

    return f"{error}".startswith("DataLoader")


def is_cut(error: BaseException) -> bool:
    r"""Tells whether an error is of half a batch, and not one that an item has raised."""

    return isinstance(error, OSError | EOFError) and not f"{error}".startswith("Caught ")


def ticks(child: BaseProcess) -> str:
    r"""Returns the ticks of user and system time of a process; nothing where nobody counts."""

    try:
        line = Path(f"/proc/{child.pid}/stat").read_text()
    except OSError:  # another system than Linux, or a process that has ended
        return ""
    return " ".join(line.rpartition(")")[2].split()[11:13])
