r"""Early stopping: keeping the best epoch's weights.

An epoch is judged by the loss on samples that are held back. Training is over when so many epochs
in a row, the patience, were no better than the best one, whose weights are kept aside. They are
part of a checkpoint, so that an interrupted run stops where an uninterrupted one does.
"""

__all__ = ["Best", "objective"]

from typing import final

import torch
from torch import Tensor, nn

from .autoencoder import Autoencoder
from .checkpoint import Checkpoint
from .data import to_float
from .metrics import evaluating
from .seeding import stream
from .shards import Rows


@final
class Best:
    r"""The best epoch so far, by the loss on samples held back.

    Arguments:
        patience: The epochs without improvement after which training is over; :py:`None` never
            ends it.

    Example:
        >>> best, model = Best(patience=2), nn.Linear(1, 1)
        >>> for epoch, loss in enumerate([0.9, 0.5, 0.6, 0.7], start=1):
        ...     best.offer(loss, epoch, model)
        >>> best.epoch, best.is_over(4)
        (2, True)
    """

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
        self.value: float | None = None
        self.epoch = 0
        self.state: dict[str, Tensor] | None = None

    def offer(self, value: float, epoch: int, model: nn.Module) -> None:
        r"""Keeps the weights of a model if its loss is the lowest so far."""

        if self.value is None or value < self.value:
            self.value, self.epoch = value, epoch
            self.state = {name: t.detach().clone() for name, t in model.state_dict().items()}

    def is_over(self, epoch: int) -> bool:
        r"""Tells whether the patience has ended after an epoch."""

        return self.patience is not None and epoch - self.epoch >= self.patience

    def restore(self, checkpoint: Checkpoint) -> None:
        r"""Goes on from where a checkpoint stood."""

        self.value = checkpoint.info.get("best")
        self.epoch = checkpoint.info.get("best_epoch", 0)
        self.state = checkpoint.extra or None


@torch.no_grad()
def objective(model: Autoencoder, held: Rows, batch_size: int, seed: int) -> float:
    r"""Computes the loss on samples held back, with the same draws at each call.

    Arguments:
        model: The model.
        held: The samples.
        batch_size: The samples a batch, as in training: the penalty depends on it.
        seed: The seed of the draws.

    Returns:
        The mean of the total loss.
    """

    device = next(model.parameters()).device
    labels = None if held.labels is None else held.labels.to(device).split(batch_size)
    losses = []
    with evaluating(model):
        for i, part in enumerate(held.chunks(batch_size)):
            loss = model.loss(
                to_float(part).to(device),
                None if labels is None else labels[i],
                generator=stream(seed, "validation", i),
            )
            losses.append(len(part) * loss.total)
    return float(torch.stack(losses).sum()) / len(held)
