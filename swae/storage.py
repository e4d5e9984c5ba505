r"""The folder of a model.

=====================  ==========================================================
``model.safetensors``  the weights, and the numbers of a prior that is no name
``config.json``        parameters and settings, the form of the data, what is known of its quality
``preview.png``        samples of the model
``manifest.json``      the sha256 sums of these three
``README.md``          the model card, which is its owner's to edit and has no sum
=====================  ==========================================================

``config.json`` holds names and numbers, never code, and no file to open. A prior that is a
picture, an array or a mixture lies with the weights, wherever it came from; a prior of ours is its
name; networks, functions and distributions of the user's own are only named by their type, and
have to be passed again when the model is loaded.

A folder is judged from outside in, and the first thing that is wrong is the last that is read:
the manifest's names, the configuration, the weights' names, shapes and sizes, which their header
tells (:func:`swae.expected.check_shapes`), the sums, and only then a number.
"""

__all__ = [
    "FILES",
    "FORMAT",
    "Stored",
    "as_given",
    "blaming",
    "given_again",
    "home_of",
    "is_count",
    "is_model",
    "names_a_kind",
    "open_model",
    "plain",
    "read_state",
    "shortened",
    "stored_prior",
    "write_model",
]

import hashlib
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from . import __version__
from .laws import kind_of_file
from .manifest import (
    MANIFEST,
    MOST_JSON,
    CorruptError,
    check_size,
    check_sum,
    from_json,
    read_json,
    read_manifest,
    to_json,
    write_folder,
)
from .metrics import Evaluation, Match
from .priors import FromPicture, FromSamples, Mixture, Prior, name_of
from .weights import is_shape, read_weights, shapes_in, to_safetensors
from .writing import write_file

FORMAT = 1
r"""The version of the model folder's format; what older ones lack has a default."""

WEIGHTS, CONFIG, PREVIEW, CARD = "model.safetensors", "config.json", "preview.png", "README.md"
MOST_PREVIEW = 2**25
r"""The bytes of a preview, whose sum would take long to tell."""

MOST_WORDS = 200
r"""The characters of a folder's own text that an error shows."""

MOST_COUNT = 2**53
r"""The epochs, steps and samples that are counted; no larger number has a float of its own."""

FILES = (WEIGHTS, CONFIG, PREVIEW, MANIFEST, CARD)
r"""The files of a model's folder."""


class Stored(NamedTuple):
    r"""A model's folder, of which no weight has been read yet.

    Arguments:
        folder: The folder.
        sums: The sha256 sums of its files by name.
        config: The configuration.
        shapes: The shapes of the stored tensors by name.
    """

    folder: Path
    sums: dict[str, str]
    config: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]


def write_model(
    folder: Path,
    state: Mapping[str, Tensor],
    settings: Mapping[str, Any],
    *,
    preview: bytes,
    card: Callable[[Mapping[str, Any]], str],
    **known: Any,  # noqa: ANN401 - what JSON holds
) -> None:
    r"""Writes a model.

    Arguments:
        folder: The folder; a model in it is replaced, and a card that was edited is kept.
        state: The weights, and the numbers of a prior of the user's own among them.
        settings: All settings by name.
        preview: A picture of samples, as PNG.
        card: What makes the model card of the configuration.
        known: What else is known of the model, as :func:`read_config` judges it.

    Raises:
        ValueError: If the names of the columns are more than a configuration may hold.
        OSError: If there is no room; the model that was there is left, or the new one is whole.
    """

    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file, and a model wants a folder.")
    params = {name: plain(value) for name, value in settings.items()}
    if not is_typical(list(known.get("typical") or ())):  # a square may have overflowed
        known["typical"] = None
    config = {"format": FORMAT, "swae": __version__, "params": params, **known}
    text = card(config).encode()
    kept = is_edited(folder)
    content = to_json(config | {"card": hashlib.sha256(text).hexdigest()})
    if len(content) > MOST_JSON:
        raise ValueError(
            f"The configuration has {len(content):,} bytes, most of them the names of columns or "
            f"classes, but may have {MOST_JSON:,}; fit without names (X.to_numpy())."
        )
    files = {WEIGHTS: to_safetensors(state), CONFIG: content, PREVIEW: preview}
    write_folder(folder, files)
    if not kept:
        write_file(folder / CARD, text)


