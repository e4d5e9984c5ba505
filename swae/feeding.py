r"""From what a user gives to fit to the batches that training takes.

Arrays are shuffled and cut here, with a part held back to judge epochs by. Datasets and data
loaders come as they are; nobody has seen all that they will give, so each batch is asked whether
the output can give it.
"""

__all__ = [
    "Train",
    "UnitBatches",
    "batches_of",
    "fingerprint_of",
    "first_of",
    "hold_back",
    "hold_back_shards",
    "loaded",
    "parts_of",
    "some_of",
]

from collections.abc import Iterator, Mapping, Sized
from typing import Any, cast, final

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .data import (
    ArrayBatches,
    Batch,
    Batches,
    DataError,
    LoaderBatches,
    Samples,
    holdout,
    to_float,
)
from .seeding import stream
from .settings import batch_size, check_unit, setting
from .shards import Rows, ShardBatches, Shards

CHUNK = 1000
r"""The samples that are cast at once."""

Train = Rows | LoaderBatches
r"""What is trained on: samples, in memory or in shards, or batches that come as they are."""


def hold_back(samples: Samples, params: Mapping[str, Any]) -> tuple[Samples, Samples | None]:
    r"""Draws what is trained on and what epochs are judged by, if anything is.

    Arguments:
        samples: All samples.
        params: The parameters: ``validation_size``, the seed, and ``conditional``, for which a
            sample of each class is trained on though it was drawn to be held back.

    Raises:
        ValueError: If it would leave nothing on one side.
    """

    size, n = setting(params, "validation_size"), len(samples)
    if n < 2:
        raise ValueError("X has to hold at least 2 samples to train on, but holds 1 sample.")
    if size == 0:
        return samples, None
    held_back = int(size) if size >= 1 else max(1, round(n * size))
    if not 0 < held_back < n:
        raise ValueError(
            f"validation_size has to leave samples to train on and samples to judge by, but is "
            f"{size!r} of {n}; 0 holds none back."
        )
    kept, held = holdout(n, held_back, seed=params["random_state"])
    if params["conditional"]:
        kept, held = with_each_class(cast(Tensor, samples.labels).cpu(), kept, held)
    return samples.select(kept), samples.select(held)


def hold_back_shards(shards: Shards, params: Mapping[str, Any]) -> tuple[Shards, Shards | None]:
    r"""Draws which shards are trained on and which epochs are judged by, if any.

    Of a single one nothing is held back unless somebody asks.

    Raises:
        ValueError: If there is only one, or a class that labels choose is held back alone.
    """

    size = setting(params, "validation_size")
    asked = params["validation_size"] is not None or params["patience"] is not None
    if size == 0 or (len(shards.files) == 1 and not asked):
        return shards, None
    kept, held = shards.hold_out(size / len(shards) if size >= 1 else size, params["random_state"])
    if kept.labels is not None and held.labels is not None:
        lost = set(held.labels.tolist()) - set(kept.labels.tolist()) - {-1}
        if lost:
            raise ValueError(
                f"validation_size={size!r} holds back whole shards, and some classes are in these "
                "alone; mix the rows of classes before they are written, or give 0."
            )
    return kept, held


