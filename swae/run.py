r"""The folder of a run.

========================  =====================================================
``config.yaml``           what was asked for, resolved: ``swae fit --config`` runs it again
``metrics.jsonl``         a line an epoch
``model/``                weights, configuration and their sha256 sums
``checkpoints/``          where training stands, for ``--resume``
``figures/``              curves, reconstructions, samples, codes and walks
``logs/``                 what ``--log`` asks for: TensorBoard's files, Weights & Biases'
``report.html``           all of it on one page, see :mod:`swae.report`
``made.jsonl``            what it was made with: a line each time that training began or went on
``rejected.jsonl``        files of the data that could not be read, if any
========================  =====================================================

A run is locked while it is written. The lock is the system's: it goes when its process does.
"""

__all__ = ["Run", "RunError", "model_folder"]

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, final

import yaml

from .checkpoint import Checkpoint, latest_checkpoint
from .loggers import JsonLines
from .plain_yaml import read_yaml
from .storage import home_of, is_model
from .writing import append_line, write_file

RESUMABLE = ("data_dir", "device", "micro_batch_size", "log")
r"""Settings that may change on the way: where things are, and who is told."""


class RunError(ValueError):
    r"""A run folder that can't be used as asked."""


@final
class Run:
    r"""A run folder.

    Arguments:
        path: The folder.

    Example:
        >>> Run(Path("runs/001-digits")).model
        PosixPath('runs/001-digits/model')
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.metrics = path / "metrics.jsonl"
        self.model = path / "model"
        self.checkpoints = path / "checkpoints"
        self.figures = path / "figures"
        self.logs = path / "logs"
        self.report = path / "report.html"
        self.made = path / "made.jsonl"
        self.rejected = path / "rejected.jsonl"

    @classmethod
    def numbered(cls, name: str, parent: Path = Path("runs")) -> "Run":
        r"""Returns the next run of a parent folder: ``runs/001-digits``, ``runs/002-mnist``."""

        taken = [re.match(r"\d+", path.name) for path in parent.glob("*")]
        number = 1 + max((int(match[0]) for match in taken if match), default=0)
        return cls(parent / f"{number:03d}-{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-')}")

    @contextmanager
    def claimed(self, *, overwrite: bool = False, resume: bool | None = False) -> Iterator[None]:
        r"""Makes the folder, locks it, and refuses to write over what is there.

        Nothing is removed yet: :meth:`clear` does, once a new run is known to be possible.

        Arguments:
            overwrite: Whether an earlier run in it may be replaced.
            resume: Whether an earlier run in it goes on; None where there is nothing to resume.

        Raises:
            RunError: If the folder is in use, holds something else, or holds a run that neither
                flag gives up.
            OSError: If it can't be written.
        """

        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path} is a file; --out wants a folder.")
        # Relics of an aborted start, a lock or a file half written, are no run.
        there = [path.name for path in self.path.glob("*") if not path.name.startswith(".")]
        if there and not (overwrite or resume):
            hint = "" if resume is None else ", or --resume to go on with it"
            raise RunError(
                f"{self.path} is not empty; choose another --out, or give --overwrite to replace "
                f"the run in it{hint}."
            )
        if there and not self.read_config().keys() >= {"data", "latent_dim"}:
            raise RunError(
                f"{self.path} holds {there[0]} and no config.yaml of a run, so it is none; "
                "choose another --out."
            )

        new = not self.path.exists()
        with elsewhere(self.path, "made"):
            self.path.mkdir(parents=True, exist_ok=True)
        try:
            with locked(self.path / ".lock", self.path):
                remove_relics(self.path)
                yield
        finally:
            if new:
                remove_if_empty(self.path)

    def clear(self) -> None:
        r"""Removes what a run writes, and nothing else."""

        for folder in (self.model, self.checkpoints, self.figures, self.logs):
            shutil.rmtree(folder, ignore_errors=True)
        # The configuration comes last, by which the folder is known as a run.
        for file in (self.metrics, self.report, self.made, self.rejected, self.config):
            file.unlink(missing_ok=True)

    def write_config(self, settings: Mapping[str, Any]) -> None:
        write_file(self.config, yaml.safe_dump(dict(settings), sort_keys=False).encode())

    def read_config(self) -> dict[str, Any]:
        r"""Reads the configuration; empty where there is none.

        Raises:
            RunError: If it is no mapping.
        """

        if not self.config.exists():
            return {}
        try:
            config = read_yaml(self.config)
        except ValueError as error:
            raise RunError(f"{error}") from error
        if not config:
            raise RunError(f"{self.config} does not hold settings by name.")
        return config

    def resume_point(self, settings: Mapping[str, Any]) -> Checkpoint | None:
        r"""Returns where the run stands, and cuts the metrics there.

        Arguments:
            settings: What is asked for now; it has to be what the run was started with.

        Returns:
            The newest whole checkpoint; :py:`None` if there is none.

        Raises:
            RunError: If a setting differs, or there is a model and no checkpoint, as of weights
                that were trained elsewhere.
        """

        checkpoint = latest_checkpoint(self.checkpoints)
        if checkpoint is None and self.model.exists():
            raise RunError(
                f"{self.path} holds a model and no checkpoint, so there is nothing to go on from; "
                "--overwrite trains anew."
            )
        for name, old in self.read_config().items():
            new = settings.get(name)
            if name not in RESUMABLE and name in settings and not is_same(old, new):
                raise RunError(
                    f"The run in {self.path} has {name}={old!r}, but {name}={new!r} is asked for; "
                    "--resume goes on with the same settings."
                )
        done = 0 if checkpoint is None else checkpoint.epoch
        JsonLines(self.metrics, done=done)
        return checkpoint

    def record(self, row: Mapping[str, Any]) -> None:
        r"""Appends an epoch's line to the metrics."""

        JsonLines(self.metrics, done=None).record(row)

    def rows(self) -> list[dict[str, Any]]:
        r"""Returns the metrics, a row an epoch; a line that was cut off is left out."""

        return JsonLines(self.metrics, done=None).rows()

    def note(self, made: Mapping[str, Any]) -> None:
        r"""Appends what training is made with from here on."""

        append_line(self.made, json.dumps(dict(made)))

    def reject(self, rejected: Sequence[tuple[str, str]]) -> None:
        r"""Writes which files of the data could not be read, and why."""

        lines = [json.dumps({"file": file, "reason": reason}) for file, reason in rejected]
        if lines:
            write_file(self.rejected, ("\n".join(lines) + "\n").encode())


