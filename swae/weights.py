r"""Tensors in files of the format safetensors, and what is judged of such a file unread.

A file is the length of its header (8 bytes, little-endian), the header, JSON with type, shape and
place of each tensor, and the numbers. So names, shapes and sizes are known, and can be held
against what is expected, before a byte of the numbers is read.
"""

__all__ = ["from_safetensors", "is_shape", "read_weights", "shapes_in", "to_safetensors"]

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save
from torch import Tensor

from .manifest import MOST_JSON, CorruptError, check_plain, from_json

BYTES = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0"), 1),
}
r"""The bytes of a number by the name of its type."""

MOST_AXES, MOST_SIZE = 16, 2**48
r"""More axes, or a larger one, no tensor has; their product would take long to tell."""

LENGTH = 8
r"""The bytes that tell the header's length."""


def to_safetensors(tensors: Mapping[str, Tensor]) -> bytes:
    r"""Packs tensors, each with memory of its own and in the plain order of its elements."""

    seen: set[int] = set()
    plain = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu()
        # A part of a larger memory, or one that two share, would be refused.
        alone = tensor.untyped_storage().nbytes() == tensor.nbytes
        if not (alone and tensor.is_contiguous()) or tensor.data_ptr() in seen:
            tensor = tensor.clone(memory_format=torch.contiguous_format)
        seen.add(tensor.data_ptr())
        plain[name] = tensor
    content: bytes = save(plain)
    return content


def from_safetensors(content: bytes, path: Path) -> dict[str, Tensor]:
    r"""Unpacks tensors.

    Arguments:
        content: The bytes of a file.
        path: The file, for the message.

    Raises:
        CorruptError: If they are no such file.
    """

    try:
        tensors: dict[str, Tensor] = load(content)
    except SafetensorError as error:
        raise CorruptError(f"{path} is no safetensors file: {error}.") from error
    return tensors


def shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    r"""Reads the shapes of a file's tensors by name, and none of their numbers.

    Arguments:
        path: The file.

    Returns:
        The shapes. The numbers that they call for are what the file has, to the byte.

    Raises:
        CorruptError: If the file is missing, or is none.
    """

    check_plain(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH), "little")
        if size < LENGTH or not 0 < length <= min(size - LENGTH, MOST_JSON):
            raise CorruptError(
                f"{path} is no safetensors file: its header has {length:,} bytes of {size:,}."
            )
        header = from_json(file.read(length), path)
    if not isinstance(header, dict):
        raise CorruptError(f"{path} is no safetensors file: its header names no tensors.")
    header.pop("__metadata__", None)
    if not all(map(is_entry, header.values())):
        raise CorruptError(f"{path} is no safetensors file: its header is none.")
    stated = sum(BYTES[entry["dtype"]] * math.prod(entry["shape"]) for entry in header.values())
    if stated != size - LENGTH - length:
        raise CorruptError(
            f"{path} is truncated or no safetensors file: its tensors have {stated:,} bytes, and "
            f"it holds {size - LENGTH - length:,}."
        )
    return {name: tuple(entry["shape"]) for name, entry in header.items()}


def is_entry(value: Any) -> bool:  # noqa: ANN401 - to be judged
    r"""Tells whether a value is what a header says of a tensor."""

    if not (isinstance(value, dict) and {"dtype", "shape"} <= value.keys()):
        return False
    shape = value["shape"]
    known = isinstance(value["dtype"], str) and value["dtype"] in BYTES
    return known and isinstance(shape, list) and is_shape(shape)


def is_shape(shape: list[Any]) -> bool:
    r"""Tells whether a list is the shape of a tensor that may be."""

    sizes = all(type(n) is int and 0 <= n <= MOST_SIZE for n in shape[:MOST_AXES])
    return sizes and len(shape) <= MOST_AXES


def read_weights(path: Path) -> dict[str, Tensor]:
    r"""Reads a file's tensors.

    Arguments:
        path: The file, which :func:`shapes_in` has found sound.

    Raises:
        CorruptError: If it can't be read.
    """

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CorruptError(f"{path} is no safetensors file: {error}.") from error
    return tensors
