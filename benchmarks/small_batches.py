r"""Few images in a step: what the penalty of few codes costs, and what helps.

``python -m benchmarks.small_batches`` trains on the digits in steps that have room for 16, 32 or
64 images:

- ``small``: batches of so many;
- ``queue``: the same, matched together with the latest codes (:mod:`swae.penalties.queued`);
- ``parts``: batches of 256, so many images at a time (:mod:`swae.accumulation`);
- ``whole``: batches of 256 at once.

All see each image as often and have one :math:`\lambda`. Printed are errors of the test images,
the distance of their codes to the prior with its ratio to the null, and the deviation of the codes
as a share of the prior's, which is 1 where nothing pulls them narrower or wider.
"""

import argparse
import statistics
from typing import Any, NamedTuple

import torch
from torch import nn

from benchmarks.timing import machine
from swae import SWAE, Autoencoder, SlicedWassersteinLoss, Uniform
from swae.data import ArrayBatches, Samples, to_float
from swae.metrics import evaluate, evaluating
from swae.networks import build, glorot_
from swae.penalties.queued import QueuedSlicedWasserstein
from swae.seeding import stream_seed
from swae.sources import load
from swae.training import make_optimizer, train_epochs

WHOLE = 256
r"""The batch that memory has no room for."""

ROOM = (16, 32, 64)
r"""The images that it has room for."""

MEMORY = (64, 256, 1024)
r"""The codes that a queue matches together."""


class Row(NamedTuple):
    r"""What a run came to."""

    name: str
    mse: float
    sw2: float
    ratio: float
    spread: float


def untrained(penalty: nn.Module, shape: tuple[int, ...], weight: float, seed: int) -> Autoencoder:
    r"""Builds the model that ``SWAE`` would, but for the penalty."""

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "weights"))
        networks = build(shape, 2, "auto")
        for network in networks:
            glorot_(network)
    return Autoencoder(*networks, penalty, reg_weight=weight)


def run(
    name: str,
    penalty: nn.Module,
    sets: tuple[Samples, Samples],
    args: argparse.Namespace,
    seed: int,
    batch_size: int,
    micro_batch_size: int | None = None,
) -> Row:
    r"""Trains a model and measures it on the test images."""

    train, test = sets
    model = untrained(penalty, train.shape, args.reg_weight, seed)
    # A step of fewer images is noisier: the rate goes with the root of their number.
    rate = SWAE().resolve(train)["learning_rate"] * min(1.0, (batch_size / WHOLE) ** 0.5)
    for _ in train_epochs(
        model,
        ArrayBatches(train, batch_size, seed=seed),
        make_optimizer("adam", model, rate),
        max_epochs=args.epochs,
        schedule="one-cycle",
        seed=seed,
        micro_batch_size=micro_batch_size,
    ):
        pass
    found = evaluate(model, test, Uniform(2))
    with torch.no_grad(), evaluating(model):
        codes = torch.cat([model.encode(to_float(x)) for x in test.chunks(1000)])
    spread = float(codes.var(dim=0).mean().sqrt()) * 3**0.5
    return Row(name, found.mse, found.match.sw2, found.flat()["sw2_ratio"] or 0.0, spread)


def cases(room: int) -> list[tuple[str, Any, dict[str, Any]]]:
    r"""Lists what can be done with room for so many images."""

    law = Uniform(2)
    small = {"batch_size": room}
    queues = [
        (f"queue of {m}", lambda m=m: QueuedSlicedWasserstein(law, memory=m), small)
        for m in MEMORY
    ]
    parts = {"batch_size": WHOLE, "micro_batch_size": room}
    return [
        ("small", lambda: SlicedWassersteinLoss(law), small),
        *queues,
        (f"parts of {WHOLE}", lambda: SlicedWassersteinLoss(law), parts),
    ]


def mean_of(rows: list[Row]) -> Row:
    numbers = zip(*(row[1:] for row in rows), strict=True)
    return Row(rows[0].name, *map(statistics.mean, numbers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--reg-weight", type=float, default=10.0)
    args = parser.parse_args()

    train, test = (load(args.data, split, data_dir=args.data_dir) for split in ("train", "test"))
    sets = train.select(torch.arange(min(len(train), args.samples))), test
    print(machine())
    print(
        f"{args.data}, {len(sets[0]):,} images, {args.epochs} epochs, weight {args.reg_weight:g}, "
        f"means over {args.seeds} seeds\n"
    )
    print("| room | what | steps | MSE | SW2 | ratio to null | spread |")
    print("|---|---|---|---|---|---|---|")
    whole = [(WHOLE, "whole", lambda: SlicedWassersteinLoss(Uniform(2)), {"batch_size": WHOLE})]
    rest = [(room, *case) for room in ROOM for case in cases(room)]
    for room, name, penalty, settings in whole + rest:
        rows = [run(name, penalty(), sets, args, seed, **settings) for seed in range(args.seeds)]
        row = mean_of(rows)
        steps = args.epochs * -(-len(sets[0]) // settings["batch_size"])
        print(
            f"| {room} | {row.name} | {steps:,} | {row.mse:.4f} | "
            f"{row.sw2:.6f} | {row.ratio:.1f} | {row.spread:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
