r"""The figures of a run, drawn when its training ends.

A map of the plane shows what every code decodes to; where there is none, the modes do. What lies
between held-out samples is drawn along lines, unless arcs stay better where the prior is.
"""

__all__ = ["draw_figures", "is_shown", "snapshot_of"]

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import latent, plotting
from ..data import Samples, to_float
from ..drawing import (
    a_side,
    columns_of,
    draw_labels,
    draw_pairs,
    draw_samples,
    draw_strips,
    drawable,
    panelled,
    pictures,
)
from ..estimator import SWAE
from ..loggers import Snapshot, Together
from ..priors import Prior
from ..run import Run
from ..seeding import stream
from ..shards import Rows, Shards
from ..strips import in_sigmas

Floats = NDArray[Any]

SHOWN = 5000
r"""The most codes that a picture shows."""

FEW = 500
r"""Fewer held-back samples than this draw no picture of a law; the training samples do."""

TABLE = 1000
r"""The rows of a table that its pictures show."""

THUMBNAIL = 32
r"""The longer side of the images beside the codes, in pixels."""

PAIRS = 8
r"""The most pairs between which is drawn."""

MODES = 10
r"""The most modes that are drawn."""

PATHS: dict[latent.Kind, str] = {
    "linear": "straight lines between the codes",
    "spherical": "arcs between the codes, which keep their distance from the origin",
}
STEPS = 9
r"""The codes of a path."""

SIGMAS = 3.0
r"""How far a mode is walked either way, in standard deviations."""

NORMS = 1000
r"""The samples of the prior whose norms a path has to keep to."""


def draw_figures(run: Run, model: SWAE, train: Rows, held: Rows, logs: Together) -> None:
    r"""Draws what a run has made into its folder and its logs.

    Arguments:
        run: The run.
        model: Its model.
        train: The samples that it was trained on.
        held: The samples that it was judged on, between which the interpolations are.
        logs: Its logs.
    """

    plotting.save(plotting.curves(run.rows()), run.figures / "curves.png")
    snapshot = snapshot_of(model, train)
    held = some(held, 2 * PAIRS) if isinstance(held, Shards) else held
    snapshot = snapshot._replace(figures={**snapshot.figures, **walks(model, held, snapshot)})
    for name, figure in snapshot.figures.items():
        plotting.save(figure, run.figures / f"{name}.png")
    logs.show(snapshot)


def is_shown(epoch: int) -> bool:
    r"""Tells whether logs get pictures of an epoch before the last.

    Powers of two: what changes, changes early, and a thousand epochs have ten of them.
    """

    return epoch & (epoch - 1) == 0


def snapshot_of(model: SWAE, train: Rows) -> Snapshot:
    r"""Draws reconstructions, samples and codes."""

    shown, what = train, "training samples"
    held = model.validation_
    kept = held is not None and len(held) >= FEW
    if held is not None and kept:
        shown, what = held, "held-back training samples"
    shown = some(shown, SHOWN)

    columns = columns_of(model)
    x = to_float(next(shown.chunks(12 if columns is None else TABLE)))
    few = x if panelled(x, columns) else x[:12]
    figures = {
        "reconstructions": draw_pairs(few, model.reconstruct(few), columns),
        "samples": samples_of(model, x, columns),
    }

    codes = model.transform(shown)
    # What is held back of a conditional run is numbered by classes_.
    labels = named(shown.labels, model.classes_ if model.conditional and kept else train.classes)
    prior, drawn = prior_of(model, len(codes))
    if model.latent_dim == 2 and drawable(x).ndim > 2:
        extent = plotting.extent_of(model.sample_codes(SHOWN))  # few samples miss the borders
        lattice = plotting.latent_grid(extent, a_side(x))
        grid = pictures(model.inverse_transform(lattice), views=False)
        caption = f"{len(codes):,} {what}"
        caption += "; a volume's middle slice along its depth" if x.ndim == 5 else ""
        figures["triptych"] = plotting.triptych(
            prior, codes, labels, grid, extent=extent, caption=caption, prior_labels=drawn
        )
    else:
        figures["codes"] = plotting.codes(codes, labels, prior, prior_labels=drawn)
    of_each = None if labels is None else np.asarray(labels)
    return Snapshot(model.n_epochs_, figures, codes, of_each, thumbnails_of(shown))


def some(samples: Rows, n: int) -> Samples:
    r"""Draws some samples; of shards, of which each that is opened takes its time, the first."""

    if isinstance(samples, Shards):
        return samples.spread(n)
    return samples.select(torch.randperm(len(samples), generator=stream(0, "shown"))[:n])


