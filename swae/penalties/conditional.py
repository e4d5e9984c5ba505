r"""The sliced-Wasserstein distance of each class to its component of a mixture.

Where the prior is a mixture :math:`q = \sum_c \pi_c q_c` and some samples have labels, the codes
of class :math:`c` can be asked to follow :math:`q_c`, so that decoding :math:`z \sim q_c`
generates that class. Of :math:`N` codes of a batch let :math:`n = \sum_c n_c` have labels. The
penalty is

.. math:: (1 - \alpha) \, SW_p^p(z, q) + \alpha \sum_c \frac{n_c}{n} \, SW_p^p(z_c, q_c) ,
    \qquad \alpha = \max \Big( \frac{n}{N}, \, a \Big) \text{ if } n > 0, \text{ else } 0 ,

a mean of distances, so :math:`\lambda` means what it does for :math:`SW_p^p(z, q)`, which it is
for a batch without labels. With all labels the classes alone are left.

The first term matches the whole batch and not the unlabelled codes alone. A single unlabelled
code says nothing about a law, and where labels are missing for some classes more than for others
the unlabelled codes should not follow :math:`q`, but all together should. With few labels
:math:`n/N` is next to nothing, while the first term does not care which class lies where: so the
labelled codes have at least the share :math:`a` of the penalty.

A class has few codes in a batch: of one code, :math:`SW` to a law is least at the law's mean, so
classes would shrink to points. So each is matched together with its latest codes of earlier
batches, :math:`K = \max(M, n_c)` in all, of which only the batch's have a gradient. The gradient
is taken :math:`K / n_c` times, so that each code is pulled as strongly as in a mean over the
batch's. What is remembered starts as samples of :math:`q_c`.

Of several ranks (:mod:`swae.distributed`) each gathers and remembers the codes of all, and sorts
them along its own directions.
"""

__all__ = ["ConditionalSlicedWasserstein"]

from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..distributed import ALONE, Group, Ranks
from ..priors import Mixture, Prior
from ..projections import Slices
from ..seeding import stream
from ..sliced import SlicedWassersteinLoss, check_tensor, sliced_wasserstein
from ..univariate import Cost, at_least_single, wasserstein_1d
from .queued import check_memory

MEMORY = 64
r"""The earlier codes of each class that are remembered."""


