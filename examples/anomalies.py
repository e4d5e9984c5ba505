"""Anomalies found by a model of what is normal: breast cancer, beside an isolation forest.

Both see benign tumours alone, four fifths of scikit-learn's 357, and score the remaining fifth and
all 212 malignant ones. The score of ours (`SWAE.score_samples`, higher is more normal) is minus
the standardised sum of two questions: does the row decode to itself, and does its code lie where
the prior does. The columns enter as they are; the model standardises them.

    python examples/anomalies.py    # prints the table, and draws anomalies.png of the last seed
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jsonargparse import auto_cli
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.model_selection import train_test_split

from swae import SWAE


class Rows(NamedTuple):
    train: Any  # benign
    benign: Any
    malignant: Any


def split(seed: int) -> Rows:
    X, y = load_breast_cancer(return_X_y=True)
    train, benign = train_test_split(X[y == 1], test_size=0.2, random_state=seed)
    return Rows(train, benign, X[y == 0])


def scored(model, rows: Rows):
    """Returns the scores of the held-out benign rows and of the malignant ones."""
    model.fit(rows.train)
    return model.score_samples(rows.benign), model.score_samples(rows.malignant)


def curve(benign, malignant):
    """Returns whether a row is malignant, and how anomalous it is said to be."""
    malign = np.repeat((0, 1), (len(benign), len(malignant)))
    return malign, -np.concatenate((benign, malignant))


def draw(found: dict[str, tuple[Any, Any]]) -> Figure:
    figure = Figure(figsize=(12, 3.8), dpi=110, layout="constrained")
    *panels, roc = figure.subplots(1, len(found) + 1)
    for ax, style, (name, (benign, malignant)) in zip(panels, "-:", found.items(), strict=True):
        # A few malignant rows lie very far out: what is beyond the edge is counted in its bin.
        low = np.quantile(malignant, 0.1)
        bins = np.linspace(low, max(benign.max(), malignant.max()), 30)
        for scores, label in ((benign, "benign, held out"), (malignant, "malignant")):
            share = np.full(len(scores), 1 / len(scores))
            ax.hist(scores.clip(low), bins, weights=share, alpha=0.6, label=label)
        ax.set(title=name, xlabel="score_samples", ylabel="share of rows")
        ax.margins(y=0.3)  # room for the legend
        ax.legend()
        malign, anomaly = curve(benign, malignant)
        area = f"{name}: {roc_auc_score(malign, anomaly):.3f}"
        roc.plot(*roc_curve(malign, anomaly)[:2], c="0.2", ls=style, label=area)
    roc.set(title="ROC", xlabel="benign rows reported", ylabel="malignant rows found")
    roc.legend(title="area under the curve")
    return figure


def main(
    epochs: int | None = None,
    seeds: int = 5,
    latent_dim: int = 2,
    out: Path = Path("anomalies.png"),
) -> dict[str, list[float]]:
    """Scores, prints the table and draws the figure.

    Args:
        epochs: Epochs of ours; None is the estimator's own choice.
        seeds: Number of splits, each with a seed of its own.
        latent_dim: Dimension of the codes.
        out: File of the figure.

    Returns:
        The area under the ROC curve by method, one a seed.
    """
    areas: dict[str, list[float]] = {}
    for seed in range(seeds):
        rows = split(seed)
        models = {
            "SWAE": SWAE(latent_dim, max_epochs=epochs, random_state=seed),
            "IsolationForest": IsolationForest(random_state=seed),
        }
        found = {name: scored(model, rows) for name, model in models.items()}
        for name, scores in found.items():
            areas.setdefault(name, []).append(float(roc_auc_score(*curve(*scores))))
    print("| | ROC AUC | of each seed |\n|---|---|---|")
    for name, values in areas.items():
        mean = f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
        print(f"| {name} | {mean} | {', '.join(f'{value:.3f}' for value in values)} |")
    draw(found).savefig(out)
    return areas


if __name__ == "__main__":
    auto_cli(main)
