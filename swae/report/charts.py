r"""Learning curves as panels of SVG, in colours that the page's style gives.

A panel is 360 x 210 units and scales with its column. Nothing here is markup: a panel holds the
paths, and the template writes them.
"""

__all__ = ["Line", "Panel", "Tick", "curves", "overlaid"]

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..plotting import NOT_A_CURVE, SETTINGS, WORDS
from .accounts import Account
from .measures import in_digits, number

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 8, 26
MOST = 400
r"""The most points of a line: more are closer than a pixel."""

FEW = 12
r"""The most points that are marked each."""

COLOURS = 8
r"""The colours of the style; from then on lines are dashed."""


class Line(NamedTuple):
    r"""A curve: name, classes of its style, path, marked points, and last value."""

    name: str
    style: str
    path: str
    points: list[tuple[str, str]]
    last: str


class Tick(NamedTuple):
    r"""A place on an axis and what stands there."""

    at: str
    text: str


class Panel(NamedTuple):
    r"""A small chart of one quantity over the epochs."""

    title: str
    lines: list[Line]
    null: Line | None
    x: list[Tick]
    y: list[Tick]
    words: str


Series = dict[str, list[tuple[float, float]]]
r"""The points (epoch, value) of each curve by its name."""


def curves(account: Account) -> list[Panel]:
    r"""Returns a panel for each quantity of a run: training, held-out data, and the null."""

    panels = []
    for quantity in quantities([account]):
        series: Series = {
            "training": points(account.rows, quantity),
            "held out": points(account.rows, f"val_{quantity}"),
        }
        nulls = points(account.rows, f"val_{quantity}_null")
        styles = {"training": "c0", "held out": "c1"}
        panels.append(panel(quantity, series, styles, median(nulls)))
    return panels


def overlaid(accounts: Sequence[Account], names: Sequence[str]) -> list[Panel]:
    r"""Returns a panel for each quantity of several runs: held-out data where there are any."""

    panels = []
    for quantity in quantities(accounts):
        series, styles = {}, {}
        keys = (f"val_{quantity}", quantity)
        key = next(k for k in keys if any(points(account.rows, k) for account in accounts))
        for i, (account, name) in enumerate(zip(accounts, names, strict=True)):
            series[name] = points(account.rows, key)
            styles[name] = style(i)
        panels.append(panel(quantity, series, styles, None, held=key != quantity))
    return panels


def style(i: int) -> str:
    r"""Returns the classes of the i-th of several lines.

    Example:
        >>> style(1), style(9)
        ('c1', 'c1 dash1')
    """

    return f"c{i % COLOURS}" + (f" dash{min(i // COLOURS, 3)}" if i >= COLOURS else "")


def quantities(accounts: Sequence[Account]) -> list[str]:
    r"""Returns what is drawn: numbers that are no count, and settings only where they change."""

    found: dict[str, None] = {}
    for account in accounts:
        for key in dict.fromkeys(key for row in account.rows for key in row):
            values = [value for _, value in points(account.rows, key)]
            constant = key in SETTINGS and len(set(values)) <= 1
            if values and key not in NOT_A_CURVE and not key.endswith("_null") and not constant:
                found[key.removeprefix("val_")] = None
    return list(found)


