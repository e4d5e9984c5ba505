r"""The log-likelihood of the codes, the alternative that the paper sets aside (Eq. 5).

Where the prior has a density :math:`q_Z`, codes can be pulled to it by

.. math:: \min_{\phi, \psi} \; \frac{1}{M} \sum_{m=1}^M c \big( x_m, \psi(\phi(x_m)) \big)
    - \lambda \, \frac{1}{M} \sum_{m=1}^M \log q_Z \big( \phi(x_m) \big) .

It asks each code for itself whether it lies where the prior is dense, and never the codes
together whether they lie as the prior does. Its minimum is not :math:`\phi(x) \sim q_Z` but all
codes at the mode of :math:`q_Z`: the cross-entropy
:math:`-\mathbb{E}_{z \sim p} \log q_Z(z) = H(p) + KL(p \,\|\, q_Z)` rewards a small entropy of
the codes' law :math:`p` as much as a small divergence. On the flat part of a density, as
everywhere in the cube, it says nothing at all; outside the support it is infinite and has no
gradient. There a code pays :math:`C + W \|z - c\|^2` here, which leads back: with the prior's
centre :math:`c`, around which a convex support is star-shaped, and more than codes inside pay.
"""

__all__ = ["LogLikelihood"]

import math
from typing import cast, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..distributed import Group, check_group, mean_of_all, meet, together
from ..priors import Prior
from ..seeding import stream
from ..univariate import at_least_single

WALL = 100.0
r"""The weight W of a code outside the support."""

PROBES = 256
r"""The samples of the prior whose mean is its centre and whose dearest is C."""


@final
class LogLikelihood(nn.Module):
    r"""Pulls codes to where the prior is dense: the penalty of Eq. 5.

    Arguments:
        prior: The law :math:`q_Z`; it has to have a density.
        group: The ranks over whose codes the mean is taken, as for
            :class:`swae.sliced.SlicedWassersteinLoss`.

    Raises:
        TypeError: If ``prior`` is no prior.
        ValueError: If it has no density.

    References:
        | Sliced-Wasserstein Autoencoder (Kolouri et al., 2018), Eq. 5
        | https://arxiv.org/abs/1804.01947

    Example:
        >>> from swae import Normal
        >>> LogLikelihood(Normal(2))(torch.zeros(5, 2))
        tensor(1.8379)
    """

    centre: Tensor
    dearest: Tensor

    def __init__(self, prior: Prior, group: Group = None) -> None:
        super().__init__()

        check_group(group)
        if not isinstance(prior, Prior):
            raise TypeError(f"prior has to be a Prior, but is a {type(prior).__name__}.")
        probes = prior.sample(PROBES, stream(0, "likelihood"))
        densities = prior.log_prob(probes)
        if densities is None:
            raise ValueError(
                f"The log-likelihood wants a prior with a density, but {type(prior).__name__} "
                "has none; SlicedWassersteinLoss wants samples alone."
            )
        self.prior = prior
        self.group: Group = group
        self.register_buffer("centre", probes.mean(dim=0), persistent=False)
        self.register_buffer("dearest", -densities.min(), persistent=False)

    def forward(
        self,
        z: Float[Tensor, "n d"],
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, ""]:
        r"""
        Arguments:
            z: The codes, with shape :math:`(N, d)`.
            generator: Not used: nothing is drawn.

        Returns:
            :math:`-\frac{1}{N} \sum_n \log q_Z(z_n)` in nats, a scalar; with
            :math:`C + W \|z_n - c\|^2` for a code outside the support.
        """

        with torch.autocast(z.device.type, enabled=False):
            z, centre = at_least_single(z), self.centre.to(z)
            inside = cast(Tensor, self.prior.log_prob(z)) > -math.inf
            # Asked again without the codes outside, whose gradient would be 0 times infinity.
            nats = -cast(Tensor, self.prior.log_prob(torch.where(inside[:, None], z, centre)))
            wall = self.dearest.to(z) + WALL * (z - centre).square().sum(dim=-1)
            mean = torch.where(inside, nats, wall).mean()
            group = meet(self.group, together=together(self.training, z))
            return mean_of_all(mean[None], len(z), group)[0][0]
