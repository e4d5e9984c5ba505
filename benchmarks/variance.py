r"""Fewer slices for the same answer: what the choice of directions and samples buys.

``python -m benchmarks.variance`` measures the gradient with respect to M = 500 codes against a
near-exact one, and what it costs; ``--figure FILE`` draws it. Three lists of choices: directions
(independent, or orthogonal; equispaced for d = 2), samples of the prior (independent or
quasi-random), and k samples for each code.

``--mnist RUN ...`` reads run folders of ``swae fit mnist`` and prints what they reached after 5
epochs and after 20. ``--celeba FOLDER --out FILE`` trains on faces and appends what each kind of
slices left unmatched; settings that the file already has are skipped.
"""

import argparse
import itertools
import json
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import torch
import yaml
from matplotlib.ticker import LogLocator
from torch import Tensor

from benchmarks.timing import interleaved, machine
from swae import SWAE, SlicedWassersteinLoss, Uniform, sliced_wasserstein
from swae.data import Samples
from swae.projections import Slices, orthogonal
from swae.sources import load

CASES = {2: 50, 8: 64, 64: 256, 128: 512}
r"""The dimensions, and the number of directions at each."""

M = 500
SIZES = (1, 2, 8)

SHRUNK = 0.8
r"""The size of the codes' cube: a batch that is still pulled apart, for at a match there is no
gradient to be right about."""


class Choice(NamedTuple):
    slices: Slices
    quasi: bool
    k: int


# --- the gradient


def choices(d: int) -> list[Choice]:
    even: Slices = "equispaced" if d == 2 else "orthogonal"
    return [Choice(*c) for c in itertools.product(("iid", even), (False, True), SIZES)]


def gradient(penalty: SlicedWassersteinLoss, z: Tensor) -> Tensor:
    return torch.autograd.grad(penalty(z), z)[0]


def near_exact(z: Tensor, draws: int = 4) -> Tensor:
    r"""Averages gradients with 64 samples a code and many directions."""

    d = z.shape[1]
    total = torch.zeros_like(z)
    for _ in range(draws):
        y = Uniform(d).sample(64 * M, quasi=True)
        total += torch.autograd.grad(sliced_wasserstein(z, y, orthogonal(d, 16 * CASES[d])), z)[0]
    return total / draws


def errors(d: int, seconds: float, draws: int = 30) -> dict[Choice, tuple[float, float]]:
    r"""Returns the relative squared error and the milliseconds of each choice."""

    z = (SHRUNK * Uniform(d).sample(M)).requires_grad_()
    exact = near_exact(z)
    ways = {c: SlicedWassersteinLoss(Uniform(d), CASES[d], slices=c.slices, quasi=c.quasi,
                                     oversampling=c.k) for c in choices(d)}  # fmt: skip
    times = interleaved(
        {str(c): lambda z, penalty=penalty: gradient(penalty, z) for c, penalty in ways.items()},
        lambda: (z,),
        seconds,
    )
    scale = exact.square().sum()
    return {
        c: (
            statistics.mean(
                float((gradient(penalty, z) - exact).square().sum() / scale) for _ in range(draws)
            ),
            1e3 * times[str(c)],
        )
        for c, penalty in ways.items()
    }


def study(seconds: float, figure: Path | None) -> None:
    results = {}
    print("\n| d | L | directions | samples | k | error | ms |\n|---|---|---|---|---|---|---|")
    for d, n_projections in CASES.items():
        results[d] = errors(d, seconds)
        for c, (error, ms) in results[d].items():
            samples = "quasi-random" if c.quasi else "independent"
            cells = (d, n_projections, c.slices, samples, c.k, f"{error:.4f}", f"{ms:.2f}")
            print(f"| {' | '.join(map(str, cells))} |", flush=True)
    if figure is not None:
        draw(results, figure)


