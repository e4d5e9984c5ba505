r"""Training, epoch by epoch.

:func:`train_epochs` is a generator: it trains an epoch, yields its record and waits. Whatever
belongs between two epochs (evaluation, a checkpoint, another :math:`\lambda`, the decision to
stop) is up to whoever iterates. It knows nothing of a model but ``model.loss(x, labels,
generator=...)``.

Nothing in it has a memory besides the model, its optimiser and the sums of an epoch that is under
way (:class:`UnderWay`). The order of the samples is a
function of seed and epoch, the draws of the penalty and of layers as dropout of seed and step,
the learning rate of the share
:math:`t = \text{step} / \text{total}` of the way that is done. So a run that starts at epoch
:math:`k`, or at a batch of it, with the weights and the optimiser of an earlier one ends with the
same weights.

Where :mod:`torch.distributed` is initialised its ranks train one model: each calls
:func:`train_epochs` with the same arguments, takes its own rows of each batch, and ends with the
weights that one process has, but for rounding (:mod:`swae.distributed`). Records are those of
whole batches, and the same on all ranks, as is what a run that diverges raises.
"""

__all__ = [
    "DivergedError",
    "Epoch",
    "Optimizer",
    "Precision",
    "Schedule",
    "UnderWay",
    "check_ranks",
    "fabric_for",
    "make_optimizer",
    "precision_for",
    "train_epochs",
    "under_way_of",
]

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import Tensor, nn

from .accumulation import accumulate, average_gradients
from .autoencoder import Autoencoder, Loss
from .data import Batches
from .distributed import meet, total_of
from .faults import point
from .joining import joined_ranks
from .seeding import reseeded, stream

Optimizer = Literal["adam", "adamw", "rmsprop"]
r"""The names of the optimisers."""

Precision = Literal["auto", "32", "bf16", "16"]
r"""The precisions of training; all but 32 are mixed, their weights and losses in float32."""

Schedule = Literal["constant", "cosine", "one-cycle"]
r"""The names of the learning rate's courses."""


class DivergedError(ArithmeticError):
    r"""A loss, a gradient or weights that are not finite."""


class Epoch(NamedTuple):
    r"""What an epoch of training was.

    Arguments:
        number: The number of epochs done, from 1.
        step: The number of optimiser steps done.
        seconds: The wall time of its training, without what the caller does between epochs.
        loss: The mean of the total loss.
        parts: The means of the loss's unweighted terms by name.
        learning_rate: The rate of its last step.
    """

    number: int
    step: int
    seconds: float
    loss: float
    parts: dict[str, float]
    learning_rate: float


class UnderWay(NamedTuple):
    r"""Where an epoch stands that is under way.

    Arguments:
        batch: The number of batches done.
        samples: The number of samples seen, by all ranks together.
        seconds: The wall time of training them.
        sums: The sums of the loss's terms over these samples, ``loss`` among them.
        ranks: The number of ranks.
    """

    batch: int = 0
    samples: int = 0
    seconds: float = 0.0
    sums: Mapping[str, float] = {}
    ranks: int = 1


Progress = Callable[[int, int, dict[str, float]], None]
r"""Called after each step with the step, the number of samples and the loss's parts."""