def thumbnails_of(samples: Samples) -> Any:  # noqa: ANN401 - an array or None
    r"""Returns images small, to be shown beside their codes; None of samples that are none."""

    small = []
    for x in samples.chunks(500):
        images = drawable(to_float(x), views=False)
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            return None
        h, w = images.shape[2:]
        scale = min(1.0, THUMBNAIL / max(h, w))
        sides = max(1, round(h * scale)), max(1, round(w * scale))
        small.append(torch.nn.functional.adaptive_avg_pool2d(torch.as_tensor(images), sides))
    return pictures(torch.cat(small).numpy()) if small else None


def walks(model: SWAE, held: Samples, snapshot: Snapshot) -> dict[str, Any]:
    r"""Draws interpolations, and modes where no map shows the plane; nothing of few numbers."""

    columns, figures = columns_of(model), {}
    if math.prod(model.sample_shape_) > 3 and len(held) > 1:  # three numbers make no line
        figures["interpolations"] = between(model, held, columns)
        codes, mapped = snapshot.codes, "triptych" in snapshot.figures
        if codes is not None and min(codes.shape) > 1 and not mapped:
            figures["modes"] = along_modes(model, codes, columns)
    return figures


def between(model: SWAE, held: Samples, columns: Any) -> Any:  # noqa: ANN401 - a figure
    r"""Draws what lies between pairs of samples."""

    n = 2 * min(PAIRS, len(held) // 2)
    pairs = torch.randperm(len(held), generator=stream(0, "pairs"))[:n].reshape(-1, 2)
    ends = [held.select(column) for column in pairs.T]
    first, last = (to_float(end.x).numpy() for end in ends)
    a, b = (model.transform(end) for end in ends)
    kind = better_path(a, b, model.prior_, model.sample_codes(NORMS))
    x = latent.decoded(model.inverse_transform, latent.interpolate(a, b, STEPS, kind))
    return draw_strips(
        x,
        (first, last),
        columns,
        columns=[f"{t:.3g}" for t in np.linspace(0, 1, STEPS)],
        caption=PATHS[kind],
    )


def along_modes(model: SWAE, codes: Any, columns: Any) -> Any:  # noqa: ANN401 - a figure
    r"""Draws walks along the main directions of codes."""

    found = latent.modes(codes, min(MODES, *codes.shape))
    z = latent.along(found, steps=STEPS, sigmas=SIGMAS)
    return draw_strips(
        latent.decoded(model.inverse_transform, z),
        None,
        columns,
        left=[f"mode {i} ({share:.0%})" for i, share in enumerate(found.share, start=1)],
        columns=[in_sigmas(t) for t in np.linspace(-SIGMAS, SIGMAS, STEPS)],
    )


def better_path(a: Floats, b: Floats, prior: Prior, samples: Floats) -> latent.Kind:
    r"""Returns the path whose codes stay better where the prior is; of equal ones the line.

    More of them are inside its support, or as many are and more have a norm that it has.

    Arguments:
        a: The first codes, with shape :math:`(n, d)`.
        b: The last codes, of the same shape.
        prior: The prior.
        samples: Samples of it.

    Example:
        >>> from swae import Ring, Uniform
        >>> a, b = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
        >>> [better_path(a, b, p, p.sample(1000).numpy()) for p in (Ring(), Uniform(2))]
        ['spherical', 'linear']
    """

    norms = np.linalg.norm(samples, axis=-1)

    def stays(kind: latent.Kind) -> tuple[float, float]:
        z = latent.interpolate(a, b, STEPS, kind)
        norm = np.linalg.norm(z, axis=-1)
        kept = ((norm >= norms.min()) & (norm <= norms.max())).mean()
        return latent.inside(z, prior) or 0.0, float(kept)

    return "spherical" if stays("spherical") > stays("linear") else "linear"


def samples_of(model: SWAE, x: Any, columns: Any) -> Any:  # noqa: ANN401 - arrays
    r"""Draws samples of the prior: before data if a table's, of each label where these choose."""

    if columns is not None and panelled(x, columns):
        return draw_samples(model.sample(len(x)), columns, x)
    if not model.conditional:
        return draw_samples(model.sample(64), columns)
    return draw_labels(model, columns)


def named(labels: Tensor | None, names: Sequence[int | str]) -> Any:  # noqa: ANN401 - an array
    r"""Returns the names of labels that number them, and labels without names as they are."""

    if labels is None or not names:
        return labels
    none: int | str = "no label" if isinstance(names[0], str) else -1
    return np.array([*names, none])[labels.numpy(force=True)]


def prior_of(model: SWAE, n: int) -> tuple[Any, Any]:
    r"""Draws n codes of the prior, and the label of each where labels choose its component."""

    if not model.conditional:
        return model.sample_codes(n), None
    labels = model.classes_
    each = -(-n // len(labels))
    codes = [model.sample_codes(each, label=label, seed=i) for i, label in enumerate(labels)]
    return np.concatenate(codes), np.repeat(np.asarray(labels), each)
