r"""How good a model is, on data that it was not trained on.

Reconstruction is measured by means over pixels: cross-entropy, :math:`L_1`, squared error, and
the peak signal-to-noise ratio of the latter,

.. math:: \mathrm{PSNR} = - 10 \log_{10} \mathrm{MSE} \quad \text{(dB, for data in [0, 1])} .

Where a model standardises its data, errors are those of the standardised values: the squared
error is then the share of the variance that is lost.

The match of codes and prior is :math:`SW_2^2`, a number without a scale. So its null value
stands beside it: the same between two independent samples of the prior, of the same size and
along the same directions. A ratio of 1 is a perfect match.

One sample of the prior is itself off by about the null. So ten are drawn, each for a tenth of the
directions, and both figures are means over them.

In high dimension random directions see little: codes that fill half of the dimensions score
about as the cube does. So the same is measured along the coordinate axes and along the codes'
principal directions, each with its null, and the share of codes outside the prior's support is
counted. Principal directions are chosen by the codes, as the ones along which they vary most and
least: a perfect sample scores far more than the null along directions that know nothing of it (6
times at d = 128, n = 1000). So there the null is that of a sample along its own ones.
"""

__all__ = ["Evaluation", "Match", "evaluate", "filled", "match_prior", "reconstruction_errors"]

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from .autoencoder import Autoencoder
from .data import to_float
from .faults import point
from .priors import Prior
from .projections import iid
from .seeding import stream
from .shards import Rows
from .sliced import sliced_wasserstein

DRAWS = 10
r"""The samples of the prior that a distance is averaged over."""


class Match(NamedTuple):
    r"""How far codes are from a prior; distances are :math:`SW_2^2`, not rooted.

    Arguments:
        sw2: Along random directions.
        sw2_null: The same between two samples of the prior.
        sw2_axes: Along the coordinate axes.
        sw2_axes_null: The same between two samples of the prior.
        sw2_principal: Along the principal directions of the codes.
        sw2_principal_null: The same between two samples of the prior, along the principal
            directions of the first.
        outside: The share of codes outside the prior's support; :py:`None` if it is not known.
    """

    sw2: float
    sw2_null: float
    sw2_axes: float
    sw2_axes_null: float
    sw2_principal: float
    sw2_principal_null: float
    outside: float | None


class Evaluation(NamedTuple):
    r"""Reconstruction and match of n held-out samples.

    Arguments:
        n: The number of samples.
        bce: The cross-entropy in nats, a mean over pixels; :py:`None` for a linear output or
            data outside [0, 1].
        l1: The mean absolute error.
        mse: The mean squared error.
        psnr: The peak signal-to-noise ratio in dB; :py:`None` without any error, and for
            standardised data, which have no peak.
        match: The match of codes and prior.
    """

    n: int
    bce: float | None
    l1: float
    mse: float
    psnr: float | None
    match: Match

    def flat(self) -> dict[str, float | None]:
        r"""Returns all numbers by name, with the ratio of SW2 to its null."""

        match = self.match._asdict()
        ratio = self.match.sw2 / self.match.sw2_null if self.match.sw2_null > 0 else None
        return {
            "n": self.n,
            **{name: getattr(self, name) for name in ("bce", "l1", "mse", "psnr")},
            **match,
            "sw2_ratio": ratio,
        }


@torch.no_grad()
def evaluate(
    model: Autoencoder,
    x: Tensor | Rows,
    prior: Prior,
    *,
    seed: int = 0,
    n_projections: int = 1000,
    batch_size: int = 1000,
) -> Evaluation:
    r"""Evaluates a model in eval mode and float32.

    Arguments:
        model: The model.
        x: The data, uint8 or floating-point, with shape :math:`(n, *)`, or samples of it, in
            shards too.
        prior: The law that the codes should follow; it is drawn independently.
        seed: The seed of directions and samples.
        n_projections: The number of random directions.
        batch_size: The number of samples that are encoded at once.

    Returns:
        The figures, over all n samples.

    Raises:
        ValueError: If there is no data.

    Example:
        >>> from swae import SlicedWassersteinLoss, Uniform
        >>> from swae.networks import build
        >>> prior = Uniform(2)
        >>> model = Autoencoder(*build((1, 8, 8), 2), SlicedWassersteinLoss(prior))
        >>> evaluate(model, torch.rand(20, 1, 8, 8), prior).n
        20
    """

    if len(x) == 0:
        raise ValueError("x has to hold at least one sample, but is empty.")

    device = next(model.parameters()).device
    errors: list[list[float]] = []

    def codes() -> Iterator[Tensor]:
        for part in x.split(batch_size) if isinstance(x, Tensor) else x.chunks(batch_size):
            point("evaluate")
            batch = to_float(part).to(device)
            z = model.encode(batch)
            y, logits = model.scaled(batch), model.logits(z)
            errors.append((len(batch) * reconstruction_errors(y, logits, model.output)).tolist())
            yield z

    with evaluating(model), torch.autocast(device.type, enabled=False):
        z = filled(codes(), len(x))
    total = torch.tensor(errors, dtype=torch.float64).sum(dim=0)
    bce, l1, mse = (total / len(x)).tolist()
    match = match_prior(z, prior, seed=seed, n_projections=n_projections)

    return Evaluation(
        n=len(x),
        bce=None if math.isnan(bce) else bce,
        l1=l1,
        mse=mse,
        psnr=-10 * math.log10(mse) if mse > 0 and model.scaling is None else None,
        match=match,
    )


