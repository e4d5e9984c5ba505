r"""Random streams that are pure functions of their address.

A draw is named by a path: a seed, a purpose and, where there are many, an epoch or a step,

.. math:: (s, \text{purpose}, t) \;\mapsto\; \text{generator}.

Two streams of different paths are independent, and none depends on what was drawn before.
So an interrupted run needs no generator state to go on exactly where it stopped, and one more
draw for one purpose moves no draw for another.

Layers that draw, as dropout does, ask torch's global generators and no other. Those are lent to
a stream meanwhile (:func:`reseeded`) and given back as they were.
"""

__all__ = ["reseeded", "stream", "stream_seed"]

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def stream_seed(seed: int, *path: str | int) -> int:
    r"""Returns the 63-bit seed of the stream at a path.

    Arguments:
        seed: The seed of the run.
        path: The purpose, then any epoch, step or rank.

    Example:
        >>> stream_seed(0, "order", 3) == stream_seed(0, "order", 3)
        True
        >>> stream_seed(0, "order", 3) == stream_seed(0, "order", 4)
        False
    """

    address = "\0".join(f"{type(part).__name__}:{part}" for part in (int(seed), *path))
    digest = hashlib.blake2b(address.encode(), digest_size=8).digest()

    return int.from_bytes(digest) >> 1


def stream(seed: int, *path: str | int) -> torch.Generator:
    r"""Creates the CPU generator of the stream at a path.

    Arguments:
        seed: The seed of the run.
        path: The purpose, then any epoch, step or rank.

    Returns:
        A fresh generator; torch's global one is left alone.

    Example:
        >>> a = torch.rand(2, generator=stream(0, "slices", 7))
        >>> b = torch.rand(2, generator=stream(0, "slices", 7))
        >>> torch.equal(a, b)
        True
    """

    return torch.Generator().manual_seed(stream_seed(seed, *path))


@contextmanager
def reseeded(seed: int, *path: str | int, device: torch.device) -> Iterator[None]:
    r"""Lends torch's global generators to the stream at a path, and gives them back.

    Arguments:
        seed: The seed of the run.
        path: The purpose, then any epoch, step or rank.
        device: The device whose generator is lent beside the CPU's.

    Example:
        >>> before = torch.get_rng_state()
        >>> with reseeded(0, "network", 7, device=torch.device("cpu")):
        ...     mask = torch.nn.functional.dropout(torch.ones(4))
        >>> torch.equal(before, torch.get_rng_state())
        True
    """

    generators = [torch.default_generator]
    if device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index or 0])
    before = [generator.get_state() for generator in generators]
    for generator in generators:
        generator.manual_seed(stream_seed(seed, *path))
    try:
        yield
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)
