r"""The weight of the penalty, steered.

Eq. 16 has a weight :math:`\lambda` that nobody can tell in advance: it compares a reconstruction
cost with a distance between codes, and the best one differs a thousandfold between data sets. What
can be told is how near codes should come to the prior. Even perfect codes, independent samples of
the prior, do not score 0 in a batch of :math:`M`, but the null :math:`N \sim 1/M`. So the problem
is stated with a bound in place of a weight,

.. math:: \min_{\phi, \psi} \; R(\phi, \psi) \quad \text{subject to} \quad
    P(\phi) \leq \rho N , \qquad \rho > 1 ,

with the reconstruction :math:`R`, the penalty :math:`P` and a stated multiple :math:`\rho`. Its
Lagrangian :math:`R + \lambda (P - \rho N)` is Eq. 16 but for a constant, and :math:`\lambda` is a
multiplier, which dual ascent finds during training: it rises while the penalty is above the bound
and falls below it. A step of training is a step of

.. math:: \log \lambda \leftarrow \log \lambda + \eta \, \Big[
    \frac{\bar{P} - \rho \bar{N}}{(\rho - 1) \bar{N}} \Big]_{-1}^{1} .

- **Logarithm.** It keeps :math:`\lambda` positive and takes as long for a factor of ten anywhere.
  So nothing here depends on the scale of the costs: a reconstruction that is multiplied by
  :math:`c` is trained with :math:`c \lambda`.
- **Room.** What of :math:`P` is above the null is the codes' doing, and only that answers to
  :math:`\lambda`. Measured in the room :math:`(\rho - 1) N` that the bound leaves, the error is
  -1 at the null, 0 at the bound and the loop's gain about the same for each :math:`\rho`. At
  :math:`\rho = 1` there is no room, and :math:`\lambda` would grow for ever.
- **Running means.** :math:`\bar{P}` and :math:`\bar{N}` are means over about the last :math:`T`
  batches, as a penalty varies by a third from batch to batch. A batch counts as its
  size, which makes the last, smaller one of an epoch, with its larger null, one like the others;
  and a penalty counts as at most :math:`4 \rho \bar{N}`, so that the first steps, whose codes lie
  anywhere, are soon forgotten.
- **Pace.** At most :math:`\eta` a step: a factor of ten takes 1150 steps at least, and near the
  bound the loop settles in some :math:`1 / \eta` steps. A faster one winds up while the first
  codes move to the prior, which takes its time with any weight.
- **Learning rate.** An optimiser that is normalised, as Adam, follows :math:`\lambda` at each
  rate. Where a schedule lets the rate go to zero the penalty falls a little, as the noise of the
  weights does, and :math:`\lambda` with it.
- **Start.** At the first step :math:`\lambda P_0 = R_0 / 10`: the penalty weighs a tenth of the
  reconstruction.
- **Limit.** The penalty never weighs more than the first batch's reconstruction cost did:
  :math:`\lambda \bar{P} \leq R_0`. Otherwise an encoder that can't reach :math:`\rho N`
  would be driven to forget the data.

The bound is one of training batches. Codes whose penalty is :math:`\rho N` at batches of
:math:`M` are off by :math:`(\rho - 1) N`, which is the null of :math:`M / (\rho - 1)` samples, and
so many held-out ones tell them from the prior. With quasi-random samples of the prior, whose own
noise adds nothing to the null, :math:`n` held-out samples of the training population have a ratio
of about :math:`1 + (\rho - 1) n / 2M` to the null of :mod:`swae.metrics`, where both samples are
independent: 5 for :math:`n = 10000, M = 125` and :math:`\rho = 1.1`.

The running means and :math:`\log \lambda` are buffers: they are stored with the weights, and a
run that is resumed goes on exactly.
"""

__all__ = ["Steering", "check_reg_weight", "multiple_of"]

import math
from numbers import Real
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .spelling import nearest

MULTIPLE = 1.1
r"""What ``auto`` stands for: the multiple :math:`\rho` of the null."""

PACE = 0.002
r"""The most that :math:`\log \lambda` moves in a step, :math:`\eta`."""

START = 0.1
r"""What the penalty weighs at the first step, in reconstructions."""

MEMORY = 50
r"""The batches :math:`T` of the running means."""

LOWEST, HIGHEST = 1e-6, 1e6
r"""Between what :math:`\lambda` stays at any rate."""


WANTED = "a finite number >= 0"
r"""What a weight may be besides ``auto``."""


