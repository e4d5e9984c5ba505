"""Tensors in files, and what their header tells before they are read."""

import json
import os
from pathlib import Path

import pytest
import torch

from swae.manifest import CorruptError
from swae.weights import from_safetensors, read_weights, shapes_in, to_safetensors


def test_tensors_come_back_in_plain_order():
    lying = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    tensors = {"lying": lying, "view": torch.arange(10)[::2], "scalar": torch.tensor(3.0)}
    read = from_safetensors(to_safetensors(tensors), Path("x"))
    assert set(read) == set(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(read[name], tensor)
        assert read[name].is_contiguous()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"pickle",
        b"\xff" * 8,
        (10**12).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (100).to_bytes(8, "little")
        + b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'.ljust(
            100
        ),
    ],
)
def test_what_is_no_safetensors_file(content):
    with pytest.raises(CorruptError, match=r"weights\.safetensors is no safetensors file"):
        from_safetensors(content, Path("weights.safetensors"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.safetensors"


@pytest.mark.parametrize(
    "kind", ["float64", "float32", "float16", "bfloat16", "int64", "uint8", "bool"]
)
def test_shapes_are_known_unread(path, kind):
    tensors = {
        "a": torch.ones(2, 0, 3, dtype=getattr(torch, kind)),
        "b": torch.ones((), dtype=getattr(torch, kind)),
        "c": torch.ones(5, dtype=getattr(torch, kind)),
    }
    path.write_bytes(to_safetensors(tensors))
    assert shapes_in(path) == {"a": (2, 0, 3), "b": (), "c": (5,)}
    assert {name: tuple(t.shape) for name, t in read_weights(path).items()} == shapes_in(path)


def file_of(header, numbers=b""):
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(content).to_bytes(8, "little") + content + numbers


def entry(shape, dtype="F32", size=0):
    return {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "no safetensors file"),
        (b"\x80\x04pickle", "no safetensors file"),
        (b"\xff" * 8, "no safetensors file"),
        ((10**12).to_bytes(8, "little") + b"{}", "no safetensors file"),
        (file_of(b"{" * 2_000_000), "more lists and objects"),
        (file_of(b"[]"), "names no tensors"),
        (file_of({"a": 3}), "header is none"),
        (file_of({"a": entry("x")}), "header is none"),
        (file_of({"a": entry([-1])}), "header is none"),
        (file_of({"a": entry([1.5])}), "header is none"),
        (file_of({"a": entry([1], "PICKLE")}), "header is none"),
        (file_of({"a": entry([1], ["F32"])}), "header is none"),
        (file_of({"a": entry([10**12], size=4 * 10**12)}), "truncated"),
        (file_of({"a": entry([10**30, 10**30])}), "header is none"),
        (file_of({"a": entry([9] * 300_000)}), "header is none"),
        (file_of({"a": entry([2], size=8)}, bytes(7)), "truncated"),
        (file_of({"a": entry([2], size=8)}, bytes(9)), "truncated"),
    ],
)
def test_hostile_headers_take_no_time_and_no_memory(path, cheap, content, sentence):
    path.write_bytes(content)
    with cheap(), pytest.raises(CorruptError, match=rf"weights\.safetensors .*{sentence}"):
        shapes_in(path)


def test_places_that_overlap_are_refused(path):
    """What the header's sizes do not tell, the library does."""
    path.write_bytes(file_of({"a": entry([2], size=8), "b": entry([2], size=8)}, bytes(16)))
    assert shapes_in(path) == {"a": (2,), "b": (2,)}
    with pytest.raises(CorruptError, match="no safetensors file"):
        read_weights(path)


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
def test_what_is_no_file(path, kind):
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
    with pytest.raises(CorruptError, match="missing or unreadable"):
        shapes_in(path)


def test_every_type_that_is_written_is_known(path):
    kinds = {kind for kind in vars(torch).values() if isinstance(kind, torch.dtype)}
    # Two numbers a byte, what torch is giving up, and what it only tries.
    left = ("torch.float4", "torch.q", "torch.complex32")
    kinds -= {kind for kind in kinds if str(kind).startswith(left)}
    written = 0
    for kind in kinds:
        try:
            content = to_safetensors({"a": torch.empty(4, dtype=kind)})
        except (KeyError, TypeError, RuntimeError, NotImplementedError):
            continue  # safetensors has no such type
        path.write_bytes(content)
        assert shapes_in(path) == {"a": (4,)}
        written += 1
    assert written >= 14
