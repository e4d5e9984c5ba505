r"""How often a classifier agrees with the label that was asked for.

``python -m benchmarks.conditional --data-dir DIR --out FOLDER`` trains on MNIST with a mixture of
ten components on a circle, with all labels and with 1 % of them, and generates 1,000 images for
each label. A classifier of scikit-learn that was trained on the 60,000 real images says what it
sees. Besides what the defaults do, 1 % is fitted without earlier codes (``memory=0``) and with
labelled codes that count no more than others (``share=0``). Finished models lie in the folder
and are used again. ``--figure FILE`` draws samples, a row for each label.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier
from torch import Tensor

from benchmarks.timing import machine
from swae import SWAE, Autoencoder, Mixture
from swae.canvas import canvas, panel, save, show
from swae.classes import class_shares
from swae.data import ArrayBatches, Samples, to_float
from swae.metrics import evaluate, evaluating
from swae.montage import montage
from swae.networks import build, glorot_
from swae.penalties.conditional import ConditionalSlicedWasserstein
from swae.seeding import stream, stream_seed
from swae.sources import load
from swae.training import make_optimizer, train_epochs
from swae.weights import from_safetensors, to_safetensors

EACH = 1000
r"""The images that are generated for a label."""

CASES: dict[str, tuple[float, dict[str, Any]]] = {
    "all labels": (1.0, {}),
    "1 %": (0.01, {}),
    "1 %, no memory": (0.01, {"memory": 0}),
    "1 %, no share of their own": (0.01, {"share": 0.0}),
}
r"""The share of labels that are kept, and the penalty's settings."""


def kept(labels: Tensor, share: float, seed: int) -> Tensor:
    """Keeps a share of the labels, drawn by a seed; the others become -1."""

    n = round(share * len(labels))
    rows = torch.randperm(len(labels), generator=stream(seed, "labels"))[:n]
    return torch.full_like(labels, -1).index_copy(0, rows, labels[rows])


def untrained(
    labels: Tensor,
    shape: tuple[int, ...],
    settings: Mapping[str, Any],
    seed: int,
    **penalty: Any,  # noqa: ANN401 - settings of many types
) -> Autoencoder:
    """Builds the model that ``SWAE`` would, but for the penalty's settings."""

    classes = int(labels.max()) + 1
    means = Mixture.on_circle(classes)
    prior = Mixture(means.means, means.scales, class_shares(labels, classes))
    names = ("n_projections", "p", "slices", "quasi", "oversampling")
    law = ConditionalSlicedWasserstein(
        prior, **{name: settings[name] for name in names}, **penalty
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "weights"))
        encoder, decoder = build(shape, 2, settings["network"])
        glorot_(encoder)
        glorot_(decoder)
    return Autoencoder(encoder, decoder, law, settings["reconstruction"], "sigmoid", 10.0)


def fitted(
    train: Samples, path: Path, share: float, penalty: dict[str, Any], args: argparse.Namespace
) -> Autoencoder:
    """Trains a model, or reads it if it was trained before."""

    labels = kept(train.labels, share, args.seed)  # type: ignore[arg-type]  # there are some
    settings = SWAE(
        network=args.network, max_epochs=args.epochs, validation_size=0, random_state=args.seed
    ).resolve(train)
    model = untrained(labels, train.shape, settings, args.seed, **penalty)
    if path.exists():
        model.load_state_dict(from_safetensors(path.read_bytes(), path))
        return model
    batches = ArrayBatches(Samples(train.x, labels), settings["batch_size"], seed=args.seed)
    optimizer = make_optimizer(settings["optimizer"], model, settings["learning_rate"])
    for epoch in train_epochs(
        model,
        batches,
        optimizer,
        max_epochs=settings["max_epochs"],
        schedule=settings["schedule"],
        seed=args.seed,
    ):
        print(
            f"{path.stem}: epoch {epoch.number}, {epoch.seconds:.0f} s, {epoch.parts}", flush=True
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_safetensors(model.state_dict()))
    return model