@final
class Steering(nn.Module):
    r"""Finds the weight of a penalty during training.

    Arguments:
        multiple: The multiple :math:`\rho > 1` of its null that the penalty is led to.

    Raises:
        ValueError: If the multiple is not a finite number above 1.

    Example:
        >>> steering = Steering(multiple=1.5)
        >>> high, null = torch.tensor(0.3), torch.tensor(0.1)
        >>> first = float(steering.step(torch.tensor(0.6), high, null, n=100))
        >>> second = float(steering.step(torch.tensor(0.6), high, null, n=100))
        >>> second > first
        True
    """

    log_weight: Float[Tensor, ""]
    first: Float[Tensor, ""]
    penalty: Float[Tensor, ""]
    null: Float[Tensor, ""]
    steps: Int[Tensor, ""]

    def __init__(self, multiple: float = MULTIPLE) -> None:
        super().__init__()

        check_multiple(multiple)
        self.multiple = float(multiple)
        for name in ("log_weight", "first", "penalty", "null"):
            self.register_buffer(name, torch.zeros(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @property
    def weight(self) -> Float[Tensor, ""]:
        r"""The weight :math:`\lambda` as it stands; 1 before the first step."""

        return self.log_weight.exp()

    @property
    def ratio(self) -> Float[Tensor, ""]:
        r"""The running penalty over its running null, which is led to the multiple."""

        return self.penalty / self.null

    @torch.no_grad()
    def step(
        self,
        reconstruction: Float[Tensor, ""],
        penalty: Float[Tensor, ""],
        null: Float[Tensor, ""],
        n: int | Tensor = 1,
    ) -> Float[Tensor, ""]:
        r"""Moves the weight after a batch, unless one of its numbers is not finite.

        Nothing waits for the device: the weight stays a tensor.

        Arguments:
            reconstruction: The batch's reconstruction cost :math:`R`.
            penalty: Its penalty :math:`P`, unweighted.
            null: What the penalty is for samples of the prior, as many as the batch has.
            n: The number of samples of the batch.

        Returns:
            The new weight.
        """

        r, p, null = (n * v.to(self.penalty) for v in (reconstruction, penalty, null))
        share = 1 / (self.steps + 1).clamp(max=MEMORY)
        mean_null = self.null.lerp(null, share)
        mean_p = self.penalty.lerp(torch.minimum(p, 4 * self.multiple * mean_null), share)

        is_first = self.steps == 0
        first = torch.where(is_first, torch.where(r == 0, p, r.abs()), self.first)
        log_weight = torch.where(is_first, logarithm(START * first, p), self.log_weight)
        log_weight = log_weight + PACE * self.error(mean_p, mean_null)
        log_weight = log_weight.clamp(min=math.log(LOWEST))
        log_weight = torch.minimum(log_weight, logarithm(first, mean_p))

        sound = (r + p + null).isfinite()
        for buffer, value in (
            (self.first, first),
            (self.penalty, mean_p),
            (self.null, mean_null),
            (self.log_weight, log_weight),
            (self.steps, self.steps + 1),
        ):
            buffer.copy_(torch.where(sound, value, buffer))
        return self.weight

    def error(self, penalty: Float[Tensor, ""], null: Float[Tensor, ""]) -> Float[Tensor, ""]:
        r"""How far a penalty is from the bound, in the room above the null, within [-1, 1]."""

        room = ((self.multiple - 1) * null).clamp(min=torch.finfo(null.dtype).tiny)
        return ((penalty - self.multiple * null) / room).clamp(-1, 1)

    def extra_repr(self) -> str:
        return f"multiple={self.multiple:g}"


def logarithm(a: Float[Tensor, ""], b: Float[Tensor, ""]) -> Float[Tensor, ""]:
    r"""Computes :math:`\log(a / b)` within the limits of a weight, also where either is 0."""

    return (a.log() - b.log()).nan_to_num(nan=0.0).clamp(math.log(LOWEST), math.log(HIGHEST))


def check_multiple(multiple: object) -> None:
    if not isinstance(multiple, Real) or not 1 < float(multiple) < math.inf:
        raise ValueError(
            "The multiple of the null that a weight is steered to has to be a finite number > 1, "
            f"but is {multiple!r}: even samples of the prior score 1."
        )


def multiple_of(reg_weight: Any) -> float | None:  # noqa: ANN401 - to be judged
    r"""Returns the multiple of the null that ``auto`` or ``auto:1.5`` states.

    Arguments:
        reg_weight: The weight of a penalty, a number or a word.

    Returns:
        The multiple; :py:`None` for a number, which is no word.

    Raises:
        ValueError: If a word is another one, or its multiple is no number above 1.

    Example:
        >>> multiple_of("auto:1.5"), multiple_of(10.0)
        (1.5, None)
    """

    if not isinstance(reg_weight, str):
        return None
    word, colon, number = reg_weight.partition(":")
    if word != "auto":
        hint = nearest(word, ["auto"]) or " 'auto' and 'auto:1.5' find it."
        raise ValueError(f"reg_weight has to be {WANTED}, but is {reg_weight!r}.{hint}")
    if not colon:
        return MULTIPLE
    try:
        multiple = float(number)
        check_multiple(multiple)
    except ValueError:
        raise ValueError(
            "reg_weight has to be 'auto', or 'auto:' and a finite number > 1 as 'auto:1.5', but "
            f"is {reg_weight!r}: even samples of the prior have 1 times the null."
        ) from None
    return multiple


def check_reg_weight(value: Any) -> None:  # noqa: ANN401 - to be judged
    r"""Refuses what is no weight, in words or numbers."""

    if multiple_of(value) is not None:
        return
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not 0 <= float(value) < math.inf:
        raise ValueError(f"reg_weight has to be {WANTED}, but is {value!r}.")
