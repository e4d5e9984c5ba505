r"""How much of SW2 on MNIST's test images is a difference between test and training images.

Run as ``python -m benchmarks.shift RUN --data-dir DIR`` on a run folder of ``swae fit mnist``. All
figures are SW2 along 100 directions, between codes and 100,000 samples of the prior or between two
sets of codes.
"""

import argparse

import torch

from swae import SWAE, sliced_wasserstein
from swae.data import holdout
from swae.projections import equispaced
from swae.seeding import stream
from swae.sources import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--data-dir", required=True)
    args = parser.parse_args()

    model = SWAE.load(f"{args.run}/model")
    train, test = (load("mnist", split, data_dir=args.data_dir) for split in ("train", "test"))
    _, held = holdout(len(train), 1 / 12, seed=model.random_state)
    some = torch.randperm(len(train), generator=stream(0, "some"))[:15_000]
    parts = {"test": test, "train": train.select(some), "held back": train.select(held)}
    codes = {name: torch.tensor(model.transform(part)) for name, part in parts.items()}

    theta = equispaced(100, stream(0, "slices"))
    z = model.prior_.sample(100_000, stream(0, "prior"))
    for name, x in codes.items():
        print(f"{name:>9} - prior  {float(sliced_wasserstein(x, z, theta)):.6f}")
    for name in ("test", "held back"):
        print(f"{name:>9} - train  {sliced_wasserstein(codes[name], codes['train'], theta):.6f}")

    shares = [torch.bincount(part.labels, minlength=10) / len(part) for part in (train, test)]
    weights = (shares[0] / shares[1])[test.labels]
    value = sliced_wasserstein(codes["test"], z, theta, x_weights=weights)
    print(f"     test - prior  {value:.6f}  with the training set's shares of classes")


if __name__ == "__main__":
    main()
