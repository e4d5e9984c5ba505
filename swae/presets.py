r"""The presets, and what the parameters of the estimator may be.

- ``paper`` is the appendix of the paper: RMSprop at a constant rate, batches of 500, 50
  independent directions, independent samples of the prior, :math:`\lambda = 10`, 20 epochs.
- ``authors`` is their notebooks: the same for 30 epochs, and :math:`\lambda` grows by a tenth at
  the start of each epoch with index 11 to 29.
- ``best`` is ours: the low-variance penalty, Adam, one cycle of the learning rate, and a part of
  the training data held back to look at.
"""

__all__ = [
    "GROWTH_FROM",
    "NAMES",
    "NUMBERS",
    "PAPER",
    "PRESETS",
    "STEPS",
    "SWITCHES",
    "Penalty",
    "Preset",
    "check_count",
    "check_number",
    "check_switch",
]

import math
from numbers import Integral, Real
from typing import Any, Literal

from .networks import Network
from .projections import Slices
from .training import Optimizer, Precision, Schedule

Preset = Literal["best", "paper", "authors"]
r"""The names of the presets."""

Penalty = Literal["sliced-wasserstein", "log-likelihood"]
r"""The names of the penalties."""

PAPER: dict[str, Any] = {
    "prior": "uniform",
    "reg_weight": 10.0,
    "reg_growth": 1.0,
    "n_projections": 50,
    "slices": "iid",
    "quasi": False,
    "oversampling": 1,
    "stratified": True,
    "reconstruction": "bce+l1",
    "output": "sigmoid",
    "optimizer": "rmsprop",
    "learning_rate": 1e-3,
    "schedule": "constant",
    "max_epochs": 20,
    "batch_size": 500,
    "drop_last": True,
    "validation_size": 0,
}

PRESETS: dict[str, dict[str, Any]] = {
    "paper": PAPER,
    "authors": PAPER | {"max_epochs": 30, "reg_growth": 1.1},
    "best": PAPER
    | {
        "slices": "auto",
        "quasi": True,
        "stratified": False,
        "optimizer": "adam",
        "learning_rate": 2e-3,
        "schedule": "one-cycle",
        "max_epochs": None,
        "batch_size": None,
        "drop_last": False,
        "validation_size": 1 / 12,
    },
}
r"""What :py:`None` stands for. Where it still is :py:`None`, it follows from the data's size."""

STEPS = 3000
r"""The steps that ``best`` takes at least, so that small data is seen often enough."""

GROWTH_FROM = 11
r"""The epoch, counted from 0, at whose start the weight of the penalty first grows."""

NAMES: dict[str, Any] = {
    "preset": Preset,
    "penalty": Penalty,
    "network": Network,
    "slices": Slices,
    "optimizer": Optimizer,
    "schedule": Schedule,
    "precision": Precision,
}
r"""The closed lists that parameters name from; reconstruction and output have their own check."""

NUMBERS = {"reg_growth": True, "learning_rate": False, "validation_size": True}
r"""The parameters that are finite numbers, and whether they may be 0."""

SWITCHES = ("quasi", "stratified", "drop_last", "linear", "standardize", "conditional")
r"""The parameters that are true or false."""


def check_number(name: str, value: Any, *, zero: bool) -> None:  # noqa: ANN401 - to be judged
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not (number and 0 <= value < math.inf and (zero or value > 0)):
        bound = ">= 0" if zero else "> 0"
        raise ValueError(f"{name} has to be a finite number {bound}, but is {value!r}.")


def check_switch(name: str, value: Any) -> None:  # noqa: ANN401 - to be judged
    if not isinstance(value, bool):
        raise ValueError(f"{name} has to be True or False, but is {value!r}.")


def check_count(name: str, value: Any) -> None:  # noqa: ANN401 - to be judged
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} has to be a whole number >= 1, but is {value!r}.")
