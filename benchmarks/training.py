r"""How fast a training step of the paper's network is, beside what a user would run instead.

Run as ``python -m benchmarks.training``; ``--losses --data-dir DIR`` shows that the fast step
learns as the plain one does. The plain loop is what public ports of the paper run: float32,
channels first, upsampling and convolution as two layers, two calls of torch.sort. pythae is timed
if it is installed (``pip install pythae==0.1.2``).
"""

import argparse
import io
import itertools
import statistics
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import interleaved, machine, median_seconds
from swae import Autoencoder, SlicedWassersteinLoss, Uniform
from swae.allocator import keep_freed_memory
from swae.data import ArrayBatches, Samples, as_samples, to_float
from swae.metrics import evaluate
from swae.networks import build
from swae.progress import Reporter
from swae.sources import load
from swae.training import Epoch, fabric_for, make_optimizer, train_epochs

BATCH = 500
SHAPE = (1, 28, 28)

Step = Callable[[Tensor], object]


# --- the plain loop


def plain_networks() -> tuple[nn.Sequential, nn.Sequential]:
    def convolution(i: int, o: int, padding: int = 1) -> list[nn.Module]:
        return [nn.Conv2d(i, o, 3, padding=padding), nn.LeakyReLU(0.2)]

    def halving(i: int, o: int) -> list[nn.Module]:
        pool = nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)
        return [*convolution(i, o), *convolution(o, o), pool]

    def doubling(i: int, o: int, padding: int) -> list[nn.Module]:
        return [nn.Upsample(scale_factor=2), *convolution(i, o, padding), *convolution(o, o)]

    encoder = [*halving(1, 16), *halving(16, 32), *halving(32, 64), nn.Flatten()]
    encoder += [nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 2)]
    decoder = [nn.Linear(2, 128), nn.Linear(128, 1024), nn.ReLU(), nn.Unflatten(1, (64, 4, 4))]
    decoder += [*doubling(64, 64, 1), *doubling(64, 64, 0), *doubling(64, 32, 1)]
    return nn.Sequential(*encoder), nn.Sequential(*decoder, nn.Conv2d(32, 1, 3, padding=1))


def plain_step(*, fast: bool = False) -> Step:
    r"""The plain loop's step; ``fast`` in bfloat16 and with the channels last."""

    encoder, decoder = plain_networks()
    layout = torch.channels_last if fast else torch.contiguous_format
    model = nn.ModuleList((encoder, decoder)).to(memory_format=layout)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def step(x: Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            z = encoder(x)
            x_hat = torch.sigmoid(decoder(z).float())
        theta = F.normalize(torch.randn(50, 2), dim=1)
        prior = 2 * torch.rand(len(x), 2) - 1
        codes, samples = ((v.float() @ theta.T).sort(dim=0).values for v in (z, prior))
        loss = F.binary_cross_entropy(x_hat, x) + F.l1_loss(x_hat, x)
        loss = loss + 10 * (codes - samples).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


# --- ours and pythae's


def swae_step() -> Step:
    r"""The bare step of ``swae fit``: no data to fetch, nothing to check or to report."""

    model, optimizer = swae_model()
    fabric = fabric_for("cpu")
    runner, stepper = fabric.setup(model, optimizer)
    runner.mark_forward_method("loss")

    def step(x: Tensor) -> None:
        with fabric.autocast():
            loss = runner.loss(x)
        stepper.zero_grad()
        fabric.backward(loss.total)
        stepper.step()

    return step


def swae_model() -> tuple[Autoencoder, torch.optim.Optimizer]:
    model = Autoencoder(*build(SHAPE, 2), SlicedWassersteinLoss(Uniform(2)))
    model.to(memory_format=torch.channels_last)
    return model, make_optimizer("adam", model, 1e-3)


def pythae_step() -> Step | None:
    try:
        from pythae.models import WAE_MMD, WAE_MMD_Config
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder
    except ImportError:
        return None

    networks = plain_networks()

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.network = networks[0]

        def forward(self, x: Tensor) -> ModelOutput:
            return ModelOutput(embedding=self.network(x))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.network = networks[1]

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=torch.sigmoid(self.network(z)))

    config = WAE_MMD_Config(input_dim=SHAPE, latent_dim=2)
    model = WAE_MMD(config, encoder=Encoder(), decoder=Decoder())
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def step(x: Tensor) -> None:
        loss = model({"data": x}).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


# --- the tables


def steps(seconds: float) -> float:
    r"""Prints the table of steps; returns the seconds of ours."""

    ways = {
        "plain loop, fp32": plain_step(),
        "pythae 0.1.2, WAE-MMD, fp32": pythae_step(),
        "plain loop, bf16 and channels last": plain_step(fast=True),
        "swae, bare step": swae_step(),
    }
    times = interleaved(
        {name: way for name, way in ways.items() if way is not None},
        lambda: (torch.rand(BATCH, *SHAPE),),
        seconds,
    )
    print("\n| step of 500 images | ms | images a second | times the plain loop |")
    print("|---|---|---|---|")
    for name, way in ways.items():
        if way is None:
            print(f"| {name} | not installed | | |")
            continue
        t = times[name]
        ratio = times["plain loop, fp32"] / t
        print(f"| {name} | {1e3 * t:.0f} | {BATCH / t:,.0f} | {ratio:.2f} |", flush=True)
    return times["swae, bare step"]