def is_same(old: object, new: object) -> bool:
    r"""Tells whether two settings are one; so are two ways to one place, whole paths as we store.

    Example:
        >>> is_same("/data/photos", "/data/old/../photos"), is_same("digits", "/data/digits")
        (True, False)
    """

    whole = all(isinstance(value, str) and os.path.isabs(value) for value in (old, new))
    return old == new or (whole and os.path.realpath(str(old)) == os.path.realpath(str(new)))


@contextmanager
def locked(lock: Path, what: Path) -> Iterator[None]:
    r"""Holds a lock on a file; the system gives it back when the process ends."""

    with elsewhere(what, "written"):
        opened = lock.open("a")
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{what} is in use by another run.") from None
        # Without a name it is the lock of a run that ended just now, and holds nobody off.
        if os.fstat(file.fileno()).st_nlink == 0:
            raise RunError(f"{what} is in use by another run.")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


@contextmanager
def elsewhere(path: Path, how: str) -> Iterator[None]:
    r"""Says of a folder that can't be used to choose another."""

    try:
        yield
    except OSError as error:
        raise OSError(
            f"{path} can't be {how} ({error.strerror}); choose another --out."
        ) from error


def remove_relics(folder: Path) -> None:
    r"""Removes what killed processes had begun to write; whoever holds the lock is alone here."""

    for path in [*folder.glob(".*.part"), *folder.glob("*/.*.part"), *folder.glob("*/*/.*.part")]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def model_folder(path: Path) -> Path:
    r"""Returns the model of a run folder, or the folder itself where it is a model's.

    Raises:
        RunError: If there is none.
    """

    if not is_model(home := home_of(path)):
        raise RunError(
            f"{path} holds no model: neither model/config.json nor config.json is there."
        )
    return home
