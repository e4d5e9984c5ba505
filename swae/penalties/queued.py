r"""The sliced-Wasserstein distance of a batch and the latest codes before it.

A batch of few codes has much noise of its own: samples of the prior themselves have
:math:`SW_p^p \sim 1/n`, and a batch of :math:`n` that is pulled to the prior's quantiles, one code
each, is pulled narrower than the prior. Where a loop can't have more codes in a step, because
data come in so few rows at a time and the weights move after each, the latest codes of earlier
steps can stand beside the batch's,

.. math:: SW_p^p(z \cup z', q) , \qquad |z \cup z'| = K = \max(M, n) ,

of which only the batch's have a gradient. It is taken :math:`K / n` times, so that each code is
pulled as strongly as in a mean over the batch's, and :math:`\lambda` weighs it against the
reconstruction as ever.

What is remembered is stale: codes of weights that have moved since. While the encoder moves fast,
a batch answers to where its predecessors were, and a queue can overshoot. Where all the rows of a
step are there and only the activations don't fit the memory, :mod:`swae.accumulation` has the
gradient of the large batch and nothing that is stale.

The queue starts as samples of :math:`q`. It is a buffer: stored with the weights, so that a run
goes on exactly.

Of several ranks (:mod:`swae.distributed`) each gathers and remembers the codes of all, so that
:math:`n` counts those of the whole batch, and the queue is one process's on every rank.
"""

__all__ = ["QueuedSlicedWasserstein", "check_memory", "newest", "pulled"]

from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..distributed import Group, Ranks
from ..priors import Prior
from ..projections import Slices
from ..seeding import stream
from ..sliced import SlicedWassersteinLoss, check_tensor, independent, sliced_wasserstein
from ..univariate import Cost, at_least_single


