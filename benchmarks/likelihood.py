r"""Why the penalty is a distance between samples and not a likelihood: Eq. 5 against Eq. 16.

``python -m benchmarks.likelihood`` fits scikit-learn's digits with either penalty for several
priors and weights, and prints how the held-out codes lie: their deviation beside the prior's, and
SW2 as a multiple of its null. ``--figure FILE`` draws the codes.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import machine
from swae import SWAE
from swae.canvas import canvas, panel, save
from swae.data import Samples
from swae.plotting import colouring, extent_of, plane, scatter
from swae.presets import Penalty
from swae.sources import load

PENALTIES: tuple[Penalty, ...] = ("log-likelihood", "sliced-wasserstein")
PRIORS = ("normal", "ring:sigma=0.1", "uniform", "circle")
WEIGHTS = (0.01, 0.1, 1.0, 10.0)
DRAWN = 0.1
r"""The weight whose codes are drawn for the likelihood; the distance has the paper's, 10."""


def fit(
    prior: str, penalty: Penalty, weight: float, train: Samples, test: Samples, epochs: int
) -> dict[str, Any]:
    model = SWAE(2, prior=prior, penalty=penalty, reg_weight=weight, max_epochs=epochs)
    model.fit(train)
    evaluation, codes = model.evaluate(test), model.transform(test)
    prior_codes = model.sample_codes(5000)
    return {
        "prior": prior.partition(":")[0],
        "penalty": penalty,
        "weight": weight,
        "mse": evaluation.mse,
        "deviation": float(codes.std()),
        "deviation of the prior": float(prior_codes.std()),
        "ratio": evaluation.match.sw2 / evaluation.match.sw2_null,
        "codes": codes,
        "extent": extent_of(prior_codes),
    }


def draw(rows: list[dict[str, Any]], labels: Any) -> Any:  # noqa: ANN401 - labels and a figure
    """Draws the codes, a column for each prior and a row for each penalty."""

    columns = [prior.partition(":")[0] for prior in PRIORS]
    figure = canvas(140 + 400 * len(PRIORS), 900)
    for row in rows:
        i, j = PENALTIES.index(row["penalty"]), columns.index(row["prior"])
        ax = panel(figure, 130 + 400 * j, 480 - 420 * i, 340, 340)
        plane(ax, "", row["extent"], ("", "" if j else " "))
        ax.set_title(f"{row['prior']}, {row['penalty']}", loc="left", fontsize=10)
        points = row["codes"].astype(np.float64)
        scatter(ax, points, None, colouring(labels, len(points)))
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()

    print(machine())
    train, test = (load("digits", split) for split in ("train", "test"))
    print("| prior | penalty | weight | MSE | codes' deviation (prior's) | SW2, times its null |")
    print("|---|---|---|---|---|---|")
    drawn = []
    for prior in PRIORS:
        cases = [("log-likelihood", weight) for weight in WEIGHTS] + [("sliced-wasserstein", 10.0)]
        for penalty, weight in cases:
            row = fit(prior, penalty, weight, train, test, args.epochs)
            print(
                f"| {row['prior']} | {penalty} | {weight:g} | {row['mse']:.4f} | "
                f"{row['deviation']:.3f} ({row['deviation of the prior']:.3f}) | "
                f"{row['ratio']:.1f} |",
                flush=True,
            )
            if weight == (DRAWN if penalty == "log-likelihood" else 10.0):
                drawn.append(row)
    if args.figure:
        save(draw(drawn, test.labels), args.figure)


if __name__ == "__main__":
    main()
