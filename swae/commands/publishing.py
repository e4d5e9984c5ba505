r"""What is left of a figure: its pictures, its numbers, and the record of what made them."""

__all__ = ["flattened", "publish"]

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..canvas import save
from ..paper.studio import Plate, Studio
from ..run import Run
from ..writing import write_file


def publish(name: str, plate: Plate, studio: Studio, command: str, seconds: float) -> None:
    r"""Writes a figure's pictures and numbers, and prints the numbers."""

    files = []
    for part, figure in plate.pictures.items():
        for suffix in (".png", ".svg"):
            file = studio.out / f"{name}{'-' * bool(part)}{part}{suffix}"
            try:
                files.append(save(figure, file))
            except OSError as error:
                raise OSError(
                    f"{file} can't be written ({error.strerror}); make room, and the same command "
                    "draws it again."
                ) from error
    record = {
        "figure": name,
        "command": command,
        "trainings": list(dict.fromkeys(studio.commands)),
        "seconds": round(seconds, 1),
        "seconds_of_training": round(training_seconds(studio), 1),
        "swae": __version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "numbers": plate.numbers,
    }
    file = studio.out / f"{name}.json"
    write_file(file, (json.dumps(record, indent=2) + "\n").encode())
    for key, value in flattened(plate.numbers).items():
        print(f"  {key:<32} {value if isinstance(value, int) else format(value, '.6g')}")
    for path in (*files, file):
        print(f"  {path}")


def training_seconds(studio: Studio) -> float:
    r"""Adds up the epochs of the runs that a figure trained, now or before."""

    runs = {words[words.index("--out") + 1] for words in map(shlex.split, studio.commands)}
    return sum(row["seconds"] for run in runs for row in Run(Path(run)).rows())


def flattened(numbers: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    r"""Returns nested numbers under names with dots."""

    flat: dict[str, Any] = {}
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
