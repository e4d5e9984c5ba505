r"""Sliced-Wasserstein autoencoders.

The names below are loaded when they are first asked for, so that ``swae --help`` does not wait
for torch.

References:
    | Sliced-Wasserstein Autoencoder: An Embarrassingly Simple Generative Model
    | (Kolouri, Pope, Martin, Rohde, 2018)
    | https://arxiv.org/abs/1804.01947
"""

__version__ = "0.1.0"

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .autoencoder import Autoencoder as Autoencoder
    from .estimator import SWAE as SWAE
    from .priors import Ball as Ball
    from .priors import Bowl as Bowl
    from .priors import Circle as Circle
    from .priors import FromDistribution as FromDistribution
    from .priors import FromFunction as FromFunction
    from .priors import FromPicture as FromPicture
    from .priors import FromSamples as FromSamples
    from .priors import Mixture as Mixture
    from .priors import Normal as Normal
    from .priors import Prior as Prior
    from .priors import Ring as Ring
    from .priors import Sphere as Sphere
    from .priors import Uniform as Uniform
    from .sliced import SlicedWassersteinLoss as SlicedWassersteinLoss
    from .sliced import sliced_wasserstein as sliced_wasserstein
    from .univariate import wasserstein_1d as wasserstein_1d

PRIORS = (
    "Ball Bowl Circle FromDistribution FromFunction FromPicture FromSamples Mixture Normal Prior "
    "Ring Sphere Uniform"
)
HOMES = {
    "autoencoder": "Autoencoder",
    "estimator": "SWAE",
    "priors": PRIORS,
    "sliced": "SlicedWassersteinLoss sliced_wasserstein",
    "univariate": "wasserstein_1d",
}
HOME_OF = {name: home for home, names in HOMES.items() for name in names.split()}

__all__ = sorted(HOME_OF)


def __getattr__(name: str) -> object:
    if name not in HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
