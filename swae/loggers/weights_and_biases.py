r"""Weights & Biases: a run in files, which ``wandb sync`` uploads if and when the user does.

Offline, which is what happens unless online is asked for, nothing leaves the machine: the library
makes no request and asks for no login. What it would store besides what it is given is switched
off: the terminal's output, code, git, the machine, the packages, and the paths above the names of
data. What it keeps in the user's home otherwise, it keeps in the folder.

The library's record can't be taken back. So a note beside it says which run it is and how many
epochs it holds; a run that goes on has the same id, and epochs that it holds are not told again,
which is the same, for a resumed run is the run that was not interrupted. The library's own step,
which has to grow over all parts of a run, is twice the epoch, and one more for pictures.
"""

__all__ = ["WeightsAndBiases"]

import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

from ..optional import optional
from ..writing import write_file
from .logger import Logger, Row, Snapshot, check, numbers_of, picture_of

NOTE = "swae.json"

QUIET: dict[str, Any] = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "host": "",
    "program": "",
    "reinit": "create_new",  # a run of the user's own goes on beside this one
    "save_code": False,
    "show_errors": False,
    "show_info": False,
    "silent": True,
    "symlink": False,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_executable": "",
    "x_save_requirements": False,
}
r"""Settings of the library: no questions, and nothing stored that it is not given."""


@final
class WeightsAndBiases(Logger):
    r"""Writes a run of Weights & Biases into ``FOLDER/wandb``.

    Arguments:
        folder: The folder.
        settings: What the run was asked for, by name; of a path its last name is kept.
        name: What the run is called. The project is ``$WANDB_PROJECT``, or ``swae``.
        done: The number of epochs that are done. If there are any, the folder's run goes on.
        online: Whether to send everything to the server that the library is logged in to, as
            training goes. `$WANDB_MODE` does not decide it.

    Raises:
        ValueError: If the library is not installed, or online is asked for and nobody is logged
            in.
        OSError: If the library can't begin.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any] | None = None,
        name: str | None = None,
        *,
        done: int = 0,
        online: bool = False,
    ) -> None:
        self.wandb = library()
        folder = folder.absolute()  # the library's process has a working folder of its own
        self.home = folder / "wandb"
        self.home.mkdir(parents=True, exist_ok=True)
        self.id, self.told, self.shown = read_note(self.home) if done else new_note()
        self.held = self.told, self.shown
        self.closed = False
        if online:
            check_login(self.wandb)
        with at_home(self.home), in_words(self.wandb):
            self.run: Any = self.wandb.init(
                id=self.id,
                name=name,
                project=os.environ.get("WANDB_PROJECT") or "swae",
                config={key: without_path(value) for key, value in (settings or {}).items()},
                dir=str(folder),
                mode="online" if online else "offline",
                resume="allow" if online else None,  # offline the id is enough
                settings=self.wandb.Settings(**QUIET),
            )
        self.run.define_metric("*", step_metric="epoch")

    def record(self, row: Row) -> None:
        epoch, numbers = numbers_of(row)
        if epoch > self.held[0]:
            self.told = epoch
            self.run.log({"epoch": epoch, **numbers}, step=2 * epoch, commit=True)
            self.note()

    def show(self, snapshot: Snapshot) -> None:
        check(snapshot)
        if snapshot.epoch <= self.held[1]:
            return
        self.shown = snapshot.epoch
        log: dict[str, Any] = {
            f"figures/{name}": self.wandb.Image(picture_of(figure))
            for name, figure in snapshot.figures.items()
        }
        with at_home(self.home):
            if snapshot.codes is not None:
                log["codes"] = self.table(snapshot)
            step = 2 * snapshot.epoch + 1
            self.run.log({"epoch": snapshot.epoch, **log}, step=step, commit=True)
        self.note()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            with at_home(self.home):
                self.run.finish()

    def table(self, snapshot: Snapshot) -> Any:  # noqa: ANN401 - of an optional library
        codes: Any = snapshot.codes
        columns = [f"z{i}" for i in range(1, codes.shape[1] + 1)]
        rows: list[list[Any]] = [list(map(float, z)) for z in codes]
        if snapshot.labels is not None:
            columns.append("label")
            rows = [[*row, str(label)] for row, label in zip(rows, snapshot.labels, strict=True)]
        return self.wandb.Table(columns=columns, data=rows)

    def note(self) -> None:
        note = {"id": self.id, "told": self.told, "shown": self.shown}
        write_file(self.home / NOTE, json.dumps(note).encode())


def read_note(home: Path) -> tuple[str, int, int]:
    r"""Returns the id of the run in a folder and what it holds; a new one where there is none."""

    try:
        note = json.loads((home / NOTE).read_text())
        return str(note["id"]), int(note["told"]), int(note["shown"])
    except (OSError, ValueError, KeyError, TypeError):
        return new_note()


def new_note() -> tuple[str, int, int]:
    return secrets.token_hex(4), -1, -1  # a model that is not trained may be shown, as epoch 0


def library() -> Any:  # noqa: ANN401 - a module that is optional
    return optional("wandb", "wandb", "The log of Weights & Biases wants")


def check_login(wandb: Any) -> None:  # noqa: ANN401 - a module that is optional
    r"""Raises if nobody is logged in, where the library would ask for a password."""

    try:
        known = wandb.login(prompt=False, verify=False)
    except wandb.Error as error:
        said, _, _ = str(error).partition("\n")
        raise ValueError(f"wandb:online wants a login that is one: {said}") from error
    if not known:
        raise ValueError(
            "wandb:online wants a login: `wandb login`, or $WANDB_API_KEY; `wandb` alone is "
            "offline."
        )


def without_path(value: object) -> object:
    r"""Returns a setting without the folders that are above what it names.

    Example:
        >>> without_path("/home/me/heart.png"), without_path("image:/home/me/heart.png")
        ('heart.png', 'image:heart.png')
        >>> without_path("ring"), without_path(0.5)
        ('ring', 0.5)
    """

    return re.sub(r"(^|:)/(?:[^/]*/)*", r"\1", value) if isinstance(value, str) else value


@contextmanager
def in_words(wandb: Any) -> Iterator[None]:  # noqa: ANN401 - a module that is optional
    r"""Turns the library's errors into one that a caller knows."""

    try:
        yield
    except wandb.Error as error:
        raise OSError(
            f"Weights & Biases can't begin ({type(error).__name__}: {error})."
        ) from error


@contextmanager
def at_home(home: Path) -> Iterator[None]:
    r"""Lets the library keep in a folder what it would keep in the user's, and report no errors.

    It starts a process that inherits these variables of the environment, and has no settings for
    them.
    """

    here = {
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_CACHE_DIR": str(home / "cache"),
        "WANDB_DATA_DIR": str(home / "data"),
    }
    before = {name: os.environ.get(name) for name in here}
    os.environ.update(here)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