def draw(results: dict[int, dict[Choice, tuple[float, float]]], target: Path) -> None:
    r"""Draws error against time, a panel a dimension; a line joins k = 1, 2, 8."""

    figure, axes = plt.subplots(1, len(results), figsize=(13, 4), layout="constrained")
    for axis, (d, points) in zip(axes, results.items(), strict=True):
        for even, quasi in itertools.product((False, True), (False, True)):
            line = [v for c, v in points.items() if (c.slices != "iid", c.quasi) == (even, quasi)]
            error, ms = zip(*line, strict=True)
            axis.loglog(
                ms, error, "s-" if even else "o-", color="C0" if quasi else "C3",
                mfc=None if even else "white",
                label=f"{'even' if even else 'independent'} directions, "
                f"{'quasi-random' if quasi else 'independent'} prior",
            )  # fmt: skip
        axis.set_title(f"d = {d}, L = {CASES[d]}")
        axis.set_xlabel("ms")
        axis.grid(alpha=0.3, which="both")
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_formatter("{x:g}")
            side.set_minor_locator(LogLocator(subs=(2, 5)))
            side.set_minor_formatter("{x:g}")
    axes[0].set_ylabel("relative squared error of the gradient")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(target, dpi=110)


# --- what it buys on MNIST


def mnist(runs: list[Path], epochs: tuple[int, ...] = (5, 20)) -> None:
    r"""Prints means and deviations over runs that differ in their seed alone."""

    groups: dict[tuple[str, str], list[dict[int, dict[str, Any]]]] = defaultdict(list)
    for run in runs:
        config = yaml.safe_load((run / "config.yaml").read_text())
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        name = (config["slices"], "quasi-random" if config["quasi"] else "independent")
        groups[name].append({row["epoch"]: row for row in rows})
    print("\n| directions | prior | epoch | seeds | BCE | SW2 | SW2 / null |")
    print("|---|---|---|---|---|---|---|")
    for (slices, samples), epoch in itertools.product(groups, epochs):
        rows = [run[epoch] for run in groups[slices, samples] if epoch in run]
        if rows:
            cells = [spread([row[name] for row in rows], digits) for name, digits in MEASURES]
            print(f"| {slices} | {samples} | {epoch} | {len(rows)} | {' | '.join(cells)} |")


MEASURES = (("val_bce", 4), ("val_sw2", 5), ("val_sw2_ratio", 1))


def spread(values: list[float], digits: int) -> str:
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


# --- what is left unmatched on faces


def celeba(folder: Path, target: Path, dims: list[int], epochs: int) -> None:
    r"""Trains with each kind of slices and appends a line of JSON to a file for each."""

    done = (
        [json.loads(line) for line in target.read_text().splitlines()] if target.exists() else []
    )
    samples = load(folder, "train", image_size=64)
    test = load(folder, "test", image_size=64)
    for d, slices in itertools.product(dims, ("iid", "orthogonal", "principal")):
        if any((row["d"], row["slices"], row["epochs"]) == (d, slices, epochs) for row in done):
            continue
        row = faces(samples, test, d, slices, epochs)
        with target.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)


def faces(train: Samples, test: Samples, d: int, slices: Slices, epochs: int) -> dict[str, Any]:
    model = SWAE(
        d, slices=slices, n_projections=2 * d, oversampling=8, reconstruction="mse",
        reg_weight=0.1, batch_size=100, max_epochs=epochs, validation_size=0,
    )  # fmt: skip
    began = time.perf_counter()
    rates = [epoch.seconds for epoch in model.fit_epochs(train)]
    figures = model.evaluate(test).flat()
    ratios = {
        name: figures[name] / figures[f"{name}_null"]
        for name in ("sw2", "sw2_axes", "sw2_principal")
    }
    return {
        "d": d, "slices": slices, "epochs": epochs, "mse": figures["mse"], **ratios,
        "outside": figures["outside"], "seconds": time.perf_counter() - began,
        "seconds_an_epoch": statistics.median(rates),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="About how long a panel takes.")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--mnist", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--celeba", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=Path("celeba.jsonl"))
    parser.add_argument("--dims", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.mnist:
        mnist(args.mnist)
    elif args.celeba:
        celeba(args.celeba, args.out, args.dims, args.epochs)
    else:
        print(machine())
        study(args.seconds, args.figure)


if __name__ == "__main__":
    main()
