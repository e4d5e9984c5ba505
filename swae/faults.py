r"""Faults on demand, at points that have names.

To see what a fault leaves behind one has to make it happen at a place that is known: not some
seconds after the start but between the second and the third file of a checkpoint. The environment
variable ``SWAE_FAULT`` plans them, ``POINT:N:ACTION``, several with commas between:

.. code-block:: sh

    SWAE_FAULT=file.place:2:kill swae fit digits --out run

dies the second time that a file is about to take its place. The points:

==================  ===================================================================
``train.step``      a batch is about to be trained on
``train.gradient``  a gradient is there, and not yet looked at
``train.epoch``     an epoch is over, and neither judged nor stored
``evaluate``        a part of held-out samples is about to be judged
``ingest.block``    a block of decoded images is about to be noted
``file.write``      a file is about to be written, under a temporary name
``file.place``      a written file is about to take its place
``command.done``    a command has written and said all, and Python is about to end
==================  ===================================================================

The actions: ``kill``, ``term``, ``int`` and ``hup`` send the process that signal; ``full`` is a
disk without room, ``memory`` a machine without memory; ``nan`` spoils the tensor that is there;
``hang`` waits until the process is ended. Without the variable a point costs the look at an empty
dictionary.
"""

__all__ = ["ACTIONS", "POINTS", "planned", "point"]

import errno
import os
import signal
import time
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:  # the list of commands is told without torch
    from torch import Tensor

POINTS = (
    "train.step",
    "train.gradient",
    "train.epoch",
    "evaluate",
    "ingest.block",
    "file.write",
    "file.place",
    "command.done",
)
r"""The names of the points."""

SIGNALS = {
    "kill": signal.SIGKILL,
    "term": signal.SIGTERM,
    "int": signal.SIGINT,
    "hup": signal.SIGHUP,
}

ACTIONS = (*SIGNALS, "full", "memory", "nan", "hang")
r"""What may happen at a point."""


def planned(text: str) -> dict[str, dict[int, str]]:
    r"""Reads a plan.

    Arguments:
        text: The plan; empty for none.

    Returns:
        For each point the actions by the number of the visit, from 1.

    Raises:
        ValueError: If it is none, with what it may be.

    Example:
        >>> planned("file.place:2:kill,train.step:7:nan")
        {'file.place': {2: 'kill'}, 'train.step': {7: 'nan'}}
    """

    plan: dict[str, dict[int, str]] = {}
    for part in filter(None, text.split(",")):
        name, number, action = [*part.split(":"), "", ""][:3]
        if name not in POINTS or not number.isdecimal() or action not in ACTIONS:
            raise ValueError(
                f"SWAE_FAULT has to be POINT:N:ACTION of the points {', '.join(POINTS)} and the "
                f"actions {', '.join(ACTIONS)}, but is {part!r}."
            )
        plan.setdefault(name, {})[int(number)] = action
    return plan


PLAN = planned(os.environ.get("SWAE_FAULT", ""))
r"""What is to happen in this process."""

VISITS: dict[str, int] = {}
r"""How often each point of the plan was visited."""


def point(name: str, tensor: "Tensor | None" = None) -> None:
    r"""Lets happen what is planned for this visit of a point.

    Arguments:
        name: The point.
        tensor: What ``nan`` spoils, in place.

    Example:
        >>> point("train.step")  # nothing is planned
    """

    if not PLAN or name not in PLAN:
        return
    VISITS[name] = VISITS.get(name, 0) + 1
    action = PLAN[name].get(VISITS[name])
    if action is not None:
        happen(action, tensor)


def happen(action: str, tensor: "Tensor | None") -> None:
    match action:
        case "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        case "memory":
            raise MemoryError
        case "nan" if tensor is not None:
            tensor.fill_(float("nan"))
        case "hang":
            hang()
        case _ if action in SIGNALS:
            os.kill(os.getpid(), SIGNALS[action])


def hang() -> NoReturn:
    while True:
        time.sleep(1)
