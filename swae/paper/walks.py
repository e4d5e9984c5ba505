r"""Figure 5: straight lines between held-out faces, principal modes, and samples, with 128 codes.

The paper argues that a convex prior makes straight lines between codes decode to faces, for they
stay where the prior is. Inside the cube they are by construction, as no code of this encoder
leaves it and it is convex. What can fail is that codes half way are distributed as the prior is:
their SW2 to it is measured, and samples of the prior stand beside the walks.
"""

__all__ = ["draw"]

import numpy as np
import torch
from matplotlib.figure import Figure

from ..estimator import SWAE
from ..latent import along, decoded, inside, interpolate, modes
from ..metrics import match_prior
from ..plotting import samples
from ..strips import in_sigmas, strips
from .faces import MANY, faces, numbers_of, train
from .studio import Plate, Studio

PAIRS, STEPS, MODES, SAMPLES = 8, 9, 10, 64


def draw(studio: Studio) -> Plate:
    model = train(studio, MANY)
    test = studio.samples(faces(studio), "test")
    codes = model.transform(test)
    paths = interpolate(codes[:PAIRS], codes[PAIRS : 2 * PAIRS], steps=STEPS)
    axes = modes(codes, k=MODES)
    a, b = np.array_split(codes[: len(codes) // 2 * 2], 2)
    half_way = match_prior(torch.from_numpy((a + b) / 2), model.prior_)

    pictures = {
        "interpolations": drawn(
            model, paths, columns=[f"{t:.3g}" for t in np.linspace(0, 1, STEPS)]
        ),
        "modes": drawn(
            model,
            along(axes, steps=STEPS, sigmas=3.0),
            left=[f"mode {i + 1}" for i in range(MODES)],
            columns=[in_sigmas(t) for t in np.linspace(-3, 3, STEPS)],
        ),
        "samples": samples(model.sample(SAMPLES).clip(0, 1)),
    }
    numbers = {
        **numbers_of(model, test),
        "interpolated_codes_inside": inside(paths.reshape(-1, MANY), model.prior_),
        "half_way_sw2_ratio": half_way.sw2 / half_way.sw2_null,
        "sigma_of_mode_1": float(axes.sigma[0]),
        f"sigma_of_mode_{MODES}": float(axes.sigma[-1]),
        "sigma_of_the_prior": 3**-0.5,
        "share_of_the_modes": float(axes.share.sum()),
    }
    return Plate(pictures, numbers)


def drawn(
    model: SWAE,
    z: np.ndarray,
    left: list[str] | None = None,
    columns: list[str] | None = None,
) -> Figure:
    r"""Draws what codes with shape (n, steps, d) decode to."""

    return strips(decoded(model.inverse_transform, z).clip(0, 1), left, columns)