@torch.no_grad()
def generated(model: Autoencoder, label: int, n: int, seed: int) -> Tensor:
    prior = model.penalty.prior
    assert isinstance(prior, Mixture)
    z = prior.sample_components(torch.full((n,), label), stream(seed, "generated", label))
    with evaluating(model):
        return model.decode(z)


@torch.no_grad()
def spread(model: Autoencoder, samples: Samples, labels: Tensor) -> float:
    """How wide the codes of a class lie, the median deviation from their median as a multiple of
    the same of their component."""

    with evaluating(model):
        z = torch.cat([model.encode(to_float(part)) for part in samples.chunks(1000)])
    prior, ratios = model.penalty.prior, []
    assert isinstance(prior, Mixture)
    for c in labels[labels >= 0].unique().tolist():
        codes = z[labels == c]
        deviation = (codes - codes.median(dim=0).values).abs().median()
        ratios.append(float(deviation / (0.6745 * prior.scales[c])))
    return float(np.mean(ratios))


def classifier(train: Samples, test: Samples, seed: int) -> MLPClassifier:
    """Trains scikit-learn's own on real images, and says how good it is."""

    def flat(samples: Samples) -> Any:  # noqa: ANN401 - an array
        return to_float(samples.x).flatten(1).numpy()

    judge = MLPClassifier((256,), early_stopping=True, max_iter=40, random_state=seed)
    judge.fit(flat(train), train.labels)
    print(f"The classifier is right on {judge.score(flat(test), test.labels):.1%} of test images.")
    return judge


def row(name: str, model: Autoencoder, judge: MLPClassifier, data: Any, seed: int) -> str:  # noqa: ANN401
    train, test, labels = data
    classes = range(int(labels.max()) + 1)
    agreed = [
        float((judge.predict(generated(model, c, EACH, seed).flatten(1).numpy()) == c).mean())
        for c in classes
    ]
    e = evaluate(model, test, model.penalty.prior)  # type: ignore[arg-type]  # it is a Prior
    rows = (labels >= 0).nonzero().flatten()[:6000]
    width = spread(model, train.select(rows), labels[rows])
    return (
        f"| {name} | {np.mean(agreed):.1%} | {min(agreed):.1%} | {width:.2f} | {e.mse:.4f} | "
        f"{e.match.sw2 / e.match.sw2_null:.1f} |"
    )


def draw(models: Mapping[str, Autoencoder], seed: int, n: int = 12) -> Any:  # noqa: ANN401 - a figure
    """Draws samples of the first two models, a row for each label."""

    shown = list(models.items())[:2]
    side = 30 * n - 2  # a pixel of the page for each of an image, and two between
    figure = canvas((side + 30) * len(shown), 350)
    for j, (name, model) in enumerate(shown):
        images = torch.cat([generated(model, c, n, seed) for c in range(10)])
        ax = panel(figure, 15 + (side + 30) * j, 12, side, 298)
        show(ax, montage(images, n, pad=2))
        ax.set_axis_off()
        ax.set_title(name, loc="left", fontsize=10)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--network", default="auto")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()

    print(machine())
    train, test = (load(args.data, split, data_dir=args.data_dir) for split in ("train", "test"))
    judge = classifier(train, test, args.seed)
    models, lines = {}, []
    for name in args.cases:
        share, penalty = CASES[name]
        stem = "-".join(name.replace("%", "percent").replace(",", "").split())
        path = args.out / f"{stem}-{args.network}-{args.epochs}-{args.seed}.safetensors"
        models[name] = fitted(train, path, share, penalty, args)
        labels = kept(train.labels, share, args.seed)  # type: ignore[arg-type]  # there are some
        lines.append(row(name, models[name], judge, (train, test, labels), args.seed))
        print(lines[-1], flush=True)
    print(
        "| labels | agreement | of the worst label | width of a class | MSE "
        "| SW2, times its null |"
    )
    print("|---|---|---|---|---|---|")
    print("\n".join(lines))
    if args.figure:
        save(draw(models, args.seed), args.figure)


if __name__ == "__main__":
    main()