def is_edited(folder: Path) -> bool:
    r"""Tells whether a folder has a card, or another README.md, that is not as we wrote it."""

    if not (folder / CARD).exists():
        return False
    try:
        config = from_json(read_json(folder / CONFIG), folder / CONFIG)
        check_sum(folder / CARD, config["card"])
    except (CorruptError, KeyError, TypeError):
        return True
    return False


def open_model(folder: Path, known: Collection[str]) -> Stored:
    r"""Reads a model's configuration and the header of its weights.

    Arguments:
        folder: The folder.
        known: The names of the parameters that there are.

    Raises:
        CorruptError: If a file is missing, or is not what was written.
    """

    if not folder.is_dir():
        hub = " A model of the hub is loaded by SWAE.from_pretrained." * (not folder.exists())
        raise CorruptError(f"There is no folder {folder}, and a model is one.{hub}")
    sums = read_manifest(folder)
    if not {CONFIG, WEIGHTS} <= sums.keys() <= {CONFIG, WEIGHTS, PREVIEW}:
        raise CorruptError(
            f"{folder / MANIFEST} has to name {CONFIG}, {WEIGHTS} and {PREVIEW}, but names "
            f"{', '.join(map(repr, sorted(sums)[:4])) or 'nothing'}."
        )
    content = read_json(folder / CONFIG)
    check_sum(folder / CONFIG, sums[CONFIG])
    config = read_config(content, folder, known)
    if PREVIEW in sums:
        check_size(folder / PREVIEW, MOST_PREVIEW)
    return Stored(folder, sums, config, shapes_in(folder / WEIGHTS))


def home_of(folder: Path) -> Path:
    r"""Returns a model's folder, which within that of a run is its ``model``."""

    return next((home for home in (folder / "model", folder) if is_model(home)), folder)


def is_model(folder: Path) -> bool:
    r"""Tells whether a folder has a file of a model's, were others missing."""

    return any((folder / name).exists() for name in (WEIGHTS, CONFIG, MANIFEST))


def read_state(stored: Stored) -> dict[str, Tensor]:
    r"""Reads the weights of a model, once their shapes are known to be its own.

    Raises:
        CorruptError: If the sum of a file is another.
    """

    for name, expected in stored.sums.items():
        check_sum(stored.folder / name, expected)
    return read_weights(stored.folder / WEIGHTS)


@contextmanager
def blaming(folder: Path, *, passed: bool) -> Iterator[None]:
    r"""Says of whatever does not fit whose it is.

    Arguments:
        folder: The model's folder, whose fault it is where nothing else was given.
        passed: Whether parameters were passed, which may be what does not fit.
    """

    try:
        yield
    except (OverflowError, RuntimeError, TypeError, ValueError) as error:
        why = shortened(error)
        if passed:
            raise ValueError(
                f"What was passed does not fit the model in {folder}: {why}"
            ) from error
        raise CorruptError(
            f"The weights in {folder} do not fit its configuration: {why}"
        ) from error


def shortened(value: Any) -> str:  # noqa: ANN401 - anything that has a text
    r"""Returns what may be shown of a text that a stranger wrote: its beginning, on one line.

    Example:
        >>> shortened("a\nb"), len(shortened(1000 * "c"))
        ('a b', 203)
    """

    text = "".join(c if c.isprintable() else " " for c in str(value)[: MOST_WORDS + 1])
    return text if len(text) <= MOST_WORDS else f"{text[:MOST_WORDS]}..."


