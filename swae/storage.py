r"""What a stored model's configuration can hold.

``config.json`` holds names and numbers, never code, and no file to open. A prior that is a
picture, an array or a mixture lies with the weights, wherever it came from; a prior of ours is its
name; networks, functions and distributions of the user's own are only named by their type, and
have to be passed again when the model is loaded.
"""

__all__ = ["FORMAT", "as_given", "blaming", "given_again", "plain", "read_model", "write_model"]

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from . import __version__
from .checkpoint import (
    CorruptError,
    from_json,
    from_safetensors,
    read_folder,
    to_json,
    to_safetensors,
    write_folder,
)
from .laws import kind_of_file
from .priors import FromPicture, FromSamples, Mixture, Prior, name_of

FORMAT = 1
r"""The version of the model folder's format."""


def write_model(
    folder: Path,
    state: Mapping[str, Tensor],
    settings: Mapping[str, Any],
    **known: Any,  # noqa: ANN401 - what JSON holds
) -> None:
    r"""Writes a model: weights, configuration and a manifest of their sha256 sums.

    Arguments:
        folder: The folder; a model in it is replaced.
        state: The weights, and the numbers of a prior of the user's own among them.
        settings: All settings by name.
        known: What else is known of the model, as :func:`read_config` judges it.
    """

    params = {name: plain(value) for name, value in settings.items()}
    if not is_typical(list(known.get("typical") or ())):  # a square may have overflowed
        known["typical"] = None
    config = {"format": FORMAT, "swae": __version__, "params": params, **known}
    files = {"model.safetensors": to_safetensors(state), "config.json": to_json(config)}
    write_folder(folder, files)


