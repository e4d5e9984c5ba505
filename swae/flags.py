r"""Flags, made from the estimator's signature.

A flag beats the file that ``--config`` names, whatever their order; both beat the preset, which
is what a parameter that nobody gave falls back to.
"""

__all__ = ["Parser", "add_data_flags", "add_model_flags", "as_flags"]

import inspect
import re
import sys
import typing
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, final

import docstring_parser
from jsonargparse import ArgumentParser

from .autoencoder import Reconstruction
from .estimator import SWAE
from .plain_yaml import read_yaml
from .spelling import nearest

IN_PYTHON_ONLY = ("encoder", "decoder")
r"""Parameters that no flag can give."""


@final
class Sizes:
    r"""Reads a shape: ``1,28,28``, ``1x28x28`` or a list of numbers."""

    def __call__(self, value: Any) -> tuple[int, ...] | None:  # noqa: ANN401 - a word, or YAML's
        if value in (None, "null", "None"):
            return None
        parts = re.split(r"[,x]", value.strip("[]() ")) if isinstance(value, str) else value
        try:
            return tuple(int(part) for part in parts)
        except (TypeError, ValueError):
            raise ValueError from None  # which the parser puts into words

    def __repr__(self) -> str:
        return "sizes"  # what the help and the parser's errors call it


TYPES: dict[str, Any] = {
    "image_shape": Sizes(),
    "prior": str | None,
    "p": float,
    "reconstruction": Reconstruction | None,
}
r"""Types of flags, where the parameter takes Python objects too."""

FLAGS = {"random_state": "seed"}
r"""The names of flags that differ from the parameters'."""


@final
class Parser(ArgumentParser):
    r"""Parser of one command's words.

    Arguments:
        prog: The command.
        what: What it does.
    """

    def __init__(self, prog: str, what: str) -> None:
        super().__init__(prog=prog, description=what, exit_on_error=True)
        self.formats: tuple[str, ...] = ()

    def add_flag(self, name: str, what: str) -> None:
        r"""Adds a switch."""

        self.add_argument(name, action="store_true", help=what)

    def add_output(
        self, default: str, formats: tuple[str, ...] = (".png", ".svg", ".npy", ".npz")
    ) -> None:
        r"""Adds the file to write."""

        self.formats = formats
        kinds = ", ".join(formats)
        self.add_argument("--out", type=str, default=default, help=f"File to write: {kinds}.")
        self.add_flag("--overwrite", "Replace the file.")

    def target(self, args: Any) -> Path:  # noqa: ANN401 - parsed flags
        r"""Returns the file to write, if it may be written."""

        target = Path(args.out)
        if target.suffix not in self.formats:
            raise ValueError(
                f"--out has to end in {', '.join(self.formats)}, but is {args.out!r}."
            )
        if target.is_dir():
            raise ValueError(f"--out wants a file, but {target} is a folder.")
        if target.exists() and not args.overwrite:
            raise ValueError(f"{target} exists; choose another --out, or give --overwrite.")
        if not target.parent.is_dir():
            raise ValueError(f"There is no folder {target.parent} to write {target.name} into.")
        return target

    def read(self, words: list[str]) -> Any:  # noqa: ANN401 - parsed flags
        r"""Parses words, the file that --config names before all flags."""

        self.check_known(words)
        words = config_first(words)
        for word in config_files(words):
            try:
                read_yaml(Path(word).expanduser())
            except ValueError as error:
                self.error(f"--config wants a YAML file of settings by name: {error}")
        return self.parse_args(words)

    def check_known(self, words: list[str]) -> None:
        known = [name for action in self._actions for name in action.option_strings]
        for word in words:
            name = word.partition("=")[0]
            if name.startswith("--") and name not in known:
                self.error(self.unknown(name, known))

    def unknown(self, name: str, known: list[str]) -> str:
        words = [option.removeprefix("--") for option in known]
        dashes = name[: len(name) - len(name.removeprefix("--"))]
        near = nearest(name.removeprefix("--"), words, dashes + "{}")
        return f"There is no option {name}.{near}"

    def from_config(self, args: Any, name: str) -> Any:  # noqa: ANN401 - whatever it holds
        r"""Returns a setting of the files that --config named, where a word may be left out."""

        for path in reversed(args.config or []):
            settings = read_yaml(Path(path.absolute))
            if name in settings:
                return settings[name]
        return None

    def in_words(self, message: str) -> str:
        r"""Returns what jsonargparse says as a sentence that names the option."""

        sentence = re.sub(r"\s+", " ", message).strip()
        if found := re.match(r'Parser key "(\w+)".*?:.*(?:Given|Got) value: (\S+)', sentence):
            return self.refusal(*found.groups())
        if found := re.match(r"Option '(\w+)' is not accepted", sentence):
            return self.unknown(found[1], [action.dest for action in self._actions])
        if found := re.match(r"argument (--[\w-]+): invalid sizes value: (.*)", sentence):
            return f"{found[1]} has to be sizes as 1,28,28, but is {found[2].rstrip('.')}."
        if sentence.startswith("Unexpected config"):
            return "--config wants a YAML file of settings by name."
        sentence = sentence.removeprefix('Parser key "config": ')
        return sentence if sentence[-1:] in ".?!" else f"{sentence}."

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        r"""Says what is wrong in a sentence and leaves with 2."""

        print(f"{self.prog}: {self.in_words(message)} Try '{self.prog} --help'.", file=sys.stderr)
        raise SystemExit(2)

    def refusal(self, key: str, got: str) -> str:
        r"""Says what an option takes, and which of its names is nearest."""

        action = next(action for action in self._actions if action.dest == key)
        hint = getattr(action, "_typehint", action.type)
        known = literals(hint)
        wanted = f" {', '.join(map(str, known))}" if known else " of another type"
        wanted = f" one of{wanted}" if len(known) > 1 else wanted
        hint = nearest(got, known, "{}")
        return f"--{key.replace('_', '-')} has to be{wanted}, but is {got!r}.{hint}"

    def model_settings(self, args: Any) -> dict[str, Any]:  # noqa: ANN401 - parsed flags
        r"""Returns the estimator's parameters."""

        return {name: getattr(args, FLAGS.get(name, name)) for name in model_parameters()}


