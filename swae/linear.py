r"""A linear path beside the networks, which starts at PCA.

The best linear autoencoder is known in closed form: with the mean :math:`\mu` of the data, its
:math:`d` principal axes :math:`V` and the deviations :math:`S` along them,
:math:`y = S^{-1} V^\top (x - \mu)` and :math:`\hat x = \mu + V S y`. The whitened codes
:math:`y` are about standard normal in each coordinate, so where the prior's coordinates are
independent, a map :math:`F` of each carries them to it. Networks :math:`f` and :math:`g` then
learn what is not linear,

.. math:: \phi(x) = F \big( S^{-1} V^\top (x - \mu) + f(x) \big) , \qquad
    \psi(z) = \mu + V S F^{-1}(z) + g(z) ,

from :math:`f = g = 0`. For the cube :math:`F(y) = 2 \Phi(y) - 1 = \mathrm{erf}(y / \sqrt 2)`,
which no code leaves; for the standard normal law :math:`F(y) = y`.

It pays where codes are many: at :math:`d = 128` a few thousand images teach a convolutional
network less than PCA has from its first step. It hurts where they are few, for PCA is a valley
that two codes do not climb out of.
"""

__all__ = ["LinearDecoder", "LinearEncoder", "LinearPath", "beside_linear", "start_at_pca_"]

import abc
import math
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from .networks import WEIGHTED
from .priors import Normal, Prior, Uniform

EDGE = 1e-6
r"""How near to the cube's faces a code is taken for its inverse map, 4.9 deviations out."""

NEGLIGIBLE = 1e-6
r"""The share of the largest deviation at which a direction is rounding error."""


class LinearPath(nn.Module, abc.ABC):
    r"""Abstract network beside a linear path.

    Arguments:
        network: The network, :math:`f` or :math:`g`.
        shape: The shape of one sample.
        prior: The law of the codes, :class:`Uniform` or :class:`Normal`.

    Raises:
        ValueError: If the prior has no map :math:`F`.
    """

    mean: Tensor
    axes: Tensor
    deviations: Tensor

    def __init__(self, network: nn.Module, shape: Sequence[int], prior: Prior) -> None:
        super().__init__()

        self.network = network
        self.shape = tuple(shape)
        self.bounded = is_bounded(prior)
        self.register_buffer("mean", torch.zeros(math.prod(shape)))
        self.register_buffer("axes", torch.zeros(math.prod(shape), prior.dim))
        self.register_buffer("deviations", torch.ones(prior.dim))

    @abc.abstractmethod
    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        r"""Adds what the network says to what the linear path does."""


@final
class LinearEncoder(LinearPath):
    r"""The encoder :math:`\phi`, from data with shape :math:`(n, *)` to codes :math:`(n, d)`.

    Example:
        >>> encoder = LinearEncoder(nn.Sequential(nn.Flatten(), nn.Linear(6, 2)), (6,), Uniform(2))
        >>> encoder(torch.rand(5, 6)).shape
        torch.Size([5, 2])
    """

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n d"]:
        with torch.autocast(x.device.type, enabled=False):
            y = (x.flatten(1).to(self.mean.dtype) - self.mean) @ (self.axes / self.deviations)
        y = y + self.network(x)

        return torch.erf(y / math.sqrt(2)) if self.bounded else y


@final
class LinearDecoder(LinearPath):
    r"""The decoder :math:`\psi`, from codes to data; its output is linear.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 6), nn.Unflatten(1, (2, 3)))
        >>> LinearDecoder(network, (2, 3), Uniform(2))(torch.rand(5, 2)).shape
        torch.Size([5, 2, 3])
    """

    def forward(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n ..."]:
        y = z
        if self.bounded:
            y = torch.erfinv(z.clamp(EDGE - 1, 1 - EDGE)) * math.sqrt(2)
        with torch.autocast(z.device.type, enabled=False):
            linear = self.mean + y.to(self.mean.dtype) @ (self.axes * self.deviations).mT

        return linear.unflatten(1, self.shape) + self.network(z)


def is_bounded(prior: Prior) -> bool:
    r"""Tells the cube from the normal law, the two that have a map :math:`F`."""

    if not isinstance(prior, Uniform | Normal):
        raise ValueError(
            "linear wants the prior uniform or normal, whose coordinates are independent, "
            f"but the prior is {type(prior).__name__}."
        )
    return isinstance(prior, Uniform)


def beside_linear(
    encoder: nn.Module, decoder: nn.Module, shape: Sequence[int], prior: Prior
) -> tuple[LinearEncoder, LinearDecoder]:
    r"""Puts two networks beside a linear path, which is zero until :func:`start_at_pca_`.

    Arguments:
        encoder: The network :math:`f`.
        decoder: The network :math:`g`.
        shape: The shape of one sample.
        prior: The law of the codes.

    Returns:
        The encoder and the decoder.

    Raises:
        ValueError: If the prior has no map :math:`F`.
    """

    return LinearEncoder(encoder, shape, prior), LinearDecoder(decoder, shape, prior)


@torch.no_grad()
def start_at_pca_(
    encoder: LinearEncoder, decoder: LinearDecoder, x: Float[Tensor, "n ..."], seed: int = 0
) -> None:
    r"""Puts the linear path in place where PCA of data has it, and :math:`f` and :math:`g` to 0.

    Arguments:
        encoder: The encoder.
        decoder: The decoder.
        x: The data, with shape :math:`(n, *)`.
        seed: The seed of the randomised decomposition.

    Raises:
        ValueError: If the data have fewer samples or values than the codes dimensions, or vary in
            fewer.
    """

    from sklearn.decomposition import PCA  # a second to import, for this alone

    d = encoder.axes.shape[1]
    flat = x.flatten(1).numpy(force=True)
    if min(flat.shape) < d:
        raise ValueError(
            f"linear wants at least latent_dim = {d} samples and values, but there are "
            f"{flat.shape[0]} samples of {flat.shape[1]} values."
        )
    with np.errstate(invalid="ignore"):  # data that do not vary at all
        pca = PCA(d, svd_solver="randomized", random_state=seed).fit(flat)
    deviations = pca.explained_variance_**0.5
    if not deviations.min() > NEGLIGIBLE * deviations.max():
        raise ValueError(f"linear wants data that vary in latent_dim = {d} directions or more.")
    for module in (encoder, decoder):
        module.mean.copy_(torch.from_numpy(pca.mean_))
        module.axes.copy_(torch.from_numpy(pca.components_.T.copy()))
        module.deviations.copy_(torch.from_numpy(deviations))
        silence_(module.network)


def silence_(network: nn.Module) -> None:
    r"""Sets a network's last layer to zero; what is before it learns from the second step on."""

    layers = [m for m in network.modules() if isinstance(m, WEIGHTED)]
    for parameter in layers[-1].parameters():
        nn.init.zeros_(parameter)
