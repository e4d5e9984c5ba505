r"""Draws the README's first picture: MNIST's codes filling a heart and a ring, decoded.

    swae fit mnist --data-dir DIR --prior image:docs/priors/heart.png --out runs/heart
    swae fit mnist --data-dir DIR --prior ring --out runs/ring
    python docs/figures/landing.py runs/heart runs/ring DIR docs/figures/landing.png

Each row is a prior: its samples, the codes of the test images, and what is decoded along it. The
last is black where the prior is, and each digit lies around the code that it was decoded from.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from swae import SWAE, Prior, Ring
from swae.canvas import GREY, INK, canvas, panel, save, show
from swae.data import Samples
from swae.plotting import colouring, scatter
from swae.run import model_folder
from swae.sources import load

SIDE, GAP, EDGE, HEAD, FOOT = 600, 36, 24, 76, 56  # pixels
SHOWN = 5000
BAND = 0.13  # half the width of the ring that is drawn, whose digits want room
TITLES = ("draw a prior", "MNIST's codes follow it", "decode along it")
COLOURS = 256  # of the file, which is half as large for it


class Row(NamedTuple):
    r"""A model, what its panels show of the plane, and how large a digit is drawn there."""

    model: SWAE
    half: float  # of the square's side
    tile: int  # pixels


def plane(half: float, side: int = SIDE) -> Tensor:
    r"""Returns the code of each pixel of a panel, with shape (side, side, 2)."""

    across = half * (2 * (torch.arange(side) + 0.5) / side - 1)
    return torch.stack(torch.meshgrid(across, -across, indexing="xy"), dim=-1)


def cover(prior: Prior, half: float, finer: int = 3) -> Tensor:
    r"""Returns how much of each pixel the prior covers, or of a ring a band around it."""

    z = plane(half, finer * SIDE)
    if isinstance(prior, Ring):
        dark = ((z.norm(dim=-1) - prior.radius).abs() <= BAND).float()
    else:
        dark = prior.log_prob(z).exp()
    return (dark / dark.max()).reshape(SIDE, finer, SIDE, finer).mean(dim=(1, 3))


def centres(prior: Prior, half: float, tile: int, share: Tensor) -> Tensor:
    r"""Returns codes to decode: around a ring, else a lattice of those whose digit is inside."""

    if isinstance(prior, Ring):
        n = int(2 * math.pi * prior.radius * SIDE / (2 * half) / tile)
        turn = 2 * math.pi * torch.arange(n) / n
        return prior.radius * torch.stack((turn.sin(), turn.cos()), dim=1)
    n = SIDE // tile
    starts = (SIDE - n * tile) // 2 + tile * torch.arange(n)
    margin = tile // 4  # the paper around a digit may be cut off, its ink not
    ink = share.unfold(0, tile, 1).unfold(1, tile, 1)[..., margin:-margin, margin:-margin]
    whole = (ink > 0.99).flatten(2).all(dim=2)[starts[:, None], starts]
    return plane(half)[starts[:, None] + tile // 2, starts + tile // 2][whole]


def decoded(row: Row) -> np.ndarray:
    r"""Returns the picture of a shape that is full of digits, white on black."""

    model, half, tile = row
    share = cover(model.prior_, half)
    z = centres(model.prior_, half, tile, share)
    page = np.zeros((SIDE, SIDE), dtype=np.float32)
    for (x, y), digit in zip(z.tolist(), model.inverse_transform(z)[:, 0], strict=True):
        plain = Image.fromarray(np.round(255 * digit).astype(np.uint8))
        ink = np.asarray(plain.resize((tile, tile), Image.Resampling.BICUBIC)) / 255
        left, top = (round((at / half + 1) * SIDE / 2 - tile / 2) for at in (x, -y))
        there = page[top : top + tile, left : left + tile]
        np.maximum(there, ink, out=there)
    return 1 - share.numpy() * (1 - page)


def landing(rows: Sequence[Row], test: Samples) -> Figure:
    r"""Draws the figure of three columns, a row for each model."""

    width = 2 * EDGE + 3 * SIDE + 2 * GAP
    height = HEAD + len(rows) * SIDE + (len(rows) - 1) * GAP + FOOT
    figure = canvas(width, height)
    lefts = [EDGE + i * (SIDE + GAP) for i in range(3)]
    middles = [left + SIDE / 2 for left in lefts]

    def write(x: float, y: float, text: str, **style: object) -> None:
        figure.text(x / width, y / height, text, ha="center", va="center", **style)

    shown = test.select(torch.randperm(len(test), generator=generator())[:SHOWN])
    colours = colouring(shown.labels, len(shown))
    for i, row in enumerate(rows):
        bottom = FOOT + (len(rows) - 1 - i) * (SIDE + GAP)
        left, middle, right = (panel(figure, at, bottom, SIDE, SIDE) for at in lefts)
        scatter(left, row.model.prior_.sample(SHOWN, generator()).numpy(), colour=INK)
        scatter(middle, row.model.transform(shown), colours=colours)
        show(right, decoded(row), (-row.half, row.half, -row.half, row.half))
        for ax in (left, middle, right):
            ax.set_axis_off()
            ax.set(xlim=(-row.half, row.half), ylim=(-row.half, row.half))

    for x, title in zip(middles, TITLES, strict=True):
        write(x, height - HEAD / 2, title, fontsize=17, color=INK)
    for i, name in enumerate(colours.names):
        place = middles[1] + 36 * (i - (len(colours.names) - 1) / 2)
        write(place, FOOT / 2, name, fontsize=13, color=colours.cmap(i), weight="bold")
    write(middles[0], FOOT / 2, f"{SHOWN:,} samples", fontsize=11, color=GREY)
    write(middles[2], FOOT / 2, "each digit lies at its code", fontsize=11, color=GREY)
    return figure


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


if __name__ == "__main__":
    heart, ring, data_dir, target = sys.argv[1:]
    models = [SWAE.load(model_folder(Path(run))) for run in (heart, ring)]
    rows = [Row(models[0], half=1.09, tile=34), Row(models[1], half=1.18, tile=54)]
    save(landing(rows, load("mnist", "test", data_dir=data_dir)), target)
    picture = Image.open(target).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
