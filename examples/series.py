r"""Waves on a ring: a generated set of series, whose codes have the shape of what varies.

A wave of two periods is told by its phase, which is an angle, and a little by how sharp its
crests are. So the codes are pulled to a ring, and the phase is found again as the angle of the
code, without a label. ``python examples/series.py`` draws the codes, coloured by the true phase,
and what the codes on a walk once around the ring decode to.
"""

import argparse

import numpy as np
from matplotlib.figure import Figure

from swae import SWAE


def waves(n: int, length: int = 128, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns series of shape (n, 1, length) with values in [0, 1], and their phases."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, n)
    sharpness = rng.uniform(0, 0.4, n)[:, None]
    t = 4 * np.pi * np.arange(length) / length + phase[:, None]
    wave = np.cos(t) + sharpness * np.cos(2 * t)
    return (0.5 + 0.35 * wave)[:, None].clip(0, 1).astype(np.float32), phase


def draw(codes: np.ndarray, phase: np.ndarray, walk: np.ndarray, decoded: np.ndarray) -> Figure:
    """Draws the codes beside the series that a walk decodes to, one above the other."""
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    points = left.scatter(*codes.T, c=phase, cmap="hsv", vmin=0, vmax=2 * np.pi, s=6)
    left.plot(*walk.T, color="black", linewidth=0.8)
    left.set(aspect="equal", xlabel="$z_1$", ylabel="$z_2$", title="codes, and the walk")
    bar = figure.colorbar(points, ax=left, label="phase of the wave", shrink=0.8)
    bar.set_ticks([0, np.pi, 2 * np.pi], labels=["0", "π", "2π"])

    angle = np.linspace(0, 360, len(decoded))
    step = angle[1]
    for degrees, wave in zip(angle, decoded[:, 0], strict=True):
        right.plot(degrees + 1.6 * step * (wave - 0.5), color="#2f6db3", linewidth=1.2)
    right.set(xlabel="t", ylabel="angle of the code (degrees)", title="decoded along the walk")
    right.set_yticks(range(0, 361, 90))
    right.spines[["top", "right"]].set_visible(False)
    return figure


def main(epochs: int = 40, n: int = 1000, out: str = "series.png") -> np.ndarray:
    """Fits, draws, and returns the codes."""
    x, phase = waves(n)
    model = SWAE(2, prior="ring:sigma=0.05", max_epochs=epochs).fit(x)
    codes = model.transform(x)

    angle = np.linspace(0, 2 * np.pi, 13)
    walk = np.stack((np.cos(angle), np.sin(angle)), axis=1)
    fine = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack((np.cos(fine), np.sin(fine)), axis=1)
    draw(codes, phase, circle, model.inverse_transform(walk)).savefig(out, dpi=150)
    return codes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Waves on a ring.")
    parser.add_argument("--quick", action="store_true", help="Two epochs of few waves.")
    parser.add_argument("--out", default="series.png", help="Figure to write.")
    args = parser.parse_args()
    main(*((2, 200) if args.quick else (40, 1000)), args.out)
    print(args.out)
