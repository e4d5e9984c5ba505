r"""What Figures 4 and 5 share: two models of CelebA at 64 x 64, and the linear floor below them.

With two codes the network is the one that any image gets. With 128 it stands beside a linear path
(:mod:`swae.linear`): from a few thousand faces PCA learns more than a network does, so that is
where it starts.
"""

__all__ = ["FEW", "MANY", "faces", "floor", "numbers_of", "train"]

from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA

from ..data import Samples
from ..estimator import SWAE
from .studio import Studio

FEW, MANY = 2, 128

COMMON = (
    *("--prior", "uniform", "--reconstruction", "mse", "--output", "linear"),
    *("--validation-size", "0"),
)
WORDS = {
    FEW: (
        *("--batch-size", "100", "--reg-weight", "0.02", "--learning-rate", "0.003"),
        *("--max-epochs", "40"),
    ),
    MANY: (
        *("--linear", "true", "--n-projections", "256", "--oversampling", "8"),
        *("--batch-size", "100", "--reg-weight", "0.1", "--learning-rate", "0.001"),
        *("--max-epochs", "6"),
    ),
}
ENOUGH = 20_000
r"""The most faces whose PCA is the floor; of these CelebA has ten times as many."""

NUMBERS = ("mse", "l1", "sw2", "sw2_axes", "sw2_principal")


def faces(studio: Studio) -> str:
    r"""Returns the source of the faces."""

    return studio.excerpt("celeba", train=1500, test=300)


def train(studio: Studio, latent_dim: int) -> SWAE:
    r"""Returns the model with so many codes."""

    words = [*WORDS[latent_dim]]
    if studio.quick:  # small batches, for as many steps as two minutes have
        epochs = "20" if latent_dim == FEW else "3"
        words += ["--batch-size", "50", "--learning-rate", "0.001", "--max-epochs", epochs]
    name = f"celeba-{latent_dim}"
    return studio.train(
        name, [faces(studio), "--latent-dim", str(latent_dim), *COMMON, *words, "--seed", "0"]
    )


def numbers_of(model: SWAE, test: Samples) -> dict[str, Any]:
    r"""Measures a model on held-out faces, distances as multiples of their null too."""

    flat = model.evaluate(test).flat()
    numbers: dict[str, Any] = {name: flat[name] for name in NUMBERS}
    for name in NUMBERS[2:]:
        numbers[f"{name}_ratio"] = flat[name] / flat[f"{name}_null"]  # type: ignore[operator]
    # As the ratio was taken before: a perfect sample does not score 1 by it, see swae.metrics.
    blind = flat["sw2_principal"] / flat["sw2_null"]  # type: ignore[operator]
    return numbers | {"sw2_principal_over_random_null": blind, "outside": flat["outside"]}


def floor(train: Samples, test: Samples, latent_dim: int) -> float:
    r"""Computes the held-out mean squared error of PCA of the first faces."""

    train = train.select(torch.arange(min(ENOUGH, len(train))))
    x, x_test = (s.x.numpy().reshape(len(s), -1).astype(np.float32) / 255 for s in (train, test))
    pca = PCA(latent_dim, svd_solver="randomized", random_state=0).fit(x)
    return float(np.square(pca.inverse_transform(pca.transform(x_test)) - x_test).mean())
