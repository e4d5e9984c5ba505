r"""Early stopping: keeping the best epoch's weights.

An epoch is judged by the loss on samples that are held back. Training is over when so many epochs
in a row, the patience, were no better than the best one, whose weights are kept aside. They are
part of a checkpoint, so that an interrupted run stops where an uninterrupted one does.
"""

__all__ = ["Best"]

from typing import final

from torch import Tensor, nn

from .checkpoint import Checkpoint


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