def read_config(content: bytes, folder: Path, known: Collection[str]) -> dict[str, Any]:
    r"""Reads a stored model's configuration, of which nothing is believed."""

    path = folder / CONFIG
    config = from_json(content, path)
    if not isinstance(config, dict) or "format" not in config:
        raise CorruptError(f"{path} is no model's configuration.")
    if type(config["format"]) is not int or config["format"] != FORMAT:
        later = type(config["format"]) is int and config["format"] > FORMAT
        raise CorruptError(
            f"{folder} has format {config['format']!r:.20}, but this swae reads {FORMAT}"
            f"{'; a newer one may read it' if later else ''}."
        )
    shape: Any = config.get("shape")
    params = config.get("params")
    flat, columns, typical = (config.get(name) for name in ("flat", "columns", "typical"))
    classes, given = config.get("classes"), config.get("given", {})
    evaluation = config.get("evaluation")
    epochs, steps = config.get("epochs"), config.get("steps", 0)  # which once were not stored
    sound = (
        is_list_of(int, shape)
        and is_shape(shape)
        and 0 not in shape
        and (flat is None or isinstance(flat, bool))
        and (columns is None or is_list_of(str, columns))
        and (classes is None or are_classes(classes))
        and (typical is None or is_typical(typical))
        and all(map(is_count, (epochs, steps)))
        and is_given(given)
        and (evaluation is None or is_evaluation(evaluation))
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
        "evaluation": evaluation,
    }


def is_typical(value: Any) -> bool:  # noqa: ANN401 - to be judged
    r"""Tells whether a value is two finite means, each with a deviation above 0."""

    if not (is_list_of(float, value) and len(value) == 4):
        return False
    return all(map(math.isfinite, value)) and min(value[1], value[3]) > 0


def is_evaluation(value: Any) -> bool:  # noqa: ANN401 - to be judged
    r"""Tells whether a value is figures by name, each a number or none."""

    known = {*Match._fields, "sw2_ratio", *Evaluation._fields}
    if not (isinstance(value, dict) and value.keys() <= known and is_count(value.get("n", 0))):
        return False
    return all(
        number is None or is_count(number) or (type(number) is float and math.isfinite(number))
        for number in value.values()
    )


def is_count(value: Any) -> bool:  # noqa: ANN401 - to be judged
    return type(value) is int and 0 <= value < MOST_COUNT


def is_given(value: Any) -> bool:  # noqa: ANN401 - to be judged
    r"""Tells whether a value is what may be said of parameters as they were given."""

    if not isinstance(value, dict) or not value.keys() <= {"prior"}:
        return False
    prior = value.get("prior")
    return prior is None or (isinstance(prior, str) and not kind_of_file(prior))


def names_a_kind(value: Any) -> bool:  # noqa: ANN401 - to be judged
    r"""Tells whether a value stands for what a file can't hold, by the name of its type."""

    if not (isinstance(value, dict) and value.keys() == {"given"}):
        return False
    name = value["given"]
    return type(name) is str and name.isidentifier() and len(name) <= MOST_WORDS


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
    stored: Mapping[str, Any], params: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    r"""Fills in what a file could not hold from what was passed.

    Returns:
        The parameters; a prior that lies with the weights is still what stands for it.

    Raises:
        CorruptError: If a value stands for nothing.
        ValueError: If something that was the user's own was not passed.
    """

    merged = {**stored, **params}
    own = {}
    for name, value in merged.items():
        if not isinstance(value, dict) or (name == "prior" and "stored" in value):
            continue
        if not names_a_kind(value):
            raise CorruptError(
                f"{folder} has no numbers of {name} that {shortened(value)} could stand for."
            )
        own[name] = value["given"]
    if own:
        made = " and ".join(f"your own {name} (a {kind})" for name, kind in own.items())
        passed = ", ".join(f"{name}=..." for name in own)
        raise ValueError(
            f"The model in {folder} was made with {made}, which no file can hold: "
            f"SWAE.load(folder, {passed})."
        )
    return merged


def stored_prior(prior: Any, state: Mapping[str, Tensor]) -> Any:  # noqa: ANN401 - any prior
    r"""Creates the prior whose numbers lie with the weights; returns any other as it is."""

    if not isinstance(prior, dict):
        return prior
    kind = prior["stored"]
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
