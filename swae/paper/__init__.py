r"""The figures of the paper, one a file: each is drawn from numbers that it also returns.

References:
    | Sliced-Wasserstein Autoencoder: An Embarrassingly Simple Generative Model
    | (Kolouri, Pope, Martin, Rohde, 2018)
    | https://arxiv.org/abs/1804.01947
"""

__all__ = ["FIGURES"]

FIGURES = {
    "fig1": ("slicing", "a density in the plane and its marginals along a few directions"),
    "fig2": ("quantiles", "Wasserstein in one dimension: quantile functions and sorted samples"),
    "fig3": ("mnist", "MNIST: prior, codes and decoded grid for four priors"),
    "fig4": ("reconstructions", "CelebA: reconstructions from 2 and from 128 codes"),
    "fig5": ("walks", "CelebA: interpolations, principal modes and samples"),
    "fig6": ("shift", "Wasserstein and Jensen-Shannon between shifted uniform laws"),
    "fig7": ("unrolling", "a curved sheet unrolled to the square, from several starts"),
}
r"""The module of each figure, and what it shows."""
