r"""Figure 3: MNIST with codes in the plane, pulled to a ring, the square, a circle and a bowl.

Each prior is one training of the preset ``best`` with the paper's network and its 20 epochs. Codes
and figures are those of the 10,000 test images, the numbers those of :mod:`swae.metrics`.
"""

__all__ = ["PRIORS", "draw"]

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from ..data import Samples
from ..estimator import SWAE
from ..plotting import extent_of, latent_grid, triptych
from .studio import Plate, Studio, mean_and_deviation

PRIORS = ("ring", "uniform", "circle", "bowl")
EPOCHS = 20
SHOWN = 5000
NUMBERS = ("bce", "l1", "mse", "sw2", "sw2_null", "outside")


def draw(studio: Studio) -> Plate:
    source = studio.excerpt("mnist", train=4000, test=1000)
    test = studio.samples(source, "test")
    epochs = "3" if studio.quick else str(EPOCHS)

    pictures: dict[str, Figure] = {}
    numbers: dict[str, Mapping[str, Any]] = {}
    for prior in PRIORS:
        rows = []
        for seed in range(studio.seeds):
            name = f"mnist-{prior}" + (f"-seed{seed}" if seed else "")
            words = ["--prior", prior, "--seed", str(seed), "--max-epochs", epochs]
            model = studio.train(name, [source, *words])
            flat = model.evaluate(test).flat()
            rows.append({number: flat[number] for number in NUMBERS})
            if seed == 0:
                pictures[prior] = panels(model, test, flat)
        numbers[prior] = mean_and_deviation(rows)
    return Plate(pictures, numbers)


def panels(model: SWAE, test: Samples, flat: Mapping[str, Any]) -> Figure:
    r"""Draws prior, codes and decoded grid of one model."""

    codes = model.transform(test)[:SHOWN]
    labels = None if test.labels is None else test.labels[:SHOWN]
    extent = extent_of(model.sample_codes(SHOWN))
    caption = (
        f"Prior {model.prior}; {len(codes):,} of {len(test):,} test images. Held-out "
        f"cross-entropy {flat['bce']:.4f}, SW2 {flat['sw2']:.5f} "
        f"(null {flat['sw2_null']:.5f})."
    )
    return triptych(
        model.sample_codes(len(codes)),
        codes,
        labels,
        model.inverse_transform(latent_grid(extent, k=25)),
        extent=extent,
        caption=caption,
    )
