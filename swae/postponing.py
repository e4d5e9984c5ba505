r"""Signals that wait until what is under way is done.

Python runs a signal's handler between two instructions, and one that raises unwinds whatever is
there. For most of a program that is what is wanted; a file that is half written, or a copy that
is half made, is better finished first.
"""

__all__ = ["ENDING", "postponed"]

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
r"""The signals by which an end is asked for, and that are waited with."""


@contextmanager
def postponed() -> Iterator[None]:
    r"""Lets a first signal of :data:`ENDING` wait for the end of the block; a second ends.

    Signals that have no handler of Python's keep what they have, and so do all where this is not
    the main thread, in which alone handlers run.

    Example:
        >>> import os
        >>> try:
        ...     with postponed():
        ...         os.kill(os.getpid(), signal.SIGINT)
        ...         print("done")
        ... except KeyboardInterrupt:
        ...     print("interrupted")
        done
        interrupted
    """

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    noted: list[int] = []

    def note(signum: int, frame: FrameType | None) -> None:
        noted.append(signum)
        for number in handlers:
            signal.signal(number, signal.SIG_DFL)

    handlers = {n: handler for n in ENDING if callable(handler := signal.getsignal(n))}
    try:
        for number in handlers:
            signal.signal(number, note)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if noted:
            handlers[signal.Signals(noted[0])](noted[0], None)
