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
gradient, so that such a code pays :math:`W \|z\|^2` here, which leads back.
"""

__all__ = ["LogLikelihood"]

import math
from typing import cast, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..priors import Prior
from ..univariate import at_least_single

WALL = 100.0
r"""The weight W of a code outside the support; ours are all star-shaped around the origin."""


@final
class LogLikelihood(nn.Module):
    r"""Pulls codes to where the prior is dense: the penalty of Eq. 5.

    Arguments:
        prior: The law :math:`q_Z`; it has to have a density.

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

    def __init__(self, prior: Prior) -> None:
        super().__init__()

        if not isinstance(prior, Prior):
            raise TypeError(f"prior has to be a Prior, but is a {type(prior).__name__}.")
        if prior.log_prob(torch.zeros(1, prior.dim)) is None:
            raise ValueError(
                f"The log-likelihood wants a prior with a density, but {type(prior).__name__} "
                "has none; SlicedWassersteinLoss wants samples alone."
            )
        self.prior = prior

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
            :math:`W \|z_n\|^2` for a code outside the support.
        """

        with torch.autocast(z.device.type, enabled=False):
            z = at_least_single(z)
            nats = -cast(Tensor, self.prior.log_prob(z))
            return torch.where(nats < math.inf, nats, WALL * z.square().sum(dim=-1)).mean()
