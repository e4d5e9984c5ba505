r"""Checkpoints: where training stands, on disk.

A run's checkpoints are folders named by the number of epochs done, and of batches of the next, if
it was under way: ``epoch-0007`` and ``epoch-0007-000250`` hold the model's weights, the
optimiser's state and what has been counted so far, with a manifest of their sums
(:mod:`swae.manifest`). Nothing is pickled. They hold no generator, for every draw is a function of
seed and step (:mod:`swae.seeding`). Such a folder is filled under another name, so that whatever
ends the process leaves it whole or not there.

Not every epoch is worth a checkpoint on the disk, but the last one before an interruption is:
:class:`Keeper` has it in memory until then, as tensors in memory that it takes once: to pack
them into files after each epoch would take many times as long, and three times the memory.
"""

__all__ = [
    "Checkpoint",
    "Keeper",
    "Kept",
    "checkpoints",
    "keep_checkpoint",
    "latest_checkpoint",
    "number",
    "optimizer_tensors",
    "restore_optimizer",
    "save_checkpoint",
    "write_checkpoint",
]

import logging
import re
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from .manifest import CorruptError, from_json, read_folder, to_json, write_folder
from .postponing import postponed
from .weights import from_safetensors, to_safetensors

logger = logging.getLogger("swae")

KEPT = 2
r"""The number of checkpoints that are kept: one that may be damaged, and one before it."""

NAME = re.compile(r"epoch-[0-9]+(-[0-9]+)?")
r"""What the folder of a checkpoint is called."""

RARELY = 20
r"""How many times longer than one is written it is at least trained before the next."""


class Checkpoint(NamedTuple):
    r"""Where a run stands.

    Arguments:
        epoch: The number of epochs done.
        model: The model's tensors by name.
        optimizer: The optimiser's tensors, named ``index.key`` by parameter.
        extra: Further tensors by name.
        info: What else was saved, as JSON has it.
    """

    epoch: int
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    extra: dict[str, Tensor]
    info: dict[str, Any]


Tensors = Mapping[str, Mapping[str, Tensor]]
r"""The tensors of a checkpoint by file, and by name."""


class Kept(NamedTuple):
    r"""A checkpoint in memory.

    Arguments:
        epoch: The number of epochs done.
        batch: The number of batches done of the next.
        tensors: The tensors of its files: those that are trained on, or a copy.
        info: What else belongs to it, as JSON has it.
    """

    epoch: int
    batch: int
    tensors: Tensors
    info: dict[str, Any]


def save_checkpoint(
    folder: Path,
    epoch: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    extra: Mapping[str, Tensor] | None = None,
    info: Mapping[str, Any] | None = None,
) -> Path:
    r"""Writes a checkpoint and removes all but the last two.

    Arguments:
        folder: The folder of a run's checkpoints.
        epoch: The number of epochs done.
        model: The model.
        optimizer: Its optimiser.
        extra: Further tensors by name.
        info: What else to keep, as JSON has it.

    Returns:
        The folder of this checkpoint.
    """

    return write_checkpoint(folder, keep_checkpoint(epoch, model, optimizer, extra, info))


def keep_checkpoint(
    epoch: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    extra: Mapping[str, Tensor] | None = None,
    info: Mapping[str, Any] | None = None,
    batch: int = 0,
) -> Kept:
    r"""Returns what :func:`save_checkpoint` writes; training goes on in the same tensors.

    Arguments:
        epoch: As there, and so are the others.
        model: The model.
        optimizer: Its optimiser.
        extra: Further tensors by name.
        info: What else to keep.
        batch: The number of batches done of the next epoch.
    """

    tensors = {
        "model": model.state_dict(),
        "optimizer": optimizer_tensors(optimizer),
        "extra": extra or {},
    }
    return Kept(epoch, batch, tensors, {"threads": torch.get_num_threads(), **(info or {})})


def write_checkpoint(folder: Path, kept: Kept) -> Path:
    r"""Writes a checkpoint that was kept, and removes all but the last two."""

    epoch, batch, tensors, info = kept
    target = folder / (f"epoch-{epoch:04d}" + (f"-{batch:06d}" if batch else ""))
    files = {f"{name}.safetensors": to_safetensors(those) for name, those in tensors.items()}
    write_folder(target, files | {"info.json": to_json({"epoch": epoch, **info})})
    # What lies above this one was passed over, and would take its place.
    rest = [path for path in checkpoints(folder) if number(path) <= (epoch, batch)][-KEPT:]
    for path in checkpoints(folder):
        if path not in rest:
            shutil.rmtree(path)

    return target


