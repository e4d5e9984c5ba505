r"""The tensors that a stored model has to have, known before any of them is read.

A model's configuration calls for tensors of certain names and shapes: those of its networks, of
its scale, of its penalty and of a prior that is stored with the weights. A file whose header names
others belongs to another model, or to somebody who hopes that memory is taken for it.
"""

__all__ = ["check_shapes"]

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from .building import networks_of
from .penalties.conditional import MEMORY
from .priors.names import components_in
from .projections import resolve as resolve_slices
from .scaling import Scaling
from .settings import setting
from .steering import Steering, multiple_of

Settings = Mapping[str, Any]
Shapes = Mapping[str, tuple[int, ...]]


def check_shapes(settings: Settings, shape: Sequence[int], shapes: Shapes) -> None:
    r"""Refuses stored tensors that are not those of the model.

    Arguments:
        settings: All settings by name; a prior that lies with the weights may still be the
            mapping that stands for it.
        shape: The shape of one sample.
        shapes: The shapes of the stored tensors by name.

    Raises:
        ValueError: If a tensor is missing, of another shape, or not called for.
        RuntimeError: If a network can't be, from torch.
    """

    wanted = {**shapes_of_modules(settings, shape), **shapes_of_penalty(settings, shapes)}
    for name, size in wanted.items():
        if name not in shapes:
            raise ValueError(f"there is no {name}.")
        if shapes[name] != size:
            raise ValueError(f"{name} is of shape {shapes[name]} and not {size}.")
    home = home_of_prior(settings)
    # Only a prior that was passed as it is may have numbers that nothing tells of.
    passed = not isinstance(setting(settings, "prior"), str | dict)
    more = [n for n in shapes if n not in wanted and not (passed and n.startswith(home))]
    if more:
        raise ValueError(f"no part of the model is called {more[0]!r:.60}.")


def shapes_of_modules(settings: Settings, shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
    r"""Returns the shapes of what a model is but for its penalty, by name."""

    multiple = multiple_of(setting(settings, "reg_weight"))
    parts: dict[str, nn.Module] = {}
    with torch.device("meta"):  # whose tensors have a shape and no memory
        for name, own in zip(("encoder", "decoder"), networks(settings, shape), strict=True):
            parts[name] = own
        if settings["standardize"]:
            parts["scaling"] = Scaling(shape)
        if multiple is not None:
            parts["steering"] = Steering(multiple)
    return {
        name: tuple(tensor.shape)
        for part, module in parts.items()
        for name, tensor in module.state_dict(prefix=f"{part}.").items()
    }


def networks(settings: Settings, shape: Sequence[int]) -> tuple[nn.Module, nn.Module]:
    r"""Returns the user's own networks, or those that the settings describe."""

    if settings["encoder"] is not None:
        return settings["encoder"], settings["decoder"]
    return networks_of({**settings, "prior": "normal"}, shape)  # the shapes are those of any


def home_of_prior(settings: Settings) -> str:
    r"""Returns what the names of the prior's numbers begin with in a model's state."""

    # Within a penalty that takes labels the prior lies one deeper.
    return "penalty.whole.prior." if settings["conditional"] else "penalty.prior."


def shapes_of_penalty(settings: Settings, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    r"""Returns the shapes of what a penalty and its prior keep, by name."""

    d, home = settings["latent_dim"], home_of_prior(settings)
    sizes = {f"{home}{name}": size for name, size in shapes_of_prior(settings, shapes).items()}
    principal = resolve_slices(setting(settings, "slices"), d) == "principal"
    if principal and settings["penalty"] != "log-likelihood":
        sizes[f"{home.removesuffix('prior.')}covariance"] = d, d
    if settings["conditional"]:
        sizes["penalty.recent"] = first(shapes, f"{home}means"), MEMORY, d
    return sizes


def shapes_of_prior(settings: Settings, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    r"""Returns the shapes of a prior's numbers, as many as were stored.

    Raises:
        ValueError: If a name calls for another number of components than were stored.
    """

    spec, d, home = setting(settings, "prior"), settings["latent_dim"], home_of_prior(settings)
    stored = spec.get("stored") if isinstance(spec, dict) else None
    named = components_in(spec) if isinstance(spec, str) else 0
    if stored == "samples":
        return {"samples": (first(shapes, f"{home}samples"), d)}
    if stored == "picture":
        height, width = (*shapes.get(f"{home}pixels", ()), 0, 0)[:2]
        return {"pixels": (height, width)}
    if stored != "mixture" and not named:
        return {}
    k = first(shapes, f"{home}means")
    if named and k != named:
        raise ValueError(f"the prior {spec!r} is not the one that is stored.")
    return {"means": (k, d), "scales": (k,), "weights": (k,)}


def first(shapes: Shapes, name: str) -> int:
    r"""Returns the first size of a stored tensor, 0 if there is none."""

    return (*shapes.get(name, ()), 0)[0]