@final
class QueuedSlicedWasserstein(nn.Module):
    r"""Pulls codes to a prior, seen together with the latest codes before them.

    Arguments:
        prior: The law :math:`q_Z` that the codes are pulled to.
        memory: The number M of codes that are matched together, at least: those of the batch and
            the latest before. 0 remembers none.
        n_projections: The number of directions :math:`L`.
        p: The exponent :math:`p \geq 1`, or a convex cost of the difference.
        slices: How directions are chosen, see :func:`swae.projections.draw`.
        quasi: Whether the samples of the prior are quasi-random.
        oversampling: The number of samples of the prior for each code.
        group: The ranks whose codes are matched together, as for
            :class:`swae.sliced.SlicedWassersteinLoss`.

    Raises:
        TypeError: If ``prior`` is no prior, or ``group`` no process group.
        ValueError: If a setting can't work.

    References:
        | Sliced-Wasserstein Autoencoder (Kolouri et al., 2018), Eq. 16
        | https://arxiv.org/abs/1804.01947
        | Momentum Contrast (He et al., 2020), for the queue of earlier codes
        | https://arxiv.org/abs/1911.05722

    Example:
        >>> from swae import Uniform
        >>> penalty = QueuedSlicedWasserstein(Uniform(2), memory=256)
        >>> z = torch.rand(8, 2, requires_grad=True)
        >>> penalty(z).backward()
    """

    recent: Tensor

    def __init__(
        self,
        prior: Prior,
        memory: int = 256,
        n_projections: int = 50,
        p: Cost = 2.0,
        slices: Slices = "auto",
        quasi: bool = True,
        oversampling: int = 1,
        group: Group = None,
    ) -> None:
        super().__init__()

        check_memory(memory)
        self.whole = SlicedWassersteinLoss(
            prior, n_projections, p, slices, quasi, oversampling, group
        )
        self.memory = memory
        self.register_buffer("recent", prior.sample(memory, stream(0, "recent")))

    @property
    def prior(self) -> Prior:
        r"""The law that codes are pulled to."""

        return self.whole.prior

    @property
    def group(self) -> Group:
        r"""The ranks whose codes are matched together."""

        return self.whole.group

    def forward(
        self, z: Float[Tensor, "n d"], generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        r"""
        Arguments:
            z: The codes, with shape :math:`(n, d)`. Of several ranks each has its own.
            generator: The source of randomness, as for
                :meth:`swae.sliced.SlicedWassersteinLoss.forward`.

        Returns:
            :math:`SW_p^p` of these and the latest codes to the prior, a scalar, not rooted and
            not weighted by :math:`\lambda`. In training mode the codes are remembered.

        Raises:
            TypeError: If the codes are no floating-point tensor.
            ValueError: If the codes' shape is not :math:`(n, d)`, or ranks have generators in
                different states.
        """

        check_tensor("z", z)
        ranks, generator = self.whole.meet(z, generator, training=self.training)
        with torch.autocast(z.device.type, enabled=False):
            z = at_least_single(z)
            if self.whole.follows_codes and self.training:
                self.whole.follow(z, ranks)
            z = ranks.gather(z)
            codes = newest(z, self.recent, self.memory)
            # The gradient is that of the batch's codes alone.
            value = pulled(self.distance(codes, generator, ranks), len(codes) / len(z))
        if self.training:
            self.remember(z)
        return value

    @torch.no_grad()
    def null(
        self,
        z: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, ""]:
        r"""Draws what the penalty is if all codes, remembered ones too, are samples of the prior.

        Arguments:
            z: Codes, of which only the number, dtype and device count.
            labels: Not used: the prior has no classes.
            generator: The source of randomness; torch's global one if :py:`None`.

        Returns:
            One draw of the null value. Nothing is remembered.
        """

        check_tensor("z", z)
        ranks, generator = self.whole.meet(z, generator, training=self.training)
        with torch.autocast(z.device.type, enabled=False):
            perfect = independent(self.prior).sample(
                max(self.memory, ranks.rows),
                generator,
                device=z.device,
                dtype=at_least_single(z).dtype,
            )
            return self.distance(perfect, generator, ranks)

    def distance(
        self, codes: Float[Tensor, "n d"], generator: torch.Generator | None, ranks: Ranks
    ) -> Float[Tensor, ""]:
        r"""Computes the distance of codes that all ranks have, sharing out the directions."""

        s = self.whole
        theta, share = ranks.directions(s.directions(codes, generator))
        samples = s.prior.sample(
            s.oversampling * len(codes), generator, s.quasi, device=codes.device, dtype=codes.dtype
        )
        return ranks.total(share * sliced_wasserstein(codes, samples, theta, s.p))

    @torch.no_grad()
    def remember(self, z: Float[Tensor, "n d"]) -> None:
        r"""Puts the codes of a batch before those of earlier ones, if they are finite."""

        latest = newest(z, self.recent, self.memory)[: self.memory].to(self.recent)
        self.recent.copy_(torch.where(z.isfinite().all(), latest, self.recent))

    def extra_repr(self) -> str:
        return f"memory={self.memory}"


def newest(
    z: Float[Tensor, "n d"], recent: Float[Tensor, "m d"], size: int
) -> Float[Tensor, "k d"]:
    r"""Returns the codes of a batch and after them so many of the latest that these are a size."""

    return torch.cat((z, recent.to(z)[: max(0, size - len(z))]))


def pulled(value: Tensor, factor: float | Tensor) -> Tensor:
    r"""Returns a value as it is, with so many times its gradient.

    Example:
        >>> x = torch.tensor(3.0, requires_grad=True)
        >>> y = pulled(x**2, 10)
        >>> float(y.detach()), torch.autograd.grad(y, x)
        (9.0, (tensor(60.),))
    """

    pull = factor * value
    return value.detach() + (pull - pull.detach())


def check_memory(memory: object) -> None:
    if not isinstance(memory, int) or isinstance(memory, bool) or memory < 0:
        raise ValueError(f"memory has to be a whole number >= 0, but is {memory!r}.")
