r"""Drawing the figures of the paper, from trainings that go on where they were interrupted."""

__all__ = ["paper"]

import importlib
import os
import shlex
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from ..flags import Parser
from ..paper import FIGURES
from ..paper.studio import Studio
from ..run import Run, RunError
from .fit import fit as fit_command
from .opening import listen
from .publishing import publish


def paper(words: list[str]) -> int:
    r"""Draws figures of the paper."""

    listing = "; ".join(f"{name}: {what}" for name, (_, what) in FIGURES.items())
    parser = Parser("swae paper", "Draw figures of the paper, with their numbers.")
    parser.add_argument("figures", nargs="+", type=str, help=f"Figures, or all. {listing}.")
    parser.add_argument(
        "--data-dir",
        type=str | None,
        default=None,
        help="Folder of MNIST and CelebA; $SWAE_DATA if left out.",
    )
    parser.add_argument(
        "--out",
        type=str | None,
        default=None,
        help="Folder to write: paper, or paper-quick with --quick. Runs in it go on, and those "
        "that are finished are drawn again.",
    )
    parser.add_flag("--quick", "A taste in under two minutes a figure: less data, fewer epochs.")
    parser.add_argument("--seeds", type=int, default=1, help="Trainings for each row of fig3.")
    args = parser.read(words)
    names = list(FIGURES) if "all" in args.figures else list(dict.fromkeys(args.figures))
    for name in names:
        if name not in FIGURES:
            known = ", ".join(FIGURES)
            raise ValueError(f"A figure has to be one of {known} or all, but is {name!r}.")
    if args.seeds < 1:
        raise ValueError(f"--seeds has to be at least 1, but is {args.seeds}.")

    listen()
    out = Path(args.out or ("paper-quick" if args.quick else "paper"))
    data_dir = args.data_dir or os.environ.get("SWAE_DATA")
    check_writable(out)
    for name in names:
        print(f"{name}: {FIGURES[name][1]}", flush=True)
        studio = Studio(out, fit_or_go_on, data_dir, args.quick, args.seeds)
        began = time.monotonic()
        plate = importlib.import_module(f"swae.paper.{FIGURES[name][0]}").draw(studio)
        command = ["swae", "paper", name, *options(args, name)]
        publish(name, plate, studio, shlex.join(command), time.monotonic() - began)
    return 0


def check_writable(out: Path) -> None:
    r"""Refuses a folder that can't be written before anything is trained for it."""

    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise OSError(
            f"{out} can't be written ({error.strerror}); give --out another folder."
        ) from error


def options(args: Any, figure: str) -> list[str]:  # noqa: ANN401 - parsed flags
    r"""Returns the options of a figure as one would type them."""

    given = [] if args.data_dir is None else ["--data-dir", args.data_dir]
    given += [] if args.out is None else ["--out", args.out]
    given += ["--quick"] if args.quick else []
    return given + (["--seeds", str(args.seeds)] if figure == "fig3" and args.seeds > 1 else [])


def fit_or_go_on(words: list[str]) -> None:
    r"""Trains a run folder, or goes on with what is there of it; a finished one is left alone."""

    run = Run(Path(words[words.index("--out") + 1]))
    if not run.config.exists():
        fit_command(words)
    elif not is_finished(run, words):
        try:
            fit_command([*words, "--resume"])
        except RunError as error:
            raise RunError(
                f"{str(error).partition(';')[0]}. Give the options that it was drawn with, "
                "--quick among them, or choose another --out."
            ) from error


def is_finished(run: Run, words: list[str]) -> bool:
    r"""Tells whether a run is what the words of ``swae fit`` ask for, trained to its end.

    Where it was trained, on what device and in which precision does not matter.
    """

    config, rows = run.read_config(), run.rows()
    flags = dict(zip(words[1::2], words[2::2], strict=True))
    asked = {name[2:].replace("-", "_"): yaml.safe_load(value) for name, value in flags.items()}
    same = all(config.get(name) == asked[name] for name in asked.keys() - {"out", "data_dir"})
    data = Path(str(config.get("data"))).name == Path(words[0]).name
    ended = bool(rows) and rows[-1]["epoch"] == config.get("max_epochs")
    return same and data and ended and (run.model / "config.json").exists()