@final
class Keeper:
    r"""Keeps the newest checkpoint, in memory until it is time to write it.

    It is a context: whatever ends it, an interruption among others, what was kept is written. A
    signal that comes while it copies or writes waits for that.

    Arguments:
        folder: The folder of a run's checkpoints.
        every: The seconds between two that are written; if it is not positive, each epoch's is,
            and none within an epoch.
    """

    def __init__(self, folder: Path, every: float) -> None:
        self.folder, self.every = folder, every
        self.kept: Kept | None = None
        self.copies: dict[str, dict[str, Tensor]] = {}
        self.written, self.took = time.monotonic(), 0.0

    def offer(self, keep: Callable[[], Kept], *, last: bool) -> None:
        r"""Takes the state after an epoch.

        Arguments:
            keep: Returns it.
            last: Whether it is the last one, which is written at once.
        """

        with postponed():
            self.kept = keep()
            if last or self.is_time():
                self.write()
            else:
                self.kept = self.copied(self.kept)

    def offer_within(self, keep: Callable[[], Kept]) -> None:
        r"""Takes the state within an epoch, if it is time to write one.

        Arguments:
            keep: Returns it.
        """

        if self.every > 0 and self.is_time():
            with postponed():
                self.kept = keep()
                self.write()

    def is_time(self) -> bool:
        r"""Tells whether the last one was written long enough ago."""

        pause = max(self.every, RARELY * self.took) if self.every > 0 else self.every
        return time.monotonic() - self.written > pause

    def copied(self, kept: Kept) -> Kept:
        r"""Copies tensors to where those of the epoch before were, as far as they fit."""

        for file, tensors in kept.tensors.items():
            before = self.copies.get(file, {})
            self.copies[file] = {name: copy(t, before.get(name)) for name, t in tensors.items()}
        return kept._replace(tensors=self.copies)

    def write(self) -> None:
        r"""Writes what was kept, if it is not written."""

        if self.kept is not None:
            began = time.monotonic()
            write_checkpoint(self.folder, self.kept)
            self.kept, self.written = None, time.monotonic()
            self.took = self.written - began

    def __enter__(self) -> "Keeper":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with postponed():
            if kind is None:
                self.write()
            else:
                with suppress(OSError):  # a full disk, most likely, which is what ended it
                    self.write()


def copy(tensor: Tensor, to: Tensor | None) -> Tensor:
    r"""Copies a tensor into another one of the processor's memory, a new one if it is unlike."""

    tensor = tensor.detach()
    if to is None or to.shape != tensor.shape or to.dtype != tensor.dtype:
        to = torch.empty_like(tensor, device="cpu")
    return to.copy_(tensor)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    r"""Returns the state of an optimiser as tensors named ``index.key`` by parameter."""

    return {
        f"{index}.{key}": torch.as_tensor(value)
        for index, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }


def checkpoints(folder: Path) -> list[Path]:
    r"""Returns the checkpoints' folders, the oldest first."""

    return sorted((p for p in folder.glob("epoch-*") if NAME.fullmatch(p.name)), key=number)


def number(path: Path) -> tuple[int, int]:
    r"""Returns the number of epochs done, and that of batches of the next.

    Example:
        >>> number(Path("epoch-0007")), number(Path("epoch-0007-000250"))
        ((7, 0), (7, 250))
    """

    epoch, _, batch = path.name.removeprefix("epoch-").partition("-")
    return int(epoch), int(batch or 0)


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    r"""Reads the newest checkpoint that is whole, and says where one was not.

    Arguments:
        folder: The folder of a run's checkpoints.

    Returns:
        The checkpoint; :py:`None` if there is none.

    Raises:
        CorruptError: If there are checkpoints, and none is whole.
    """

    for path in reversed(checkpoints(folder)):
        try:
            return read_checkpoint(path)
        except CorruptError as error:
            logger.warning("Passed over the checkpoint %s: %s", path.name, error)
    if checkpoints(folder):
        raise CorruptError(f"No checkpoint in {folder} is whole; --overwrite begins anew.")
    return None


def read_checkpoint(path: Path) -> Checkpoint:
    files = read_folder(path)
    try:
        model, optimizer, extra = (
            from_safetensors(files[f"{name}.safetensors"], path / f"{name}.safetensors")
            for name in ("model", "optimizer", "extra")
        )
        info = dict(from_json(files["info.json"], path / "info.json"))
        return Checkpoint(info.pop("epoch"), model, optimizer, extra, info)
    except (KeyError, TypeError) as error:
        raise CorruptError(f"{path} lacks {error}.") from error


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    r"""Puts saved tensors back into an optimiser.

    Arguments:
        optimizer: The optimiser, with its parameters and settings.
        tensors: Its state, as in :attr:`Checkpoint.optimizer`.
    """

    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        parameter = parameters[int(index)]
        if tensor.shape == parameter.shape:
            # Fused optimisers walk memory: a moment has to lie there as its parameter does.
            tensor = torch.empty_like(parameter).copy_(tensor)
        state.setdefault(int(index), {})[key] = tensor

    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
