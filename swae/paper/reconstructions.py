r"""Figure 4: faces that the models have not seen, and what 2 and 128 codes keep of them."""

__all__ = ["draw"]

import numpy as np

from ..data import to_float
from ..strips import strips
from .faces import FEW, MANY, faces, floor, numbers_of, train
from .studio import Plate, Studio

SHOWN = 12


def draw(studio: Studio) -> Plate:
    source = faces(studio)
    seen, test = (studio.samples(source, split) for split in ("train", "test"))
    x = to_float(next(test.chunks(SHOWN)))
    rows, numbers = [x.numpy()], {}
    for latent_dim in (FEW, MANY):
        model = train(studio, latent_dim)
        rows.append(model.reconstruct(x).clip(0, 1))
        numbers[f"K={latent_dim}"] = {
            **numbers_of(model, test),
            "pca_mse": floor(seen, test, latent_dim),
        }
    caption = "Held-out faces; mean squared error " + ", ".join(
        f"{row['mse']:.4f} with {name} (PCA {row['pca_mse']:.4f})" for name, row in numbers.items()
    )
    left = ["input", f"K = {FEW}", f"K = {MANY}"]
    return Plate({"": strips(np.stack(rows), left, caption=caption)}, numbers)
