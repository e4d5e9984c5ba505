r"""The numbers of a run, each beside its null value where it has one, and what good is."""

__all__ = [
    "MEASURES",
    "Measure",
    "Number",
    "in_digits",
    "number",
    "numbers_of",
    "strange",
    "verdict",
]

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .accounts import Account


class Measure(NamedTuple):
    r"""A quantity of `metrics.jsonl`.

    Arguments:
        key: Its name there.
        name: Its name in words.
        good: What good is, in a sentence.
        null: Whether it has a null value, which ``key_null`` is.
        cost: The less the better, as a function of the value.
        of_codes: Whether it is measured between codes and prior, and not between data.
        unit: The unit that is written behind it.
    """

    key: str
    name: str
    good: str
    null: bool = False
    cost: Callable[[float], float] = float
    of_codes: bool = False
    unit: str = ""


MATCH = "A ratio of 1 is perfect: as near as another sample of the prior."
MEASURES = (
    Measure("val_bce", "cross-entropy (nats)", "Lower is better; gray pixels keep it above 0."),
    Measure("val_l1", "mean absolute error", "0 is perfect."),
    Measure("val_mse", "mean squared error", "0 is perfect."),
    Measure(
        "val_psnr",
        "signal-to-noise ratio (dB)",
        "Higher is better; at 20 dB the error is a tenth of the range.",
        cost=lambda value: -value,
    ),
    Measure("val_sw2", "SW2, random directions", MATCH, null=True, of_codes=True),
    Measure("val_sw2_axes", "SW2, coordinate axes", MATCH, null=True, of_codes=True),
    Measure("val_sw2_principal", "SW2, principal directions", MATCH, null=True, of_codes=True),
    Measure("val_outside", "codes outside the prior", "0 % is perfect.", of_codes=True, unit="%"),
)
STANDARD = "0 is perfect; the columns' own mean would score 1."

LARGEST = 1e300
r"""No number of a run is larger; those of a damaged one may be."""

WORDS = ((2.0, "a match"), (5.0, "close"), (20.0, "off"), (math.inf, "far off"))
r"""What a ratio of a distance to its null is called, up to a limit."""


ENOUGH = 500
r"""The samples below which a ratio near 1 tells nothing: the null is too large."""


class Number(NamedTuple):
    r"""A measure of one run; null and ratio are nothing where it has none."""

    measure: Measure
    value: float | None
    null: float | None
    ratio: float | None
    good: str


def numbers_of(account: Account) -> list[Number]:
    r"""Returns the numbers of the last epoch that are there."""

    numbers = []
    for measure in MEASURES:
        value = number(account.last, measure.key)
        if value is None:
            continue
        null = number(account.last, f"{measure.key}_null") if measure.null else None
        good = measure.good
        if measure.key == "val_mse" and account.settings.get("standardize"):
            good = STANDARD
        numbers.append(Number(measure, value, null, value / null if null else None, good))
    return numbers


def strange(account: Account) -> list[str]:
    r"""Returns the measures whose value in the last line is no number."""

    return [
        measure.name
        for measure in MEASURES
        if account.last.get(measure.key) is not None and number(account.last, measure.key) is None
    ]


def number(row: Mapping[str, Any], key: str) -> float | None:
    r"""Returns a finite number of a row, or nothing."""

    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < LARGEST else None  # which NaN is not either


def verdict(ratio: float, n: float | None) -> str:
    r"""Says what a ratio of a distance to its null means, if n samples can tell.

    Example:
        >>> verdict(1.2, 1000), verdict(40.0, 1000), verdict(1.2, 10)
        ('a match', 'far off', 'too few to tell')
    """

    if n is None or n < ENOUGH:
        return "too few to tell"
    return next(word for limit, word in WORDS if ratio < limit or limit == math.inf)


def in_digits(value: float, unit: str = "") -> str:
    r"""Writes a number in four digits, a share in per cent.

    Example:
        >>> in_digits(0.0185012), in_digits(0.25, "%"), in_digits(-12.5, "dB"), in_digits(12345)
        ('0.01850', '25.0 %', '−12.50 dB', '12,345')
    """

    if unit == "%":
        return f"{value:.1%}".replace("%", " %")
    whole = isinstance(value, int) or value == 0
    text = f"{value:,.0f}" if whole else f"{value:#.4g}".rstrip(".")
    return f"{text} {unit}".strip().replace("-", "\N{MINUS SIGN}")
