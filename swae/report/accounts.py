r"""What the folder of a run tells, read and judged before any of it is shown."""

__all__ = ["Account", "Picture", "read_account"]

import base64
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..manifest import CorruptError, from_json, read_file, read_json
from ..run import Run, RunError
from ..spelling import nearest_file
from ..storage import is_count
from .shrinking import shrunk

DRAWN_ANEW = "curves"
r"""The picture that the page draws itself, in the reader's colours."""


class Picture(NamedTuple):
    r"""A picture of the run, with its size in pixels."""

    name: str
    png: bytes
    width: int
    height: int

    @property
    def uri(self) -> str:
        r"""The picture as an address that holds it."""

        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"

    @property
    def shape(self) -> str:
        r"""How the page lays it out: a wide one has a row of its own, others half of one."""

        aspect = self.width / self.height
        return "wide" if aspect > 2.4 else "broad" if aspect > 1.5 else "upright"


@dataclass(frozen=True)
class Account:
    r"""What a run folder tells.

    Arguments:
        path: The folder, as the user named it.
        settings: What was asked for, as in `config.yaml`.
        rows: A row an epoch, at least one, as in `metrics.jsonl`.
        model: What `model/config.json` says; empty where the run has not ended yet.
        pictures: The pictures by name.
        rejected: The files of the data that could not be read, and why.
        made: What each part of the training was made with; empty for runs that did not note it.
    """

    path: Path
    settings: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    model: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    rejected: Sequence[tuple[str, str]] = ()
    made: Sequence[Mapping[str, Any]] = ()

    @property
    def last(self) -> Mapping[str, Any]:
        return self.rows[-1]

    @property
    def data(self) -> str:
        r"""The data's name: without the folders of a path."""

        data = str(self.settings["data"])
        return Path(data).name or data

    @property
    def prior(self) -> str:
        prior = str(self.settings.get("prior"))
        return Path(prior).name if "/" in prior else prior

    @property
    def title(self) -> str:
        return f"{self.data} · {self.prior} · d\u00a0=\u00a0{self.settings['latent_dim']}"

    @property
    def shape(self) -> str:
        r"""The shape of a sample; nothing where it is not told."""

        shape = self.model.get("shape")
        return " × ".join(map(str, shape)) if isinstance(shape, list) else ""

    @property
    def judged(self) -> str:
        r"""The samples that the epochs were judged on, in words."""

        n = self.last.get("val_n")
        count = f"{n:,} " if is_count(n) else ""
        return count + self.judges

    @property
    def judges(self) -> str:
        kept = self.settings.get("validation_size")
        noted = self.made[-1].get("judged") if self.made else None
        return str(noted or ("held-back training samples" if kept else "test samples"))


def read_account(path: Path) -> Account:
    r"""Reads the folder of a run.

    Pictures that are missing or damaged are left out.

    Arguments:
        path: The folder.

    Returns:
        What it tells.

    Raises:
        RunError: If there is no such folder, it is none of a run, or no epoch is finished.
        CorruptError: If a file is not what a run writes.
    """

    run = Run(path)
    if not path.is_dir():
        raise RunError(f"There is no run folder {path}.{nearest_file(path)}")
    settings = run.read_config()
    if not settings.keys() >= {"data", "latent_dim"}:
        raise RunError(f"{path} holds no config.yaml of a run, so it is none{hint(path)}.")
    rows = read_lines(run.metrics)
    for number, row in enumerate(rows, start=1):
        if not is_count(row.get("epoch")):
            raise CorruptError(f"Line {number} of {run.metrics} is damaged: it names no epoch.")
    if not rows:
        raise RunError(f"The run in {path} has no finished epoch to report.")
    rejected = [(str(row.get("file")), str(row.get("reason"))) for row in read_lines(run.rejected)]
    model = read_model_config(run.model / "config.json")
    pictures = read_pictures(run.figures)
    return Account(path, settings, rows, model, pictures, rejected, read_lines(run.made))


def hint(path: Path) -> str:
    r"""Names the run where the folder of its model was given."""

    return f"; the run is {path.parent}" if Run(path.parent).config.exists() else ""


def read_lines(path: Path) -> list[dict[str, Any]]:
    r"""Reads a JSON object a line; a last line that was cut off while it was written is left out.

    Raises:
        CorruptError: If another line is no object.
    """

    if not path.exists():
        return []
    lines = read_file(path).split(b"\n")  # what follows the last line's end is empty, or cut
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            row = from_json(line, path)
        except CorruptError:
            if number == len(lines):
                break
            raise CorruptError(f"Line {number} of {path} is damaged: it is no JSON.") from None
        if not isinstance(row, dict):
            raise CorruptError(f"Line {number} of {path} is damaged: it is no JSON object.")
        found.append(row)
    return found


def read_model_config(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    config = from_json(read_json(path), path)
    if not isinstance(config, dict):
        raise CorruptError(f"{path} is no model's configuration.")
    return config


def read_pictures(folder: Path) -> dict[str, Picture]:
    pictures = {}
    for path in sorted(folder.glob("[!.]*.png")):
        if path.stem == DRAWN_ANEW:
            continue
        with suppress(OSError):
            png = shrunk(read_file(path))
            pictures[path.stem] = Picture(path.stem, png, *struct.unpack(">II", png[16:24]))
    return pictures