def train_epochs(
    model: nn.Module,
    batches: Batches,
    optimizer: torch.optim.Optimizer,
    *,
    max_epochs: int,
    start: int = 0,
    under_way: UnderWay | None = None,
    steps: int | None = None,
    schedule: Schedule = "constant",
    seed: int = 0,
    micro_batch_size: int | None = None,
    fabric: Fabric | None = None,
    progress: Progress | None = None,
    after_step: Callable[[Callable[[], UnderWay]], None] | None = None,
) -> Iterator[Epoch]:
    r"""Trains a model in place and yields a record after each epoch.

    Arguments:
        model: The model, with a method ``loss(x, labels, generator=...)``.
        batches: The data; of several ranks each is given the same, and reads its own rows.
        optimizer: The optimiser of the model's parameters. Its learning rate is the schedule's
            peak.
        max_epochs: The number of epochs that the schedule is made for, and the last one.
        start: The number of epochs that model and optimiser have behind them.
        under_way: What they have behind them of the next epoch, if anything.
        steps: The number of steps behind them, where epochs had not all as many as these.
        schedule: The course of the learning rate, see :func:`learning_rate`.
        seed: The seed of all draws.
        micro_batch_size: The samples that pass the networks at a time, where a batch has more
            than the memory takes; it wants an :class:`~swae.autoencoder.Autoencoder`, see
            :mod:`swae.accumulation`. If :py:`None`, a batch passes as a whole.
        fabric: The device and the precision; if :py:`None`, the CPU in float32.
        progress: Called after each step. Of several ranks each that has one is told of whole
            batches, taken to be equal.
        after_step: Called after each step but an epoch's last, with a function that returns where
            the epoch stands; model and optimiser may be stored then, too.

    Yields:
        The epochs' records. The model is put into training mode at the start of each epoch.

    Raises:
        ValueError: If the penalty knows nothing of several ranks.
        DivergedError: If a loss or a gradient is not finite, and then the step is not taken; or
            if the weights are not at the end of an epoch.

    Example:
        >>> from swae import Autoencoder, SlicedWassersteinLoss, Uniform
        >>> from swae.data import ArrayBatches, as_samples
        >>> from swae.networks import build
        >>> model = Autoencoder(
        ...     *build((8,), 2), SlicedWassersteinLoss(Uniform(2)), reconstruction="mse"
        ... )
        >>> batches = ArrayBatches(as_samples(torch.rand(100, 8)), batch_size=50)
        >>> optimizer = make_optimizer("adam", model, 1e-3)
        >>> [epoch.step for epoch in train_epochs(model, batches, optimizer, max_epochs=3)]
        [2, 4, 6]
    """

    fabric = fabric or fabric_for("cpu", "32")
    peaks = [group["lr"] for group in optimizer.param_groups]
    runner, stepper = fabric.setup(model, optimizer)
    runner.mark_forward_method("loss")
    way = under_way or UnderWay()
    step = start * len(batches) + way.batch if steps is None else steps
    total = max_epochs * len(batches)
    rank, ranks = fabric.global_rank, fabric.world_size
    check_ranks(model, ranks)
    batches = batches.of_rank(rank, ranks) if ranks > 1 else batches

    for index in range(start, max_epochs):
        model.train()
        began = time.perf_counter() - way.seconds
        sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=fabric.device))
        sums |= {k: torch.tensor(v, device=fabric.device) for k, v in way.sums.items()}
        count = way.samples

        for i, (x, labels) in enumerate(batches.epoch(index, way.batch), way.batch):
            set_rates(optimizer, peaks, learning_rate(schedule, step / total))
            x = x.to(fabric.device, non_blocking=True)
            labels = None if labels is None else labels.to(fabric.device, non_blocking=True)
            point("train.step", x)
            generator = stream(seed, "penalty", step)

            where = f"step {step} (epoch {index + 1}, batch {i + 1} of {len(batches)})"

            # The backward pass draws again where activations are computed anew.
            with reseeded(seed, "network", step, *own(rank), device=fabric.device):
                stepper.zero_grad()
                if micro_batch_size is None or (ranks == 1 and len(x) <= micro_batch_size):
                    # On one device Fabric hands a marked method through without its precision.
                    with fabric.autocast():
                        loss: Loss = runner.loss(x, labels, generator=generator)
                    check_loss(loss, where)
                    fabric.backward(loss.total)
                else:
                    # Of several ranks all do, or they would wait for each other elsewhere.
                    loss = in_parts(model, x, labels, micro_batch_size, generator, fabric)
                    check_loss(loss, where)
            check_gradient(model, loss, where, fabric)
            stepper.step()
            step += 1

            # Of several ranks each has the values of the whole batch, and counts all of its rows.
            rows = len(x) if ranks == 1 else batches.size(i)
            count += rows
            for name, value in {**loss.parts, "loss": loss.total}.items():
                sums[name] += value.detach() * rows
            if progress is not None:
                parts = {name: float(value.detach()) for name, value in loss.parts.items()}
                progress(step, rows, parts)
            if after_step is not None and i + 1 < len(batches):
                after_step(partial(standing, i + 1, ranks, count, sums, began))

        way = UnderWay()
        check_weights(model, step)
        means = means_of(sums, count, together=ranks > 1)
        rate = optimizer.param_groups[0]["lr"]
        set_rates(optimizer, peaks, 1.0)
        seconds = time.perf_counter() - began

        yield Epoch(index + 1, step, seconds, means.pop("loss"), means, rate)


def standing(
    batch: int, ranks: int, count: int, sums: Mapping[str, Tensor], began: float
) -> UnderWay:
    r"""Returns where an epoch stands; ranks do not meet for it, for one alone may want to know."""

    values = {name: float(value) for name, value in sums.items()}
    return UnderWay(batch, count, time.perf_counter() - began, values, ranks)