def points(rows: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    r"""Returns the epochs and finite values of a quantity, at most about :data:`MOST`."""

    values = [(float(row["epoch"]), number(row, key)) for row in rows]
    there = [(at, float(value)) for at, value in values if value is not None]
    step = math.ceil(len(there) / MOST) if there else 1
    kept = there[::step]
    return kept if not there or kept[-1] == there[-1] else [*kept, there[-1]]


def median(values: Sequence[tuple[float, float]]) -> float | None:
    ordered = sorted(value for _, value in values)
    return ordered[len(ordered) // 2] if ordered else None


def panel(
    quantity: str,
    series: Series,
    styles: Mapping[str, str],
    null: float | None,
    *,
    held: bool = False,
) -> Panel:
    r"""Lays out the curves of a quantity; distances on a logarithmic axis, if all are above 0."""

    series = {name: values for name, values in series.items() if values}
    every = [point for values in series.values() for point in values]
    drawn = [value for _, value in every] + ([] if null is None else [null])
    log = quantity.startswith("sw2") and min(drawn) > 0
    ends = limits([at for at, _ in every], least=1.0), limits(drawn, log=log)
    title = WORDS.get(quantity, quantity.replace("_", " ")) + (", held out" if held else "")
    lines = [line(name, styles[name], values, ends, log) for name, values in series.items()]
    flat = [] if null is None else [(ends[0][0], null), (ends[0][1], null)]
    return Panel(
        title,
        lines,
        line("null", "null", flat, ends, log) if flat else None,
        [Tick(place(t, ends[0], across=True), f"{t:g}") for t in ticks(*ends[0], whole=True)],
        [
            Tick(place(t, ends[1], log=log), f"{t:g}".replace("-", "\N{MINUS SIGN}"))
            for t in (log_ticks(*ends[1]) if log else ticks(*ends[1]))
        ],
        f"{title} over {len({at for at, _ in every})} epochs: "
        + "; ".join(
            f"{name} from {in_digits(values[0][1])} to {in_digits(values[-1][1])}"
            for name, values in series.items()
        ),
    )


Ends = tuple[float, float]


def limits(values: Sequence[float], *, log: bool = False, least: float = 0.0) -> Ends:
    r"""Returns the ends of an axis: those of the values, apart even where they are equal."""

    low, high = min(values), max(values)
    if log:
        return (low, high) if high > 1.2 * low else (low / 1.5, high * 1.5)
    if high > low:
        return low, high
    if low == 0:
        return 0.0, 1.0
    spread = least or abs(low) / 10
    return low - spread, high + spread


def place(value: float, ends: Ends, *, across: bool = False, log: bool = False) -> str:
    r"""Returns where a value lies, in units from the left or from the top."""

    low, high = ends
    share = math.log(value / low) / math.log(high / low) if log else (value - low) / (high - low)
    if across:
        at = LEFT + 6 + share * (WIDTH - LEFT - RIGHT - 12)
    else:
        at = HEIGHT - BOTTOM - 6 - share * (HEIGHT - TOP - BOTTOM - 12)
    return f"{at:.1f}"


def line(
    name: str,
    style: str,
    values: Sequence[tuple[float, float]],
    ends: tuple[Ends, Ends],
    log: bool,
) -> Line:
    at = [(place(x, ends[0], across=True), place(y, ends[1], log=log)) for x, y in values]
    path = "M" + "L".join(f"{x} {y}" for x, y in at)
    return Line(name, style, path, at if len(at) <= FEW else [], in_digits(values[-1][1]))


def ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    r"""Returns round numbers within the ends of an axis, three to seven.

    Example:
        >>> ticks(0.0, 1.0), ticks(1, 3, whole=True)
        ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [1, 2, 3])
    """

    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    step = max(1.0, step) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    found = [float(f"{i * step:.12g}") for i in range(first, last + 1)]
    return [int(t) for t in found if t >= 1] if whole else found


def log_ticks(low: float, high: float) -> list[float]:
    r"""Returns round numbers on a logarithmic axis.

    Example:
        >>> log_ticks(0.01, 3), log_ticks(0.02, 0.05)
        ([0.01, 0.1, 1.0], [0.02, 0.03, 0.04, 0.05])
    """

    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 2, 5), range(1, 10)):
        every = [float(f"{digit}e{power}") for power in powers for digit in digits]
        found = [t for t in every if low * 0.999 <= t <= high * 1.001]
        if len(found) >= 3:
            return found[:: math.ceil(len(found) / 9)]
    return ticks(low, high)
