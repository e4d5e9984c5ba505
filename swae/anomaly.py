r"""How normal a sample is: what a model of normal data says of one.

A sample is anomalous in two ways. The model may not know how to give it back: its squared error
:math:`e(x) = \| x - \psi(\phi(x)) \|^2 / n` is large. Or its code may lie where no code should:
its distance to the prior, as that to the nearest of many samples of it,

.. math:: \delta(x) = \min_k \| \phi(x) - z_k \| , \qquad z_k \sim q_Z ,

is large. The two are counted in standard deviations above their mean on the training data,

.. math:: s(x) = - \left( \frac{e(x) - \mu_e}{\sigma_e}
    + \frac{\delta(x) - \mu_\delta}{\sigma_\delta} \right) ,

so that their sum needs no weight; higher is more normal, as scikit-learn has it.
"""

__all__ = ["PROBES", "Typical", "distances", "nearest_to", "normality", "row_errors", "typical"]

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from .autoencoder import Autoencoder
from .data import to_float

PROBES = 4096
r"""The samples of the prior that a code's distance to it is measured by."""


class Typical(NamedTuple):
    r"""What is typical of the training data.

    Arguments:
        error: The mean squared error.
        error_deviation: Its standard deviation over samples.
        distance: The mean distance of a code to the prior.
        distance_deviation: Its standard deviation over samples.
    """

    error: float
    error_deviation: float
    distance: float
    distance_deviation: float


def row_errors(
    model: Autoencoder, x: Float[Tensor, "n ..."], z: Float[Tensor, "n d"]
) -> Float[Tensor, " n"]:
    r"""Returns each sample's squared error on the scale of the loss, a mean over its values.

    Arguments:
        model: The model, in eval mode.
        x: The samples, with shape :math:`(n, *)`.
        z: Their codes, with shape :math:`(n, d)`.

    Returns:
        The errors, with shape :math:`(n)`.
    """

    y_hat = model.activate(model.logits(z))
    return (model.scaled(x) - y_hat).square().flatten(1).mean(dim=1)


def nearest_to(samples: Float[Tensor, "k d"]) -> NearestNeighbors:
    r"""Prepares the search for the nearest of the prior's samples, with shape (k, d)."""

    return NearestNeighbors(n_neighbors=1).fit(samples.double().numpy(force=True))


def distances(z: Float[Tensor, "n d"], prior: NearestNeighbors) -> Float[Tensor, " n"]:
    r"""Returns each code's distance to the nearest of the prior's samples, with shape (n)."""

    found, _ = prior.kneighbors(z.double().numpy(force=True))
    return torch.from_numpy(found[:, 0]).to(z)


def typical(model: Autoencoder, parts: Iterable[Tensor], prior: NearestNeighbors) -> Typical:
    r"""Measures what is typical of data.

    Arguments:
        model: The model, in eval mode.
        parts: The data in parts, as :meth:`swae.data.Samples.chunks` gives them.
        prior: The search for the nearest sample of the prior, see :func:`nearest_to`.

    Returns:
        Means and deviations; a deviation of zero, as of one sample, is given as 1.
    """

    pairs = [measured(model, to_float(part), prior) for part in parts]
    both = torch.cat(pairs, dim=1).double().cpu()
    deviations = both.std(dim=1, correction=0)
    deviations = torch.where(deviations > 0, deviations, 1.0)
    error, distance = both.mean(dim=1).tolist()
    return Typical(error, float(deviations[0]), distance, float(deviations[1]))


def measured(
    model: Autoencoder, x: Float[Tensor, "n ..."], prior: NearestNeighbors
) -> Float[Tensor, "2 n"]:
    r"""Returns errors and distances of samples."""

    x = x.to(next(model.parameters()).device)
    z = model.encode(x)
    return torch.stack((row_errors(model, x, z), distances(z, prior)))


def normality(
    model: Autoencoder, x: Float[Tensor, "n ..."], prior: NearestNeighbors, of: Typical
) -> Float[Tensor, " n"]:
    r"""Computes how normal samples are.

    Arguments:
        model: The model, in eval mode.
        x: The samples, with shape :math:`(n, *)`.
        prior: The search for the nearest sample of the prior, see :func:`nearest_to`.
        of: What is typical.

    Returns:
        The scores :math:`s(x)`, with shape :math:`(n)`; higher is more normal.
    """

    error, distance = measured(model, x, prior)
    return -(
        (error - of.error) / of.error_deviation + (distance - of.distance) / of.distance_deviation
    )