def under_way_of(told: object, batches: int) -> UnderWay:
    r"""Returns what a checkpoint tells of an epoch that was under way, if one was.

    Arguments:
        told: What it tells, as JSON has it; :py:`None` between two epochs.
        batches: The number of batches of an epoch.

    Raises:
        ValueError: If no such epoch of so many batches can be.
    """

    if told is None:
        return UnderWay()
    try:
        told = cast(dict[str, Any], told)
        sums = {str(name): float(value) for name, value in told["sums"].items()}
        numbers = (int(told[name]) for name in ("batch", "samples", "ranks"))
        batch, samples, ranks = numbers
        way = UnderWay(batch, samples, float(told["seconds"]), sums, ranks)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            "The checkpoint does not tell where its epoch stood as it should."
        ) from error
    if not 0 < way.batch < batches or way.samples < 1:
        raise ValueError(
            f"The checkpoint was made after batch {way.batch} of an epoch, which has {batches}."
        )
    return way


def check_ranks(model: nn.Module, ranks: int) -> None:
    r"""Refuses what several ranks can't do as one would.

    Raises:
        ValueError: If the penalty knows nothing of other ranks.
    """

    if ranks == 1:
        return
    penalty = getattr(model, "penalty", None)
    if penalty is not None and not hasattr(penalty, "group"):
        raise ValueError(
            f"Several ranks want a penalty that matches the codes of all, but {type(penalty)} has "
            "no attribute group; swae.distributed says how one gathers them."
        )


def own(rank: int) -> tuple[int, ...]:
    r"""Returns what sets a rank's draws apart from those of rank 0, which are one process's."""

    return (rank,) if rank else ()


def means_of(sums: Mapping[str, Tensor], count: int, *, together: bool) -> dict[str, float]:
    r"""Returns means over an epoch's samples, those of all ranks where they train together."""

    values = [*sums.values(), torch.tensor(count, device=next(iter(sums.values())).device)]
    *totals, n = total_of(torch.stack(values), meet(None, together=together)).tolist()
    return {name: total / n for name, total in zip(sums, totals, strict=True)}


def in_parts(
    model: nn.Module,
    x: Tensor,
    labels: Tensor | None,
    rows: int,
    generator: torch.Generator,
    fabric: Fabric,
) -> Loss:
    r"""Takes the gradient of a batch, so many of its rows at a time, in a Fabric's precision."""

    with fabric.autocast():
        loss = accumulate(
            cast(Autoencoder, model),
            x,
            labels,
            rows=rows,
            generator=generator,
            backward=fabric.backward,
        )
    average_gradients(model)
    return loss


def set_rates(optimizer: torch.optim.Optimizer, peaks: list[float], factor: float) -> None:
    r"""Sets the learning rate of each group of parameters to a share of its peak."""

    for group, peak in zip(optimizer.param_groups, peaks, strict=True):
        group["lr"] = peak * factor


def learning_rate(schedule: Schedule, t: float, warm: float = 0.25, low: float = 0.04) -> float:
    r"""Returns the learning rate as a share of its peak.

    .. math::
        \text{cosine} & : \tfrac{1}{2} (1 + \cos \pi t) \\
        \text{one-cycle} & : \text{a cosine up from ``low`` to 1 until ``warm``, then down to 0}

    Arguments:
        schedule: The name of the course.
        t: The share of all steps that is done, in [0, 1].
        warm: Where the one-cycle has its peak.
        low: Where the one-cycle starts.

    Returns:
        The factor, in [0, 1].

    Raises:
        ValueError: If the name is unknown.

    References:
        | Super-Convergence (Smith and Topin, 2018)
        | https://arxiv.org/abs/1708.07120

    Example:
        >>> learning_rate("one-cycle", 0.25)
        1.0
    """

    match schedule:
        case "constant":
            return 1.0
        case "cosine":
            return fall(t)
        case "one-cycle" if t < warm:
            return low + (1 - low) * (1 - fall(t / warm))
        case "one-cycle":
            return fall((t - warm) / (1 - warm))
    raise ValueError(f"schedule has to be one of {get_args(Schedule)}, but is {schedule!r}.")


def fall(t: float) -> float:
    r"""Half a cosine from 1 to 0."""

    return (1 + math.cos(math.pi * t)) / 2


