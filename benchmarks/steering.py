r"""One setting for four data sets: the weight that is steered beside weights that are given.

``python -m benchmarks.steering --data-dir ../shared/data`` trains on digits, MNIST, a table and
faces, with costs and dimensions that no one weight suits, and prints for each weight where it
ended, how far the training penalty is from its null, and figures of held-out data. ``--record
FILE`` keeps a line of JSON a run with the course of the weight, and ``--figure FILE`` draws the
courses of the steered runs of such a record without training.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer

from benchmarks.timing import machine
from swae import SWAE
from swae.canvas import canvas, panel, save
from swae.data import Samples, as_samples, to_float
from swae.metrics import evaluating
from swae.seeding import stream
from swae.sources import load

SETS: dict[str, dict[str, Any]] = {
    "digits": {"latent_dim": 2},
    "table": {"latent_dim": 4, "prior": "normal"},
    "mnist": {"latent_dim": 2, "prior": "ring"},
    "faces": {"latent_dim": 128, "prior": "normal", "reconstruction": "mse", "output": "linear"},
}
r"""What each set is: its codes and, where the data do not say it, its cost."""

MOST = 10_000
r"""The training samples that a set has at most."""


def samples(name: str, split: str, data_dir: str | None, size: int) -> Samples:
    r"""Reads a split; the table is split here, every fourth row for the test."""

    if name == "table":
        rows = load_breast_cancer().data.astype(np.float32)
        test = np.arange(len(rows)) % 4 == 0
        return as_samples(rows[test if split == "test" else ~test])
    source, side = ("celeba", size) if name == "faces" else (name, None)
    data = load(source, split, data_dir=data_dir, image_size=side)
    return data.select(torch.arange(min(len(data), MOST)))


def epochs_for(steps: int, model: SWAE, train: Samples) -> int:
    r"""Returns the epochs that make about so many steps."""

    settings = model.resolve(train)
    kept = len(train) * (1 - settings["validation_size"])
    return max(1, round(steps / (kept / settings["batch_size"])))


@torch.no_grad()
def training_ratio(model: SWAE, train: Samples, batches: int = 100) -> float:
    r"""Returns the penalty of training batches over its null, for any weight."""

    autoencoder, sums = model.autoencoder_, torch.zeros(2)
    with evaluating(autoencoder):
        for i in range(batches):
            generator = stream(0, "ratio", i)
            chosen = torch.randint(
                len(train), (model.settings_["batch_size"],), generator=generator
            )
            z = autoencoder.encode(to_float(train.x[chosen]))
            null = autoencoder.penalty.null(z, generator=generator)
            sums += torch.stack((autoencoder.latent_loss(z, generator=generator), null))
    return float(sums[0] / sums[1])


def train_and_judge(
    name: str, weight: float | str, steps: int, train: Samples, test: Samples
) -> dict[str, Any]:
    r"""Trains one model, and follows its weight."""

    model = SWAE(reg_weight=weight, **SETS[name])
    model.set_params(max_epochs=epochs_for(steps, model, train))
    course: list[tuple[int, float, float]] = []

    def follow(step: int, n: int, parts: dict[str, float]) -> None:
        steering = model.autoencoder_.steering
        if steering is not None:
            course.append((step, float(steering.weight), float(steering.ratio)))

    began = time.perf_counter()
    for _ in model.fit_epochs(train, progress=follow):
        pass
    flat = model.evaluate(test).flat()
    return {
        "set": name,
        "asked": weight,
        "weight": model.autoencoder_.reg_weight,
        "training": training_ratio(model, train),
        "reconstruction": flat["bce"] or flat["mse"],
        **{
            slices: flat[slices] / flat[f"{slices}_null"]
            for slices in ("sw2", "sw2_axes", "sw2_principal")
        },
        "seconds": time.perf_counter() - began,
        "course": course,
    }


def draw(rows: list[dict[str, Any]]) -> Any:  # noqa: ANN401 - a figure
    r"""Draws the course of the weight above that of the penalty, a line a set."""

    figure = canvas(1000, 840)
    for i, (column, title) in enumerate(
        (
            (2, "running penalty, times its null (dashed: 1.1, where it is led)"),
            (1, "weight of the penalty"),
        )
    ):
        ax = panel(figure, 90, 70 + 410 * i, 740, 310)
        for row in rows:
            course = np.array(row["course"])
            ax.plot(course[:, 0], course[:, column], linewidth=1.2, label=row["set"])
        ax.set_yscale("log")
        ax.set_title(title, loc="left", fontsize=11)
        ax.set_xlabel("" if i else "step")
        if column == 2:
            ax.axhline(1.1, color="black", linewidth=0.8, linestyle="--")
            ax.set_yticks([1, 2, 4], ["1", "2", "4"])
            ax.minorticks_off()
        else:
            ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--weights", nargs="+", default=["auto", "10", "1", "0.1"])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--size", type=int, default=32, help="Side of the faces, in pixels.")
    parser.add_argument("--data-dir")
    parser.add_argument("--record", type=Path)
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()

    if args.figure:
        rows = [json.loads(line) for line in args.record.read_text().splitlines()]
        save(draw([row for row in rows if row["asked"] == "auto"]), args.figure)
        return
    print(machine())
    print(
        "| set | asked | weight | training penalty / null | held-out cost | SW2 / null, random | "
        "axes | principal | seconds |"
    )
    print("|" + "---|" * 9)
    for word in args.weights:
        weight = word if word.startswith("auto") else float(word)
        for name in args.sets:
            train, test = (
                samples(name, split, args.data_dir, args.size) for split in ("train", "test")
            )
            row = train_and_judge(name, weight, args.steps, train, test)
            print(
                f"| {name} | {word} | {row['weight']:.3g} | {row['training']:.2f} | "
                f"{row['reconstruction']:.5f} | {row['sw2']:.2f} | {row['sw2_axes']:.2f} | "
                f"{row['sw2_principal']:.2f} | {row['seconds']:.0f} |",
                flush=True,
            )
            if args.record:
                with args.record.open("a") as file:
                    file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