def literals(hint: Any) -> list[Any]:  # noqa: ANN401 - a type
    r"""Returns what a type takes in words: the values of its literals, the names of its types."""

    if typing.get_origin(hint) is typing.Literal:
        return list(typing.get_args(hint))
    if typing.get_args(hint):
        return [name for part in typing.get_args(hint) for name in literals(part)]
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return [words[hint]] if hint in words else []


def config_first(words: list[str]) -> list[str]:
    r"""Moves each --config and its file to the front, where every flag overrides them."""

    files: list[str] = []
    others: list[str] = []
    left = iter(words)
    for word in left:
        if word == "--config":
            files += [word, *(file for file in [next(left, None)] if file is not None)]
        else:
            (files if word.startswith("--config=") else others).append(word)
    return others + files if files[-1:] == ["--config"] else files + others


def config_files(words: list[str]) -> list[str]:
    r"""Returns the files that --config names.

    Example:
        >>> config_files(["--config", "a.yaml", "--config=b.yaml", "--seed", "1"])
        ['a.yaml', 'b.yaml']
    """

    after = [file for word, file in pairwise(words) if word == "--config"]
    return after + [w.partition("=")[2] for w in words if w.startswith("--config=")]


def model_parameters() -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(SWAE.__init__).parameters
    return {
        name: parameter
        for name, parameter in parameters.items()
        if name != "self" and name not in IN_PYTHON_ONLY
    }


def as_flags(settings: dict[str, Any]) -> dict[str, Any]:
    r"""Returns the estimator's parameters under the names that --config reads."""

    flags = {FLAGS.get(name, name): settings[name] for name in model_parameters()}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in flags.items()}


def add_model_flags(parser: Parser) -> None:
    r"""Adds a flag for each parameter of the estimator, and --config."""

    parser.add_argument("--config", action="config", help="YAML file of settings; flags beat it.")
    hints = typing.get_type_hints(SWAE.__init__)
    helps = {
        param.arg_name: in_a_shell(" ".join((param.description or "").split()))
        for param in docstring_parser.parse(inspect.getdoc(SWAE) or "").params
    }
    for name, parameter in model_parameters().items():
        parser.add_argument(
            f"--{FLAGS.get(name, name).replace('_', '-')}",
            type=TYPES.get(name, hints[name]),
            default=parameter.default,
            help=helps.get(name, ""),
        )


def in_a_shell(what: str) -> str:
    r"""Leaves out what can be done in Python alone: a sentence, or a part after a comma.

    Example:
        >>> in_a_shell("A name, or in Python a function; None is mse. In Python an array too.")
        'A name; None is mse.'
    """

    return re.sub(r",? (or )?in Python [^.;]*(?=[.;])|(?:^| )In Python [^.]*\.", "", what).strip()


def add_data_flags(parser: Parser) -> None:
    r"""Adds where data is and how it is read."""

    parser.add_argument(
        "--data-dir",
        type=str | None,
        default=None,
        help="Folder of the data's files; $SWAE_DATA if left out.",
    )
    parser.add_argument(
        "--image-size",
        type=int | None,
        default=None,
        help="Height and width that images are resized to; celeba's are 64 if left out.",
    )
    parser.add_argument(
        "--crop",
        type=int | None,
        default=None,
        help="Side of the square that is cut out of the middle of images first, in pixels; of "
        "celeba's in those of the original 178 x 218.",
    )
    parser.add_argument(
        "--label-column",
        type=str | None,
        default=None,
        help="Column of a table that holds the labels, whole numbers or text, where there are "
        "some; '' for none. Of datasets:... the only column of classes if left out.",
    )
    parser.add_argument(
        "--columns",
        type=str | None,
        default=None,
        help="Columns of a table to use, as a,b,c; all that hold numbers if left out.",
    )