@final
class ConditionalSlicedWasserstein(nn.Module):
    r"""Pulls the codes of each class to a component of a mixture, and all to the mixture.

    Arguments:
        prior: The mixture :math:`q_Z`; label c chooses its component c.
        n_projections: The number of directions :math:`L`.
        p: The exponent :math:`p \geq 1`, or a convex cost of the difference.
        slices: How directions are chosen, see :func:`swae.projections.draw`.
        quasi: Whether the samples of the prior are quasi-random.
        oversampling: The number of samples of the prior for each code.
        memory: The number M of codes of a class that are matched together, at least: those of
            the batch and its latest ones before. 0 remembers none.
        share: The least share a of the penalty that labelled codes have where a batch has some,
            in [0, 1].
        group: The ranks whose codes are matched together, as for
            :class:`swae.sliced.SlicedWassersteinLoss`.

    Raises:
        TypeError: If ``prior`` is no prior.
        ValueError: If the prior has no components, or a setting can't work.

    References:
        | Sliced-Wasserstein Autoencoder (Kolouri et al., 2018), Eq. 16
        | https://arxiv.org/abs/1804.01947
        | Momentum Contrast (He et al., 2020), for the queue of earlier codes
        | https://arxiv.org/abs/1911.05722

    Example:
        >>> from swae import Mixture
        >>> penalty = ConditionalSlicedWasserstein(Mixture.on_circle(3))
        >>> z = torch.rand(5, 2, requires_grad=True)
        >>> penalty(z, torch.tensor([0, 2, 2, -1, -1])).backward()
    """

    takes_labels = True
    recent: Tensor

    def __init__(
        self,
        prior: Prior,
        n_projections: int = 50,
        p: Cost = 2.0,
        slices: Slices = "auto",
        quasi: bool = True,
        oversampling: int = 1,
        memory: int = MEMORY,
        share: float = 0.5,
        group: Group = None,
    ) -> None:
        super().__init__()

        check_memory(memory)
        if not 0 <= share <= 1:
            raise ValueError(f"share has to be in [0, 1], but is {share!r}.")
        self.whole = SlicedWassersteinLoss(
            prior, n_projections, p, slices, quasi, oversampling, group
        )
        if not isinstance(prior, Mixture):
            raise ValueError(
                "Labels choose a component of the prior, so prior has to be a mixture, but is a "
                f"{type(prior).__name__}."
            )
        self.memory = memory
        self.share = share
        self.register_buffer("recent", self.remembered(stream(0, "recent")))

    @property
    def prior(self) -> Mixture:
        r"""The mixture."""

        return self.whole.prior  # type: ignore[return-value]  # as __init__ has seen

    @property
    def group(self) -> Group:
        r"""The ranks whose codes are matched together."""

        return self.whole.group

    def forward(
        self,
        z: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, ""]:
        r"""
        Arguments:
            z: The codes, with shape :math:`(N, d)`.
            labels: The classes, with shape :math:`(N)`: a component each, or -1 for a code
                without a label. :py:`None` if no code has one.
            generator: The source of randomness; torch's global one if :py:`None`.

        Returns:
            The penalty, a scalar, not rooted and not weighted by :math:`\lambda`. In training
            mode the labelled codes are remembered.

        Raises:
            TypeError: If the codes are no floating-point tensor, or the labels no whole numbers.
            ValueError: If a shape does not fit, or the prior has no component for a label.
        """

        self.check(z, labels)
        ranks, generator = self.whole.meet(z, generator, training=self.training)
        labels = of_all(labels, z, ranks)
        with torch.autocast(z.device.type, enabled=False):
            z = at_least_single(z)
            if self.whole.follows_codes and self.training:
                self.whole.follow(z, ranks)
            z = ranks.gather(z)
            value, latest = self.distances(z, labels, self.recent, generator, ranks)
        if self.training:
            self.remember(latest)
        return value

    @torch.no_grad()
    def null(
        self,
        z: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, ""]:
        r"""Computes what the penalty would be if all codes were samples of the prior.

        Arguments:
            z: Codes, of which only the number, dtype and device count.
            labels: Their classes, as for :meth:`forward`.
            generator: The source of randomness; torch's global one if :py:`None`.

        Returns:
            The penalty of samples of the components, as many as there are codes and remembered
            ones. Nothing is remembered.
        """

        self.check(z, labels)
        ranks, generator = self.whole.meet(z, generator, training=self.training)
        labels = of_all(labels, z, ranks)
        dtype = at_least_single(z).dtype
        perfect = self.prior.sample(ranks.rows, generator, device=z.device, dtype=dtype)
        if labels is not None:
            known = labels >= 0
            perfect[known] = self.prior.sample_components(labels[known], generator, dtype=dtype)

        with torch.autocast(z.device.type, enabled=False):
            remembered = self.remembered(generator)
            value, _ = self.distances(perfect, labels, remembered, generator, ranks)
        return value

    def distances(
        self,
        z: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"] | None,
        recent: Float[Tensor, "c m d"],
        generator: torch.Generator | None,
        ranks: Ranks = ALONE,
    ) -> tuple[Float[Tensor, ""], dict[int, Tensor]]:
        r"""Computes the penalty of all ranks' codes, and which are each class's latest."""

        theta, part = ranks.directions(self.whole.directions(z, generator))
        classes = rows_of_classes(labels)
        n = sum(map(len, classes.values()))
        alpha = max(n / len(z), self.share) if n else 0.0

        value = z.new_zeros(())
        if alpha < 1:
            value = value + (1 - alpha) * self.to_whole(z, theta, generator)
        latest: dict[int, Tensor] = {}
        for size, members in by_size(classes, self.memory).items():
            codes = self.latest(z, members, recent, size)
            latest |= dict(zip(members, codes.detach(), strict=True))
            distances = self.to_components(codes, list(members), theta, generator)
            counts = torch.tensor([len(rows) for rows in members.values()]).to(distances)
            mean = alpha / n * (counts * distances).sum()
            # Each code has the gradient that it has in a mean over the batch's n alone.
            pull = alpha / n * (size * distances).sum()
            value = value + mean.detach() + (pull - pull.detach())
        return ranks.total(part * value), latest

    def latest(
        self, z: Tensor, members: dict[int, Tensor], recent: Tensor, size: int
    ) -> Float[Tensor, "c k d"]:
        r"""Gathers the codes of each class, the batch's before those of earlier ones."""

        pool = torch.cat((z, recent.flatten(0, 1).to(z)))
        earlier = len(z) + torch.arange(self.memory, device=z.device)
        rows = [torch.cat((now, earlier + c * self.memory))[:size] for c, now in members.items()]
        return pool[torch.stack(rows)]

    def to_whole(
        self, z: Tensor, theta: Tensor, generator: torch.Generator | None
    ) -> Float[Tensor, ""]:
        r"""Computes :math:`SW_p^p` of all codes to the mixture."""

        s = self.whole
        samples = s.prior.sample(
            s.oversampling * len(z), generator, s.quasi, device=z.device, dtype=z.dtype
        )
        return sliced_wasserstein(z, samples, theta, s.p)

    def to_components(
        self,
        z: Float[Tensor, "c k d"],
        components: list[int],
        theta: Float[Tensor, "d l"],
        generator: torch.Generator | None,
    ) -> Float[Tensor, " c"]:
        r"""Computes :math:`SW_p^p` of the codes of each class to its component."""

        s = self.whole
        c = torch.tensor(components, device=z.device)
        samples = self.prior.sample_components(
            c.repeat_interleave(s.oversampling * z.shape[1]), generator, s.quasi, dtype=z.dtype
        )
        samples = samples.unflatten(0, (len(z), -1))
        return wasserstein_1d(theta.mT @ z.mT, theta.mT @ samples.mT, s.p).mean(dim=-1)

    def remembered(self, generator: torch.Generator | None) -> Float[Tensor, "c m d"]:
        r"""Draws from each component what is remembered of codes that follow it."""

        c = torch.arange(self.prior.components, device=self.prior.means.device)
        samples = self.prior.sample_components(c.repeat_interleave(self.memory), generator)
        return samples.unflatten(0, (len(c), self.memory))

    @torch.no_grad()
    def remember(self, latest: dict[int, Tensor]) -> None:
        r"""Puts the codes of a batch before those of earlier ones, if they are finite."""

        for c, codes in latest.items():
            if codes.isfinite().all():
                self.recent[c] = codes[: self.memory]

    def check(self, z: Tensor, labels: Tensor | None) -> None:
        r"""Refuses codes and labels that do not fit the prior or each other."""

        check_tensor("z", z)
        if labels is None:
            return
        whole = not (
            labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool
        )
        if len(labels) and not whole:  # of none it does not matter
            raise TypeError(f"labels has to hold whole numbers, but is {labels.dtype}.")
        if labels.shape != z.shape[:1]:
            raise ValueError(
                f"labels has to hold one for each of the {len(z)} codes, but has shape "
                f"{tuple(labels.shape)}."
            )
        last = self.prior.components - 1
        strange = labels[(labels < -1) | (labels > last)]
        if len(strange):
            raise ValueError(
                f"labels has to hold components of the prior, 0 to {last}, or -1 for none, but "
                f"holds {int(strange[0])}."
            )

    def extra_repr(self) -> str:
        return f"memory={self.memory}, share={self.share}"


def of_all(labels: Tensor | None, z: Tensor, ranks: Ranks) -> Tensor | None:
    r"""Returns the labels of all ranks' codes; of ranks some of which have none, -1 for theirs."""

    if ranks.group is None:
        return labels
    labels = z.new_full((len(z),), -1, dtype=torch.int64) if labels is None else labels
    return ranks.gather(labels.to(torch.int64))


def rows_of_classes(labels: Tensor | None) -> dict[int, Tensor]:
    r"""Returns the rows of each class that labels hold."""

    if labels is None:
        return {}
    order = labels.argsort(stable=True)
    classes, counts = labels[order].unique_consecutive(return_counts=True)
    rows = order.split(counts.tolist())
    return {c: part for c, part in zip(classes.tolist(), rows, strict=True) if c >= 0}


def by_size(classes: dict[int, Tensor], least: int) -> dict[int, dict[int, Tensor]]:
    r"""Groups classes by the number of codes that they are matched with, for one sort each."""

    groups: dict[int, dict[int, Tensor]] = {}
    for c, rows in classes.items():
        groups.setdefault(max(least, len(rows)), {})[c] = rows
    return groups
