r"""What a page says of a run in words: settings, durations, how far it is, and what to type."""

__all__ = ["Pace", "commands_for", "go_on", "in_time", "in_words", "names_of", "pace", "status"]

import math
import shlex
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from ..run import Run
from .accounts import Account
from .measures import number


def in_words(value: object) -> str:
    r"""Writes a setting as one would say it.

    Example:
        >>> in_words(None), in_words(True), in_words([1, 28, 28]), in_words("bce+l1")
        ('—', 'yes', '1, 28, 28', 'bce+l1')
    """

    match value:
        case None:
            return "—"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case list():
            return ", ".join(map(in_words, value))
    return str(value)


def in_time(seconds: float) -> str:
    r"""Writes a duration.

    Example:
        >>> in_time(0.0123), in_time(6.25), in_time(750), in_time(7500)
        ('12.3 ms', '6.25 s', '12.5 min', '2.08 h')
    """

    units = ((1.0, 1e-3, "ms"), (120.0, 1.0, "s"), (7200.0, 60.0, "min"), (math.inf, 3600.0, "h"))
    scale, unit = next((scale, unit) for limit, scale, unit in units if seconds < limit)
    return f"{seconds / scale:.3g} {unit}"


class Pace(NamedTuple):
    r"""How long training took: in seconds, and samples a second."""

    epochs: int
    total: float
    epoch: float
    samples: float | None


def pace(account: Account) -> Pace | None:
    r"""Returns how fast the epochs were: the median of them, for the first warms up."""

    seconds = [s for row in account.rows if (s := number(row, "seconds")) is not None]
    if not seconds:
        return None
    typical = median(seconds)
    n = number(account.made[-1], "samples") if account.made else None
    return Pace(len(seconds), sum(seconds), typical, n / typical if n and typical else None)


def status(account: Account) -> str:
    r"""Says how far a run is."""

    done, asked = account.last["epoch"], number(account.settings, "max_epochs")
    return f"{done} epochs" if asked is None or done >= asked else f"{done} of {asked} epochs"


def go_on(account: Account) -> str:
    r"""Returns the command that goes on with a run that has not ended; nothing for others.

    With patience a run may have ended at any epoch.
    """

    asked = number(account.settings, "max_epochs") or 0
    if account.last["epoch"] >= asked or account.settings.get("patience") is not None:
        return ""
    run = Run(account.path)
    return shlex.join(
        ["swae", "fit", "--config", str(run.config), "--out", str(run.path), "--resume"]
    )


def commands_for(account: Account) -> dict[str, str]:
    r"""Returns commands that use a run, by what they do."""

    run = Run(account.path)
    words = {"Train it again": ["fit", "--config", str(run.config)]}
    if account.model:
        words |= {
            "Judge it on its test samples": ["evaluate", str(run.path)],
            "Draw new samples": ["sample", str(run.path), "-n", "64"],
            "Write the codes of data": ["encode", str(run.path)],
        }
    words["Make this page again"] = ["report", str(run.path)]
    return {what: shlex.join(["swae", *command]) for what, command in words.items()}


def names_of(accounts: Sequence[Account]) -> list[str]:
    r"""Names runs by their folders; by their whole paths where two folders have one name."""

    names = [account.path.name or str(account.path) for account in accounts]
    if len(set(names)) < len(names):
        return [str(account.path) for account in accounts]
    return names
