r"""Models and checkpoints on disk.

Both are folders of safetensors and JSON with a manifest of sha256 sums, since neither format
notices a flipped bit. Nothing is ever pickled. A file is written under a temporary name, flushed
to the disk and moved into place, and the manifest comes last: a folder without a valid manifest
is one whose writing did not end.

A checkpoint is a folder a number of epochs: ``epoch-0007`` holds the model's weights, the
optimiser's state and what has been counted so far. It holds no generator, for every draw is a
function of seed and step (:mod:`swae.seeding`).
"""

__all__ = [
    "Checkpoint",
    "CorruptError",
    "latest_checkpoint",
    "optimizer_tensors",
    "read_folder",
    "restore_optimizer",
    "save_checkpoint",
    "write_file",
    "write_folder",
]

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

logger = logging.getLogger("swae")

MANIFEST = "manifest.json"
KEPT = 2
r"""The number of checkpoints that are kept: one that may be damaged, and one before it."""


class CorruptError(OSError):
    r"""A file of a model or a checkpoint that is missing or is not what was written."""


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


def write_file(path: Path, content: bytes) -> None:
    r"""Writes a file wholly or not at all.

    Arguments:
        path: The file; what is there is replaced.
        content: The bytes.

    Raises:
        OSError: If the disk is full or the folder can't be written. The old file is left as it
            was.
    """

    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    r"""Writes files and then the manifest of their sha256 sums.

    Arguments:
        folder: The folder; it is made where it is missing.
        files: The contents by name.
    """

    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)  # from here on the folder is unfinished
    for name, content in files.items():
        write_file(folder / name, content)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    write_file(folder / MANIFEST, to_json(sums))


def read_folder(folder: Path) -> dict[str, bytes]:
    r"""Reads the files that a manifest names.

    Arguments:
        folder: The folder.

    Returns:
        The contents by name.

    Raises:
        CorruptError: If the manifest or a file is missing, or a sum is another.
    """

    sums = from_json(read_file(folder / MANIFEST), folder / MANIFEST)
    if not isinstance(sums, dict) or not all(map(is_plain_name, sums)):
        raise CorruptError(f"{folder / MANIFEST} does not name files of its own folder.")

    files = {}
    for name, expected in sums.items():
        files[name] = read_file(folder / name)
        if hashlib.sha256(files[name]).hexdigest() != expected:
            raise CorruptError(f"{folder / name} is not what was written: its sha256 differs.")

    return files


def read_file(path: Path) -> bytes:
    try:
        if not path.is_file():  # nor would a pipe ever end
            raise FileNotFoundError("there is no such file")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # a name may hold a zero, which is a ValueError
        raise CorruptError(f"{path} is missing or unreadable: {error}.") from error


def is_plain_name(name: str) -> bool:
    r"""Tells whether a name stays in its folder."""

    return bool(name) and Path(name).name == name and name not in (".", "..")


def to_json(value: object) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def from_json(content: bytes, path: Path) -> Any:  # noqa: ANN401 - whatever it holds
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{path} is no JSON: {error}.") from error


def to_safetensors(tensors: Mapping[str, Tensor]) -> bytes:
    r"""Packs tensors, each with memory of its own and in the plain order of its elements."""

    plain = {
        name: t.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, t in tensors.items()
    }
    content: bytes = save(plain)
    return content


def from_safetensors(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load(content)
    except SafetensorError as error:
        raise CorruptError(f"{path} is no safetensors file: {error}.") from error
    return tensors


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

    target = folder / f"epoch-{epoch:04d}"
    write_folder(
        target,
        {
            "model.safetensors": to_safetensors(model.state_dict()),
            "optimizer.safetensors": to_safetensors(optimizer_tensors(optimizer)),
            "extra.safetensors": to_safetensors(extra or {}),
            "info.json": to_json({"epoch": epoch, **(info or {})}),
        },
    )
    # What lies above this one was passed over, and would take its place.
    kept = [path for path in checkpoints(folder) if number(path) <= epoch][-KEPT:]
    for path in checkpoints(folder):
        if path not in kept:
            shutil.rmtree(path)

    return target


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    r"""Returns the state of an optimiser as tensors named ``index.key`` by parameter."""

    return {
        f"{index}.{key}": torch.as_tensor(value)
        for index, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }


def checkpoints(folder: Path) -> list[Path]:
    r"""Returns the checkpoints' folders, the oldest first."""

    return sorted((p for p in folder.glob("epoch-*") if p.name[6:].isdecimal()), key=number)


def number(path: Path) -> int:
    return int(path.name.removeprefix("epoch-"))


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
