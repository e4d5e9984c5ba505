r"""Blobs in volumes: a generated set of 3-D arrays, mapped to a square of codes.

Each volume holds one round blob. Its place has two degrees of freedom, across and up, and the
depth follows from them. So the codes are pulled to a square, the prior of two independent
numbers. ``python examples/volumes.py`` draws the codes, coloured by where the blob truly is, and
what a lattice of codes decodes to, every volume as its brightest values along the depth.
"""

import argparse

import numpy as np
from matplotlib.figure import Figure

from swae import SWAE


def blobs(n: int, side: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns volumes of shape (n, 1, side, side, side) in [0, 1], and the blobs' (across, up)."""
    place = np.random.default_rng(seed).uniform(0.2, 0.8, (n, 2))
    across, up = place.T[:, :, None, None, None]
    depth, y, x = np.meshgrid(*[(np.arange(side) + 0.5) / side] * 3, indexing="ij")
    squared = (x - across) ** 2 + (y - up) ** 2 + (depth - (across + up) / 2) ** 2
    return np.exp(-squared / (2 * 0.12**2))[:, None].astype(np.float32), place


def draw(codes: np.ndarray, place: np.ndarray, decoded: np.ndarray, k: int) -> Figure:
    """Draws the codes twice, coloured by either coordinate, beside the decoded lattice."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for ax, name, value in zip((left, middle), ("across", "up"), place.T, strict=True):
        points = ax.scatter(*codes.T, c=value, s=8)
        ax.set(aspect="equal", xlabel="$z_1$", ylabel="$z_2$", title=f"codes by place {name}")
        figure.colorbar(points, ax=ax, shrink=0.8)

    side = decoded.shape[-1]
    fronts = decoded[:, 0].max(axis=1)[:, ::-1]  # up is up
    tiles = np.pad(fronts, ((0, 0), (1, 1), (1, 1)), constant_values=0.3)
    rows = tiles.reshape(k, k, side + 2, side + 2)[::-1]  # codes run up, pictures run down
    picture = rows.swapaxes(1, 2).reshape(k * (side + 2), -1)
    right.imshow(picture, cmap="gray", vmin=0, vmax=1, extent=(-1, 1, -1, 1))
    right.set(xlabel="$z_1$", ylabel="$z_2$", title="decoded, seen from the front")
    return figure


def main(epochs: int = 30, n: int = 300, out: str = "volumes.png") -> np.ndarray:
    """Fits, draws, and returns the codes."""
    x, place = blobs(n)
    model = SWAE(2, prior="uniform", max_epochs=epochs).fit(x)
    codes = model.transform(x)

    k = 7
    centres = (np.arange(k) + 0.5) / k * 2 - 1
    lattice = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
    draw(codes, place, model.inverse_transform(lattice), k).savefig(out, dpi=150)
    return codes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Blobs in volumes.")
    parser.add_argument("--quick", action="store_true", help="Two epochs of few volumes.")
    parser.add_argument("--out", default="volumes.png", help="Figure to write.")
    args = parser.parse_args()
    main(*((2, 60) if args.quick else (30, 300)), args.out)
    print(args.out)
