r"""From the parameters that a user gave to the settings that a model is trained with.

A parameter that is :py:`None` is what the preset says, and where that is :py:`None` too, what
follows from the data:

- their number decides the samples a step, and how many epochs make :data:`STEPS` steps;
- their range decides how they are given back. Data in [0, 1] are reconstructed by a sigmoid and
  the preset's cost. Data that are not are standardised within the model (:mod:`swae.scaling`) and
  reconstructed by a linear output and a squared error;
- their shape decides the network (:mod:`swae.networks`).
"""

__all__ = [
    "batch_size",
    "check",
    "check_range",
    "check_unit",
    "in_unit_interval",
    "output_for",
    "resolve",
    "setting",
]

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, get_args

import torch
from torch import nn

from .autoencoder import check_settings
from .data import DataError, LoaderBatches
from .networks import resolve as resolve_network
from .presets import (
    NAMES,
    NUMBERS,
    PAPER,
    PRESETS,
    STEPS,
    SWITCHES,
    Preset,
    check_count,
    check_number,
    check_switch,
)
from .projections import resolve as resolve_slices
from .shards import Rows, Shards
from .spelling import nearest
from .steering import multiple_of
from .training import device_for, precision_for

Params = Mapping[str, Any]


def setting(params: Params, name: str) -> Any:  # noqa: ANN401 - parameters are of many types
    r"""Returns a parameter, or what the preset says where it is None."""

    preset, value = params["preset"], params[name]
    check_name("preset", preset, get_args(Preset))
    if name == "prior" and value is None and params["conditional"]:
        return "mixture"  # labels choose a component
    return PRESETS[preset].get(name) if value is None else value


def check(params: Params) -> None:
    r"""Refuses parameters that can't work with any data.

    Raises:
        TypeError: If an own network is no module of torch.
        ValueError: With the parameter's name, what it is and what it may be.
    """

    for name, known in NAMES.items():
        value = setting(params, name)
        check_name(name, value, get_args(known))
    for name, zero in NUMBERS.items():
        check_number(name, setting(params, name), zero=zero)
    for name in SWITCHES:
        if (value := setting(params, name)) is not None:
            check_switch(name, value)
    check_count("latent_dim", params["latent_dim"])
    for name in ("batch_size", "micro_batch_size", "max_epochs", "patience"):
        if params[name] is not None:
            check_count(name, params[name])
    check_seed("random_state", params["random_state"])
    check_shape(params["image_shape"])
    check_validation(params)
    resolve_slices(setting(params, "slices"), params["latent_dim"])
    output = output_for(params, unit=True)
    check_settings(output["reconstruction"], output["output"], setting(params, "reg_weight"))
    check_steering(params)
    for name in ("linear", "standardize"):
        if output["output"] != "linear" and params[name]:
            raise ValueError(
                f"{name} wants output='linear' (and reconstruction='mse' or 'l1'), but output is "
                f"{output['output']!r}."
            )
    check_networks(params)
    device_for(params["device"])


def check_name(name: str, value: Any, known: Sequence[str]) -> None:  # noqa: ANN401 - to be judged
    if value in known:
        return
    hint = nearest(str(value), known)
    raise ValueError(f"{name} has to be one of {known}, but is {value!r}.{hint}")


def check_steering(params: Params) -> None:
    r"""Refuses what a weight that is steered can't go with."""

    weight, growth = setting(params, "reg_weight"), setting(params, "reg_growth")
    if multiple_of(weight) is None:
        return
    if growth != 1:
        raise ValueError(
            f"reg_weight={weight!r} finds the weight by itself, which reg_growth={growth!r} would "
            "move away; give reg_growth=1."
        )
    if params["patience"] is not None:
        raise ValueError(
            f"reg_weight={weight!r} changes the loss from epoch to epoch, by which patience would "
            "compare them; leave patience out, or give reg_weight a number."
        )


def check_networks(params: Params) -> None:
    r"""Refuses own networks that are none, or that nothing can be put beside."""

    for name in ("encoder", "decoder"):
        network = params[name]
        if network is not None and not isinstance(network, nn.Module):
            raise TypeError(f"{name} has to be a torch.nn.Module, but is {network!r}.")
    if (params["encoder"] is None) != (params["decoder"] is None):
        raise ValueError("encoder and decoder have to be given together.")
    if params["encoder"] is not None and params["linear"]:
        raise ValueError(
            "linear puts a linear path beside the built-in networks; leave it out, or leave out "
            "encoder and decoder."
        )


def check_seed(name: str, seed: Any) -> None:  # noqa: ANN401 - to be judged
    if not isinstance(seed, Integral) or isinstance(seed, bool):
        raise ValueError(f"{name} has to be a whole number, but is {seed!r}.")