def filled(parts: Iterable[Tensor], n: int) -> Tensor:
    r"""Joins parts that have n rows together, on the CPU, each as it comes.

    The place of all is taken first: were parts kept beside what each is computed in, their places
    would lie between, where an allocator can use what is freed for nothing larger.

    Example:
        >>> filled(iter([torch.ones(2, 3), torch.zeros(1, 3)]), 3).shape
        torch.Size([3, 3])
    """

    joined, at = torch.empty(0), 0
    for part in parts:
        if at == 0:
            joined = torch.empty(n, *part.shape[1:], dtype=part.dtype)
        joined[at : at + len(part)] = part
        at += len(part)
    return joined


def reconstruction_errors(x: Tensor, logits: Tensor, output: str) -> Float[Tensor, "3"]:
    r"""Computes cross-entropy, absolute and squared error, means in float64 over a batch.

    Arguments:
        x: The data, with shape :math:`(n, *)`.
        logits: The decoder's result for it.
        output: The output's activation; only ``sigmoid`` has a cross-entropy.

    Returns:
        The three means; NaN for a cross-entropy that does not exist.
    """

    x, logits = x.cpu().double(), logits.cpu().double()  # not every device has float64
    bounded = output == "sigmoid" and bool(((x >= 0) & (x <= 1)).all())
    x_hat = logits.sigmoid() if output == "sigmoid" else logits
    bce = F.binary_cross_entropy_with_logits(logits, x) if bounded else x.new_tensor(math.nan)

    return torch.stack((bce, F.l1_loss(x_hat, x), F.mse_loss(x_hat, x)))


@torch.no_grad()
def match_prior(
    z: Float[Tensor, "n d"], prior: Prior, *, seed: int = 0, n_projections: int = 1000
) -> Match:
    r"""Measures how far codes are from a prior.

    Arguments:
        z: The codes, with shape :math:`(n, d)`.
        prior: The prior; it is drawn independently, n samples and n more for the null, anew for
            each tenth of the directions.
        seed: The seed of directions and samples.
        n_projections: The number of random directions.

    Returns:
        The distances beside their null values.

    Example:
        >>> from swae import Uniform
        >>> match = match_prior(Uniform(2).sample(1000), Uniform(2))
        >>> match.sw2 < 10 * match.sw2_null
        True
    """

    z = z.float().cpu()
    n, d = z.shape
    random = iid(d, n_projections, stream(seed, "metrics", "directions"))
    principal = principal_directions(z)

    distances: dict[str, list[Tensor]] = defaultdict(list)
    for i, part in enumerate(random.tensor_split(min(DRAWS, n_projections), dim=1)):
        x, y = (
            prior.sample(n, stream(seed, "metrics", name, i)).to(z) for name in ("prior", "null")
        )
        for name, (theta, theta_null) in {
            "sw2": (part, part),
            "sw2_axes": (torch.eye(d), torch.eye(d)),
            "sw2_principal": (principal, principal_directions(y)),
        }.items():
            distances[name].append(sliced_wasserstein(z, x, theta))
            distances[f"{name}_null"].append(sliced_wasserstein(y, x, theta_null))

    means = {name: float(torch.stack(values).mean()) for name, values in distances.items()}
    inside = prior.contains(z)

    return Match(**means, outside=None if inside is None else 1 - float(inside.float().mean()))


def principal_directions(z: Float[Tensor, "n d"]) -> Float[Tensor, "d d"]:
    r"""Returns the eigenvectors of the codes' covariance as columns."""

    centred = (z - z.mean(dim=0)).double()
    eigenvectors: Tensor = torch.linalg.eigh(centred.mT @ centred).eigenvectors
    return eigenvectors.to(z.dtype)


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    r"""Puts a model into eval mode and afterwards back into the mode that it was in."""

    was = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was)