def make_optimizer(name: Optimizer, model: nn.Module, rate: float) -> torch.optim.Optimizer:
    r"""Creates an optimiser.

    RMSprop has the constants of Keras (:math:`\rho = 0.9, \epsilon = 10^{-7}`), the paper's.

    Arguments:
        name: The name of the optimiser.
        model: The model whose parameters it moves.
        rate: The learning rate.

    Returns:
        The optimiser.

    Raises:
        ValueError: If the name is unknown or the rate is not positive.
    """

    if not 0 < rate < math.inf:
        raise ValueError(f"learning_rate has to be a finite number > 0, but is {rate!r}.")
    match name:
        case "adam":
            return torch.optim.Adam(model.parameters(), rate, fused=True)
        case "adamw":
            return torch.optim.AdamW(model.parameters(), rate, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(model.parameters(), rate, alpha=0.9, eps=1e-7)
    raise ValueError(f"optimizer has to be one of {get_args(Optimizer)}, but is {name!r}.")


def fabric_for(device: str = "auto", precision: Precision = "auto") -> Fabric:
    r"""Creates the Fabric for one device, or for this rank's where ranks have met.

    Arguments:
        device: ``cpu``, ``cuda``, ``mps``, or ``auto``: ``cuda`` where it is, else ``cpu``.
        precision: ``32``, ``bf16``, ``16`` (with a scaled loss; GPU only), or ``auto``:
            ``bf16`` where the hardware multiplies it, else ``32``.

    Returns:
        The Fabric.

    Raises:
        ValueError: If the device is not there or a name is unknown.
    """

    device = device_for(device)
    places = joined_ranks(device)
    match precision_for(device, precision):
        case "32":
            fabric = Fabric(accelerator=device, precision="32-true", **places)
        case mixed:
            plugin = MixedPrecision(f"{mixed}-mixed", device)  # type: ignore[arg-type]
            fabric = Fabric(accelerator=device, plugins=plugin, **places)
    fabric.launch()  # which starts nothing: ranks are there, or there is one
    return fabric


def precision_for(device: str, precision: Precision) -> Precision:
    r"""Returns what ``auto`` stands for on a device, and other names as they are.

    Raises:
        ValueError: If the name is unknown, or the device can't do it.
    """

    if precision not in get_args(Precision):
        raise ValueError(
            f"precision has to be one of {get_args(Precision)}, but is {precision!r}."
        )
    if precision == "16" and device == "cpu":
        raise ValueError("precision='16' wants a GPU; on a CPU use 'bf16' or '32'.")
    if precision == "auto":
        return "bf16" if has_bfloat16(device) else "32"
    return precision


def device_for(device: str) -> str:
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":  # not mps, which lacks float64 and the decompositions of directions
        return "cuda" if there["cuda"] else "cpu"
    if device not in there:
        raise ValueError(f"device has to be auto, cpu, cuda or mps, but is {device!r}.")
    if not there[device]:
        raise ValueError(f"device={device!r} is not there; 'auto' takes what is.")
    return device


def has_bfloat16(device: str) -> bool:
    r"""Tells whether a device multiplies bfloat16 in hardware, where it is faster than float32."""

    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "cpu":
        return bool({"amx_bf16", "avx512_bf16"} & cpu_flags())
    return False


def cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # another system than Linux: float32 is right there, if slower
        return set()
    return {flag for line in lines if line.startswith("flags") for flag in line.split()}


def check_loss(loss: Loss, where: str) -> None:
    if torch.isfinite(loss.total):
        return
    bad = [name for name, value in loss.weighted.items() if not torch.isfinite(value)]
    terms = " and ".join(bad) or "total"
    raise DivergedError(
        f"The loss is {float(loss.total.detach())} at {where}, by its term {terms}; "
        "a lower learning_rate may help."
    )


def check_gradient(model: nn.Module, loss: Loss, where: str, fabric: Fabric) -> None:
    r"""Refuses a gradient that is not finite, but for a scaled one, whose scaler skips it."""

    precision = fabric.strategy.precision
    if isinstance(precision, MixedPrecision) and precision.scaler is not None:
        return
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    point("train.gradient", next(iter(grads.values()), None))
    bad = not_finite(grads)
    if bad is None:
        return
    raise DivergedError(
        f"The gradient is not finite at {where}, in {bad}, although the loss's terms are "
        f"{ {name: float(value.detach()) for name, value in loss.weighted.items()} }; "
        "a lower learning_rate may help."
    )


def check_weights(model: nn.Module, step: int) -> None:
    r"""Refuses weights that are not finite, before anyone can store them."""

    bad = not_finite(dict(model.named_parameters()))
    if bad is not None:
        raise DivergedError(
            f"The weights are not finite after step {step}, in {bad}; "
            "a lower learning_rate may help."
        )


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    r"""Returns the name of the first tensor that holds NaN or infinity."""

    # One number tells nearly always; the norm of large finite numbers may overflow, too.
    if torch.isfinite(torch.nn.utils.get_total_norm([t.detach() for t in tensors.values()])):
        return None
    return next((name for name, t in tensors.items() if not torch.isfinite(t).all()), None)