def with_each_class(labels: Tensor, kept: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
    r"""Moves a sample of each class that would be held back as a whole to what is trained on.

    Raises:
        ValueError: If nothing would be held back any more.

    Example:
        >>> with_each_class(torch.tensor([0, 1, 1, 1, -1]), torch.tensor([0]), torch.arange(1, 5))
        (tensor([0, 1]), tensor([2, 3, 4]))
    """

    lost = set(labels[held].tolist()) - set(labels[kept].tolist()) - {-1}
    if not lost:
        return kept, held
    first = torch.stack([held[labels[held] == c][0] for c in sorted(lost)])
    held = held[~torch.isin(held, first)]
    if not len(held):
        raise ValueError(
            "validation_size has to leave samples to judge by beside one of each class to train "
            "on, but all that it holds back are the only ones of their class."
        )
    return torch.cat((kept, first)).sort().values, held


def loaded(data: Dataset[Any] | DataLoader[Any], params: Mapping[str, Any]) -> LoaderBatches:
    r"""Makes batches of a dataset; a data loader has its own.

    Raises:
        ValueError: If a parameter wants samples held back.
        DataError: If the items have another shape than ``image_shape``.
    """

    if params["validation_size"] or params["patience"] is not None:
        raise ValueError(
            "validation_size and patience hold back samples of arrays; give a dataset or data "
            "loader without the samples that you hold back."
        )
    size, drop_last = params["batch_size"], bool(params["drop_last"])
    if not isinstance(data, DataLoader):
        size = batch_size(params, len(data) if isinstance(data, Sized) else 0)
        drop_last = setting(params, "drop_last")
    batches = LoaderBatches(data, size, seed=params["random_state"], drop_last=drop_last)
    shape = params["image_shape"]
    if shape is not None and batches.shape != tuple(shape):
        raise DataError(
            f"The items have shape {batches.shape}, but image_shape is {tuple(shape)}: reshape "
            "them in the dataset."
        )
    return batches


def batches_of(train: Train, settings: Mapping[str, Any]) -> Batches:
    r"""Returns the batches that settings describe."""

    if isinstance(train, LoaderBatches):
        return UnitBatches(train) if settings["output"] == "sigmoid" else train
    size, drop_last = settings["batch_size"], settings["drop_last"]
    if isinstance(train, Shards):
        batches = ShardBatches(train, size, seed=settings["random_state"], drop_last=drop_last)
        unit = settings["output"] == "sigmoid" and train.dtype != torch.uint8
        return UnitBatches(batches) if unit else batches
    return ArrayBatches(train, size, seed=settings["random_state"], drop_last=drop_last)


@final
class UnitBatches(Batches):
    r"""Batches that a sigmoid can give.

    Arguments:
        batches: The batches.

    Example:
        >>> x = torch.tensor([[0.5], [2.0]])
        >>> batches = UnitBatches(LoaderBatches(DataLoader(torch.utils.data.TensorDataset(x))))
        >>> [len(batch.x) for batch in batches.epoch(0)]
        Traceback (most recent call last):
            ...
        swae.images.DataError: output='sigmoid' and a cross-entropy want data in [0, 1], but
        batch 1 of epoch 0 reaches from 2 to 2; scale it, or use reconstruction='mse' and
        output='linear'.
    """

    def __init__(self, batches: Batches) -> None:
        self.batches, self.shape, self.n = batches, batches.shape, batches.n
        self.same_for_ranks = batches.same_for_ranks

    def __len__(self) -> int:
        return len(self.batches)

    def size(self, i: int) -> int:
        return self.batches.size(i)

    def of_rank(self, rank: int, ranks: int) -> "UnitBatches":
        return UnitBatches(self.batches.of_rank(rank, ranks))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for number, batch in enumerate(self.batches.epoch(epoch, start), start):
            if len(batch.x):  # a rank may have no row
                low, high = map(float, batch.x.aminmax())
                check_unit(low, high, f"batch {number} of epoch {epoch}")
            yield batch


def parts_of(train: Train) -> Iterator[Tensor]:
    r"""Iterates over data in float32, part by part."""

    if isinstance(train, Samples | Shards):
        return map(to_float, train.blocks(CHUNK))
    return (batch.x for batch in train.epoch(0))


def first_of(batches: Batches, n: int) -> Tensor:
    r"""Returns the first samples of an epoch, n of them or a batch more."""

    parts: list[Tensor] = []
    for batch in batches.epoch(0):
        parts.append(batch.x.cpu())
        if sum(map(len, parts)) >= n:
            break
    return torch.cat(parts)


def some_of(batches: Batches, n: int, seed: int) -> Samples:
    r"""Returns some of the samples, n at most, that are a function of the seed."""

    if not isinstance(batches, ArrayBatches):
        return Samples(first_of(batches, n)[:n])
    order = torch.randperm(len(batches.samples), generator=stream(seed, "typical"))
    return batches.samples.select(order[:n].sort().values)


def fingerprint_of(train: Train, *, labels: bool) -> str | None:
    r"""Returns a sum of samples, and of their labels where these count."""

    if isinstance(train, LoaderBatches):
        return None
    digest = train.fingerprint()
    if not labels or train.labels is None:
        return digest
    return f"{digest}-{Samples(train.labels[:, None]).fingerprint()}"