def read_model(folder: Path, known: Collection[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    r"""Reads a model's configuration, whose names are known, and its weights.

    Raises:
        CorruptError: If a file is missing, or is not what was written.
    """

    files = read_folder(folder)
    config = read_config(files, folder, known)
    return config, from_safetensors(files["model.safetensors"], folder / "model.safetensors")


@contextmanager
def blaming(folder: Path) -> Iterator[None]:
    r"""Turns whatever does not fit into a fault of the folder's, as nothing else was given."""

    try:
        yield
    except (OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise CorruptError(
            f"The weights in {folder} do not fit its configuration: {error}"
        ) from error


def read_config(
    files: Mapping[str, bytes], folder: Path, known: Collection[str]
) -> dict[str, Any]:
    r"""Reads a stored model's configuration, of which nothing is believed."""

    path = folder / "config.json"
    if not {"config.json", "model.safetensors"} <= set(files):
        raise CorruptError(f"{folder} lacks config.json or model.safetensors in its manifest.")
    config = from_json(files["config.json"], path)
    if not isinstance(config, dict) or "format" not in config:
        raise CorruptError(f"{path} is no model's configuration.")
    if config["format"] != FORMAT:
        raise CorruptError(
            f"{folder} has format {config['format']!r}, but this swae reads {FORMAT}."
        )
    shape, params = config.get("shape"), config.get("params")
    flat, columns, typical = (config.get(name) for name in ("flat", "columns", "typical"))
    classes, given = config.get("classes"), config.get("given", {})
    epochs, steps = config.get("epochs"), config.get("steps", 0)  # which once were not stored
    sound = (
        is_list_of(int, shape)
        and (flat is None or isinstance(flat, bool))
        and (columns is None or is_list_of(str, columns))
        and (classes is None or are_classes(classes))
        and (typical is None or is_typical(typical))
        and all(type(count) is int and count >= 0 for count in (epochs, steps))
        and is_given(given)
    )
    if not (sound and isinstance(params, dict) and params.keys() <= set(known)):
        raise CorruptError(f"{path} is no model's configuration.")
    if not isinstance(params.get("device", ""), str):
        raise CorruptError(f"{path} is no model's configuration: its device is no name.")
    if kind_of_file(params.get("prior")):
        raise CorruptError(f"{path} names a file as the prior; a model's numbers lie within it.")
    for name in ("encoder", "decoder"):
        if not (params.get(name) is None or names_a_kind(params[name])):
            raise CorruptError(f"{path} names a network of its own as the {name}; it can't.")
    return config | {
        "flat": bool(flat),
        "columns": columns,
        "typical": typical,
        "classes": classes,
        "steps": steps,
        "given": given,
    }


def is_typical(value: Any) -> bool:  # noqa: ANN401 - to be judged
    r"""Tells whether a value is two finite means, each with a deviation above 0."""

    if not (is_list_of(float, value) and len(value) == 4):
        return False
    return all(map(math.isfinite, value)) and min(value[1], value[3]) > 0


def is_given(value: Any) -> bool:  # noqa: ANN401 - to be judged
    r"""Tells whether a value is what may be said of parameters as they were given."""

    if not isinstance(value, dict) or not value.keys() <= {"prior"}:
        return False
    prior = value.get("prior")
    return prior is None or (isinstance(prior, str) and not kind_of_file(prior))


def names_a_kind(value: Any) -> bool:  # noqa: ANN401 - to be judged
    r"""Tells whether a value stands for what a file can't hold, by the name of its type."""

    return isinstance(value, dict) and value.keys() == {"given"} and type(value["given"]) is str


def are_classes(value: Any) -> bool:  # noqa: ANN401 - to be judged
    r"""Tells whether a value is a list of different names, all numbers or all strings."""

    kinds = is_list_of(int, value) or is_list_of(str, value)
    return kinds and 0 < len(value) == len(set(value))


def as_given(prior: Any, settings: Mapping[str, Any]) -> dict[str, str | None]:  # noqa: ANN401 - any prior
    r"""Returns the name that a mixture for the classes was made of, to be one of others' again."""

    named = prior is None or isinstance(prior, str)
    return {"prior": prior} if named and isinstance(settings["prior"], Mixture) else {}


def is_list_of(kind: type, value: Any) -> bool:  # noqa: ANN401 - to be judged
    return isinstance(value, list) and all(type(item) is kind for item in value)


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever a parameter is
    r"""Returns what JSON can hold of a parameter: itself, or the name of its kind."""

    if isinstance(value, np.generic):
        value = value.item()
    if kind_of_file(value) == "image" or isinstance(value, FromPicture | Image.Image):
        return {"stored": "picture"}
    if kind_of_file(value) == "samples":
        return {"stored": "samples"}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list) and all(isinstance(size, Integral) for size in value):
        return [int(size) for size in value]
    if isinstance(value, FromSamples | Tensor | list | tuple) or hasattr(value, "__array__"):
        return {"stored": "samples"}
    if isinstance(value, Mixture):
        return {"stored": "mixture"}
    if isinstance(value, Prior) and (name := name_of(value)) is not None:
        return name
    return {"given": type(value).__name__}


def given_again(
    stored: dict[str, Any], params: dict[str, Any], state: dict[str, Tensor]
) -> dict[str, Any]:
    r"""Fills in what a file could not hold: from the weights, or from what was passed."""

    merged = stored | params
    for name, value in merged.items():
        if not isinstance(value, dict):
            continue
        if name == "prior" and "stored" in value:
            merged[name] = stored_prior(value["stored"], state)
            continue
        if not names_a_kind(value):
            raise CorruptError(f"The model has no numbers of {name} that {value} could stand for.")
        raise ValueError(
            f"The model was made with your own {name} (a {value['given']}), which a file "
            f"can't hold: pass {name}= to load."
        )
    return merged


def stored_prior(kind: str, state: dict[str, Tensor]) -> Prior:
    r"""Creates the prior whose numbers lie with the weights."""

    try:
        if kind == "samples":
            return FromSamples(state["penalty.prior.samples"])
        if kind == "picture":
            return FromPicture(state["penalty.prior.pixels"])
        if kind == "mixture":
            # Within a penalty that takes labels the prior lies one deeper.
            home = "penalty.whole" if "penalty.recent" in state else "penalty"
            return Mixture(
                *(state[f"{home}.prior.{name}"] for name in ("means", "scales", "weights"))
            )
        raise KeyError(kind)
    except (IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CorruptError(
            f"The model lacks numbers of the prior's, {kind!r}: {error}."
        ) from error
