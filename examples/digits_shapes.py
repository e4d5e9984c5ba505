"""Digits embedded to a square and to a ring, beside PCA and UMAP in two dimensions.

All four are fitted on four fifths of scikit-learn's 1797 digits and judged on the rest: how well
neighbours stay neighbours (trustworthiness, and k-NN with the training codes as its examples) and
how well a code decodes (mean squared error of pixels in [0, 1]). Only the two of ours have a law
that codes follow, SW2 to it in units of its null value, 1 for a perfect match; so only from them
can be drawn. PCA and UMAP are given points of the box around their codes instead.

    python examples/digits_shapes.py    # prints the table, and draws digits.png of the last seed
"""

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jsonargparse import auto_cli
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from swae import SWAE
from swae.montage import montage

DECODED = 100
"""The held-out digits that UMAP decodes, at a tenth of a second each."""


class Digits(NamedTuple):
    train: Any
    test: Any
    y_train: Any
    y_test: Any


class Embedding(NamedTuple):
    codes: Any  # of the held-out digits
    generated: Any
    law: Any  # samples of what the codes should follow, where there is such a thing
    numbers: dict[str, float]


def split(seed: int) -> Digits:
    digits = load_digits()
    X = digits.images[:, None].astype(np.float32) / 16  # (1797, 1, 8, 8) in [0, 1]
    return Digits(*train_test_split(X, digits.target, test_size=0.2, random_state=seed))


def rows(X):
    return X.reshape(len(X), -1)


def neighbours(codes, data: Digits, train_codes) -> dict[str, float]:
    """Judges an embedding of the held-out digits by their ten and their five neighbours."""
    knn = KNeighborsClassifier(5).fit(train_codes, data.y_train)
    return {
        "trustworthiness": float(trustworthiness(rows(data.test), codes, n_neighbors=10)),
        "5-NN accuracy": float(knn.score(codes, data.y_test)),
    }


def embed_ours(data: Digits, prior: str, seed: int, epochs: int | None) -> Embedding:
    start = time.perf_counter()
    model = SWAE(2, prior=prior, max_epochs=epochs, random_state=seed).fit(data.train)
    seconds = time.perf_counter() - start
    codes, figures = model.transform(data.test), model.evaluate(data.test).flat()
    numbers = neighbours(codes, data, model.transform(data.train))
    numbers |= {"MSE": figures["mse"], "SW2 / null": figures["sw2_ratio"], "fit, s": seconds}
    return Embedding(codes, model.sample(25), model.sample_codes(5000), numbers)


def embed_theirs(data: Digits, model, seed: int, decoded: int | None = None) -> Embedding:
    start = time.perf_counter()
    train_codes = model.fit_transform(rows(data.train))
    seconds = time.perf_counter() - start
    codes, some = model.transform(rows(data.test)), data.test[:decoded]
    box = np.random.default_rng(seed).uniform(codes.min(axis=0), codes.max(axis=0), (25, 2))
    pixels = model.inverse_transform(np.concatenate((codes[: len(some)], box.astype(np.float32))))
    x_hat, generated = np.split(pixels.reshape(-1, 1, 8, 8), [len(some)])
    numbers = neighbours(codes, data, train_codes)
    numbers |= {"MSE": float(((x_hat - some) ** 2).mean()), "fit, s": seconds}
    return Embedding(codes, generated, None, numbers)


def embed_umap(data: Digits, seed: int, decoded: int) -> Embedding:
    from umap import UMAP  # loads Numba, which takes seconds

    return embed_theirs(data, UMAP(random_state=seed, n_jobs=1), seed, decoded)


def draw(found: dict[str, Embedding], labels) -> Figure:
    figure = Figure(figsize=(3.2 * len(found), 6.6), dpi=110, layout="compressed")
    figure.get_layout_engine().set(wspace=0.05)  # so that one's digits end before the next's
    axes = figure.subplots(2, len(found))
    for (name, embedding), (above, below) in zip(found.items(), axes.T, strict=True):
        if embedding.law is not None:
            above.scatter(*embedding.law.T, c="0.92", s=4)
        points = above.scatter(
            *embedding.codes.T, c=labels, cmap="tab10", vmin=-0.5, vmax=9.5, s=7
        )
        above.set(title=name, xticks=[], yticks=[], box_aspect=1)
        below.imshow(montage(embedding.generated.clip(0, 1), 5), cmap="gray", vmin=0, vmax=1)
        below.set_axis_off()
        below.set_title("box around, decoded" if embedding.law is None else "samples, decoded")
    figure.colorbar(points, ax=axes[0], ticks=range(10), label="digit")
    return figure


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Writes the mean over seeds, and its spread where there are several."""
    names = list(next(iter(results.values()))[0])
    lines = [["", *names], ["---"] * (len(names) + 1)]
    for method, runs in results.items():
        cells = [[run[name] for run in runs if name in run] for name in names]
        lines.append(
            [method, *(spread(cell, name) for cell, name in zip(cells, names, strict=True))]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def spread(values: list[float], name: str) -> str:
    if not values:
        return "none"
    digits = {"MSE": 4, "SW2 / null": 2, "fit, s": 0}.get(name, 3)
    deviation = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{deviation}"


def main(
    epochs: int | None = None,
    seeds: int = 1,
    umap: bool = True,
    decoded: int = DECODED,
    out: Path = Path("digits.png"),
) -> dict[str, dict[str, float]]:
    """Embeds, prints the table and draws the figure.

    Args:
        epochs: Epochs of ours; None is the estimator's own choice.
        seeds: Number of splits, each with a seed of its own.
        umap: Whether UMAP takes part.
        decoded: Held-out digits that UMAP decodes.
        out: File of the figure.
    """
    results: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):
        data = split(seed)
        found = {
            "swae, square": embed_ours(data, "uniform", seed, epochs),
            "swae, ring": embed_ours(data, "ring", seed, epochs),
            "PCA": embed_theirs(data, PCA(2), seed),
        }
        if umap:
            found["UMAP"] = embed_umap(data, seed, decoded)
        for name, embedding in found.items():
            results.setdefault(name, []).append(embedding.numbers)
    print(table(results))
    draw(found, data.y_test).savefig(out)
    return {name: runs[-1] for name, runs in results.items()}


if __name__ == "__main__":
    auto_cli(main)