def whole(seconds: float, n: int = 10) -> None:
    r"""Prints what the training loop adds to n bare steps: data, checks and progress."""

    samples = as_samples(torch.randint(256, (n * BATCH, *SHAPE), dtype=torch.uint8))
    model, optimizer = swae_model()
    report = Reporter(io.StringIO())
    report.start("", total=10**9)
    epochs = train_epochs(
        model, ArrayBatches(samples, BATCH), optimizer, max_epochs=10**6,
        fabric=fabric_for("cpu"), progress=report,
    )  # fmt: skip
    step = swae_step()
    batches = [to_float(part) for part in samples.x.split(BATCH)]

    def epoch() -> Epoch:
        return next(epochs)

    def bare() -> None:
        for batch in batches:
            step(batch)

    times = interleaved({"fit": epoch, "bare": bare}, tuple, seconds)
    share = times["fit"] / times["bare"] - 1
    more = f"{abs(share):.1%} {'more' if share > 0 else 'less'}"
    print(
        f"\n{n} steps of `swae fit` with data, checks and progress take {more} than {n} bare ones."
    )


def roofline(ours: float) -> None:
    r"""Prints what the machine can do, and what share of it the step reaches."""

    x = torch.rand(BATCH, *SHAPE)
    flops = {}
    for name, networks in (("pairs of layers", plain_networks()), ("swae", build(SHAPE, 2))):
        model = Autoencoder(*networks, SlicedWassersteinLoss(Uniform(2)))
        with FlopCounterMode(display=False) as counter:
            model.loss(x).total.backward()
        flops[name] = counter.get_total_flops() / 1e9

    def multiply(a: Tensor) -> Tensor:
        return a @ a

    matrix = {
        dtype: 2 * 2048**3 / 1e9
        / median_seconds(multiply, lambda d=dtype: (torch.rand(2048, 2048).to(d),))
        for dtype in (torch.float32, torch.bfloat16)
    }  # fmt: skip
    source, target = torch.rand(2**26), torch.rand(2**26)
    copied = 2 * source.nbytes / 1e9 / median_seconds(target.copy_, lambda: (source,))

    print("\n| | |\n|---|---|")
    for name, count in flops.items():
        print(f"| arithmetic of a step, {name} | {count:.0f} GFLOP |")
    for dtype, rate in matrix.items():
        print(f"| matrix product, {str(dtype).removeprefix('torch.')} | {rate:.0f} GFLOP/s |")
    print(f"| copy, read and written | {copied:.1f} GB/s |")
    reached = flops["swae"] / ours
    print(f"| the step reaches | {reached:.0f} GFLOP/s |")
    print(f"| of the bfloat16 product | {reached / matrix[torch.bfloat16]:.0%} |")


def losses(data_dir: str, seeds: int = 3, size: int = 10_000) -> None:
    r"""Prints what an epoch of the plain and of the fast step comes to, over seeds."""

    train = load("mnist", "train", data_dir=data_dir)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    used, held = train.select(order[:size]), train.select(order[-5000:])
    figures = {
        name: [epoch_of(networks, precision, layout, used, held, seed) for seed in range(seeds)]
        for name, networks, precision, layout in (
            ("plain networks, fp32", plain_networks, "32", torch.contiguous_format),
            ("swae", lambda: build(SHAPE, 2), "auto", torch.channels_last),
        )
    }
    print(
        f"\nAfter one epoch of {size:,} images, on 5,000 others: mean (deviation), {seeds} seeds\n"
    )
    print("| | BCE | L1 | SW2 |\n|---|---|---|---|")
    for name, rows in figures.items():
        cells = [
            f"{statistics.mean(v):.4f} ({statistics.stdev(v):.4f})"
            for v in zip(*rows, strict=True)
        ]
        print(f"| {name} | {' | '.join(cells)} |")


def epoch_of(
    networks: Callable[[], tuple[nn.Module, nn.Module]],
    precision: str,
    layout: torch.memory_format,
    used: Samples,
    held: Samples,
    seed: int,
) -> tuple[float, float, float]:
    torch.manual_seed(seed)
    model = Autoencoder(*networks(), SlicedWassersteinLoss(Uniform(2))).to(memory_format=layout)
    epochs = train_epochs(
        model, ArrayBatches(used, 125, seed=seed), make_optimizer("adam", model, 1e-3),
        max_epochs=1, seed=seed, fabric=fabric_for("cpu", precision),
    )  # fmt: skip
    list(itertools.islice(epochs, 1))
    result = evaluate(model, held.x, Uniform(2))
    return result.bce or 0.0, result.l1, result.match.sw2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=90, help="About how long a table takes.")
    parser.add_argument(
        "--keep", action="store_true", help="Let all of them keep freed memory, as swae fit does."
    )
    parser.add_argument("--losses", action="store_true", help="Compare what is learnt instead.")
    parser.add_argument("--data-dir", help="Folder of MNIST, for --losses.")
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.keep:
        keep_freed_memory()
    print(machine())
    if args.losses:
        losses(args.data_dir)
        return
    ours = steps(args.seconds)
    whole(args.seconds)
    roofline(ours)


if __name__ == "__main__":
    main()
