r"""Which of several runs is best, where that can be said.

Numbers of several runs are compared only where they are of one kind. Errors are of the same
samples on the same scale. A distance is to a prior, in a dimension: where these differ, its ratio
to its null can still be compared. That ratio is best near 1: below it is chance.
"""

__all__ = ["Cell", "best", "judges_of", "table"]

import math
import os
from collections.abc import Sequence
from typing import NamedTuple

from .accounts import Account
from .measures import MEASURES, Measure, in_digits, numbers_of

PARTED = ("mnist", "fashion-mnist", "celeba")
r"""Data whose test split is the same for every seed."""


class Cell(NamedTuple):
    r"""A number of one run in the table of several."""

    value: float | None
    text: str
    best: bool


def table(accounts: Sequence[Account]) -> list[tuple[str, str, list[Cell]]]:
    r"""Returns a row a measure, and one for the ratio of each distance to its null."""

    rows = []
    found = [{n.measure.key: n for n in numbers_of(account)} for account in accounts]
    for measure in MEASURES:
        numbers = [numbers.get(measure.key) for numbers in found]
        if not any(numbers):
            continue
        marks = best(accounts, measure)
        values = [n and n.value for n in numbers]
        good = "" if measure.null else measure.good
        rows.append((measure.name, good, cells(values, marks, measure.unit)))
        if measure.null:
            nulls = [n and n.null for n in numbers]
            rows.append(("its null", "", cells(nulls, [False] * len(nulls))))
            marks = best(accounts, measure, ratio=True)
            ratios = [n and n.ratio for n in numbers]
            rows.append(("its ratio", "1 is perfect.", cells(ratios, marks)))
    return rows


def cells(values: Sequence[float | None], marks: Sequence[bool], unit: str = "") -> list[Cell]:
    return [
        Cell(value, "—" if value is None else in_digits(value, unit), mark)
        for value, mark in zip(values, marks, strict=True)
    ]


def best(accounts: Sequence[Account], measure: Measure, *, ratio: bool = False) -> list[bool]:
    r"""Tells which of the runs are best, none where their numbers are not of one kind.

    Arguments:
        accounts: The runs.
        measure: What is compared.
        ratio: Whether its ratio to the null is, instead of its value.

    Returns:
        Whether each run is.
    """

    found = [
        next((n for n in numbers_of(account) if n.measure is measure), None)
        for account in accounts
    ]
    values = [number and (number.ratio if ratio else number.value) for number in found]
    there = [i for i, value in enumerate(values) if value is not None]
    if len(there) < 2 or not is_one_kind([accounts[i] for i in there], measure, ratio=ratio):
        return [False] * len(accounts)
    costs = {i: cost(values[i] or 0.0, measure, ratio=ratio) for i in there}
    least = min(costs.values())
    if all(value == least for value in costs.values()):
        return [False] * len(accounts)  # equal ones have no best
    return [costs.get(i) == least for i in range(len(accounts))]


def cost(value: float, measure: Measure, *, ratio: bool) -> float:
    if ratio:
        return abs(math.log(value)) if value > 0 else math.inf
    return measure.cost(value)


def is_one_kind(accounts: Sequence[Account], measure: Measure, *, ratio: bool) -> bool:
    r"""Tells whether a measure can be compared between runs."""

    same = len({judges_of(account) for account in accounts}) == 1
    names: tuple[str, ...] = ("standardize",)
    if measure.of_codes:
        names = () if ratio else ("prior", "latent_dim")
    return same and all(len({str(a.settings.get(n)) for a in accounts}) == 1 for n in names)


def judges_of(account: Account) -> tuple[str, ...]:
    r"""Returns what decides which samples judged a run.

    Where a seed chose them it counts; a test split that the data bring is the same for all.
    """

    settings = account.settings
    data = str(settings["data"])
    data = os.path.realpath(data) if os.path.isabs(data) else data
    own = account.judges == "test samples" and data in PARTED
    seed = "" if own else str(settings.get("seed"))
    seen = (str(settings.get(name)) for name in ("image_size", "crop", "columns"))
    held = str(account.made[-1].get("judged_sum")) if account.made else ""
    return (data, account.judges, str(account.last.get("val_n")), seed, held, *seen)