def check_shape(shape: Any) -> None:  # noqa: ANN401 - to be judged
    if shape is None:
        return
    sizes = tuple(shape) if isinstance(shape, tuple | list) else ()
    whole = all(isinstance(size, Integral) and not isinstance(size, bool) for size in sizes)
    if not (1 <= len(sizes) <= 4 and whole and min(sizes) >= 1):
        raise ValueError(
            "image_shape has to be up to four whole numbers >= 1, channels first, as (1, 28, 28), "
            f"but is {shape!r}."
        )


def check_validation(params: Params) -> None:
    size = setting(params, "validation_size")
    if size >= 1 and size != int(size):
        raise ValueError(f"validation_size has to be whole above 1, but is {size!r}.")
    if params["patience"] is not None and not size:
        raise ValueError("patience wants validation_size > 0: samples to judge an epoch by.")


def output_for(params: Params, *, unit: bool) -> dict[str, Any]:
    r"""Decides how data are given back: cost, activation and whether they are standardised.

    Arguments:
        params: The parameters; what they say is kept.
        unit: Whether the data lie in [0, 1].

    Returns:
        The three settings by name.

    Example:
        >>> from swae import SWAE
        >>> output_for(SWAE().get_params(), unit=False)
        {'reconstruction': 'mse', 'output': 'linear', 'standardize': True}
    """

    reconstruction, output, standardize = (
        params[name] for name in ("reconstruction", "output", "standardize")
    )
    if output is None:
        entropy = isinstance(reconstruction, str) and "bce" in reconstruction
        bounded = unit and not params["linear"] and not standardize
        output = setting(params, "output") if bounded or entropy else "linear"
    if reconstruction is None:
        reconstruction = "mse" if output == "linear" else setting(params, "reconstruction")
    if standardize is None:
        standardize = not unit and output == "linear"
    return {"reconstruction": reconstruction, "output": output, "standardize": standardize}


def resolve(params: Params, train: Rows | LoaderBatches) -> dict[str, Any]:
    r"""Returns the settings for data: the parameters without a None that stands for another.

    Arguments:
        params: All parameters by name.
        train: The data.

    Returns:
        The settings by the same names.

    Raises:
        DataError: If the data are not in [0, 1], which the parameters want.
    """

    unit = in_unit_interval(train)
    settings = {**params, **{name: setting(params, name) for name in PAPER}}
    settings |= output_for(params, unit=unit)
    settings["network"] = resolve_network(train.shape, params["network"])
    if not unit:
        check_range(train, settings)
    settings["precision"] = precision_for(device_for(params["device"]), params["precision"])
    if isinstance(train, LoaderBatches):
        steps, settings["validation_size"] = len(train), 0
        settings["batch_size"] = train.loader.batch_size or batch_size(params, train.n)
    else:
        settings["batch_size"] = batch_size(params, len(train))
        steps = -(-len(train) // settings["batch_size"])
    if settings["max_epochs"] is None:
        settings["max_epochs"] = max(20, -(-STEPS // steps))
    return settings


def batch_size(params: Params, n: int) -> int:
    r"""Returns the samples a step, which may follow from the number of samples."""

    size: int | None = setting(params, "batch_size")
    return min(125, max(50, n // 16)) if size is None else size


def check_range(train: Rows | LoaderBatches, settings: Params) -> None:
    r"""Refuses data that the output of a model can't give; of batches the first is asked.

    Arguments:
        train: The data.
        settings: The settings of the model.

    Raises:
        DataError: If the output is a sigmoid and the data are not in [0, 1].
    """

    if settings["output"] == "sigmoid" and not is_bytes(train):
        check_unit(*limits(train))


def check_unit(low: float, high: float, what: str = "the data") -> None:
    r"""Refuses values that a sigmoid can't give.

    Raises:
        DataError: If they leave [0, 1].
    """

    if low < 0 or high > 1:
        raise DataError(
            f"output='sigmoid' and a cross-entropy want data in [0, 1], but {what} reaches from "
            f"{low:.4g} to {high:.4g}; scale it, or use reconstruction='mse' and output='linear'."
        )


def in_unit_interval(train: Rows | LoaderBatches) -> bool:
    r"""Tells whether data lie in [0, 1], as bytes always do; of batches the first is asked."""

    if is_bytes(train):
        return True
    low, high = limits(train)
    return low >= 0 and high <= 1


def is_bytes(train: Rows | LoaderBatches) -> bool:
    return not isinstance(train, LoaderBatches) and train.dtype == torch.uint8


def limits(train: Rows | LoaderBatches) -> tuple[float, float]:
    r"""Returns the least and the greatest value."""

    if isinstance(train, Shards):
        return train.limits()
    parts = [next(train.epoch(0)).x] if isinstance(train, LoaderBatches) else train.blocks()
    # Plain numbers: tensors that are kept would lie between the places of the parts.
    ends = [tuple(map(float, part.aminmax())) for part in parts]
    return min(low for low, _ in ends), max(high for _, high in ends)
