r"""What an installation takes of the disk, with and without extras, and beside those of others.

Run as ``python -m benchmarks.install``, or with names of rows, as in ``python -m
benchmarks.install bare POT``. Each row is a ``pip install -c constraints.txt`` into a fresh
environment of its own, one at a time, which is deleted afterwards. What counts is what the files
of all installed packages hold on the disk, compiled modules included and pip itself not.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = [name for name in PROJECT["optional-dependencies"] if name not in ("examples", "dev")]

WANTED = {
    "bare": (str(ROOT),),
    **{extra: (f"{ROOT}[{extra}]",) for extra in EXTRAS},
    "all extras": (f"{ROOT}[{','.join(EXTRAS)}]",),
    "POT": ("pot",),
    "POT, torch": ("pot", "torch"),
    "pythae": ("pythae",),
}
r"""What each row asks pip for."""


class Footprint(NamedTuple):
    r"""MiB on the disk of each distribution, by its name, and torch's version if it is there."""

    sizes: dict[str, float]
    torch: str

    @property
    def total(self) -> float:
        return sum(self.sizes.values())

    @property
    def largest(self) -> str:
        order = sorted(self.sizes, key=self.sizes.__getitem__, reverse=True)
        return ", ".join(f"{name} {self.sizes[name]:,.0f}" for name in order[:4])


def held(distribution: Distribution) -> float:
    r"""Returns the MiB on the disk of a distribution's files."""

    files = {Path(str(distribution.locate_file(file))) for file in distribution.files or ()}
    return sum(512 * file.stat().st_blocks for file in files if file.is_file()) / 2**20


def footprint(site: Path) -> Footprint:
    r"""Measures a folder of installed packages."""

    found = {d.metadata["Name"]: d for d in distributions(path=[str(site)])}
    sizes = {name: held(distribution) for name, distribution in found.items()}
    return Footprint(sizes, found["torch"].version if "torch" in found else "")


def install(wanted: tuple[str, ...]) -> Footprint:
    r"""Installs into a fresh environment and measures it.

    Raises:
        subprocess.CalledProcessError: If pip failed.
    """

    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder)  # without pip: the one that runs this serves it
        python = Path(folder, "bin", "python")
        pip = (sys.executable, "-m", "pip", "--python", str(python), "install", "-q")
        subprocess.run(
            (*pip, "-c", str(ROOT / "constraints.txt"), *wanted), check=True, cwd=folder
        )
        return footprint(next(Path(folder, "lib").glob("python*/site-packages")))


def asked(wanted: tuple[str, ...]) -> str:
    r"""Says what was asked for as a user would write it, from within a clone."""

    return " ".join(re.sub(rf"^{re.escape(str(ROOT))}", ".", name) for name in wanted)


def rows(names: list[str]) -> Iterator[str]:
    r"""Yields the lines of the table, each when it was measured."""

    yield "| `pip install` | packages | MiB | torch | without torch | the largest |"
    yield "|---|---|---|---|---|---|"
    for name in names:
        found = install(WANTED[name])
        torch = found.sizes.get("torch", 0)
        of_torch = f"{torch:,.0f}" if found.torch else "none"
        yield (
            f"| `{asked(WANTED[name])}` | {len(found.sizes)} | {found.total:,.0f} | {of_torch} "
            f"| {found.total - torch:,.0f} | {found.largest} |"
        )


def main() -> None:
    names = sys.argv[1:] or list(WANTED)
    if unknown := [name for name in names if name not in WANTED]:
        sys.exit(f"rows have to be of {', '.join(WANTED)}, but are {', '.join(unknown)}.")
    for line in rows(names):
        print(line, flush=True)


if __name__ == "__main__":
    main()
