r"""How fast a folder of images is read into the cache, and how much memory that holds.

Run as ``python -m benchmarks.ingest``, with ``--celeba FOLDER`` for real images too. Pillow alone
opens each file and decodes it, with a thread per core and nothing kept; for a framing it also
cuts and resizes. The memory is what a process holds of its own, without the pages of files, which
the system takes back when it wants: the most of it while it reads the folder into the cache and
gathers the batches of an epoch.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.timing import interleaved, machine
from swae.cache import open_folder
from swae.data import ArrayBatches, Samples
from swae.images import Framing, find

SIZE = (178, 218)
FRAMINGS = {
    "decoded": Framing(),
    "64 x 64": Framing(64),
    "148 x 148, then 64 x 64": Framing(64, 148, SIZE[0]),
}
DISTINCT = 300
r"""The number of different files that a synthetic folder is made of."""


def synthetic(folder: Path, n: int) -> None:
    r"""Fills a folder with JPEGs of CelebA's size, links to a few different ones."""

    rng, sources = np.random.default_rng(0), folder / ".distinct"
    sources.mkdir(parents=True)
    for i in range(min(n, DISTINCT)):
        coarse = rng.integers(0, 256, size=(14, 11, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)
        noise = rng.normal(0, 6, size=(*SIZE[::-1], 3))
        pixels = (np.asarray(smooth) + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(sources / f"{i}.jpg", quality=75)
    for i in range(n):
        os.link(sources / f"{i % DISTINCT}.jpg", folder / f"{i + 1:06}.jpg")


# --- speed


def by_pillow(folder: Path, framing: Framing) -> None:
    r"""Decodes with a thread per core, each taking as many files as ours do."""

    def some(files: list[str]) -> None:
        for file in files:
            with Image.open(folder / file) as image:
                framing(image.convert("RGB"))

    files = find(folder)
    parts = [files[i : i + 8] for i in range(0, len(files), 8)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(some, parts):
            pass


def by_swae(folder: Path, framing: Framing) -> None:
    with fresh_cache():
        open_folder(folder, framing)


@contextmanager
def fresh_cache() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as cache:
        os.environ["SWAE_CACHE"] = cache
        yield Path(cache)


def speed(folders: dict[str, Path], seconds: float) -> None:
    print("\n| images | framing | Pillow, images/s | swae, images/s | swae / Pillow |")
    print("|---|---|---|---|---|")
    for name, folder in folders.items():
        for framed, framing in FRAMINGS.items():
            pillow, swae = rates(folder, framing, seconds)
            cells = (name, framed, f"{pillow:,.0f}", f"{swae:,.0f}", f"{swae / pillow:.2f}")
            print(f"| {' | '.join(cells)} |", flush=True)


def rates(folder: Path, framing: Framing, seconds: float) -> tuple[float, float]:
    ways = {"Pillow": by_pillow, "swae": by_swae}
    times = interleaved(ways, lambda: (folder, framing), seconds)
    n = len(find(folder))
    return n / times["Pillow"], n / times["swae"]


# --- memory


def held() -> float:
    r"""Returns the MiB that this process holds of its own now."""

    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def watch(work: Callable[[], None]) -> tuple[float, float]:
    r"""Returns what is held before some work, and the most meanwhile."""

    before = most = held()
    over = threading.Event()

    def look() -> None:
        nonlocal most
        while not over.wait(0.01):
            most = max(most, held())

    watcher = threading.Thread(target=look)
    watcher.start()
    work()
    over.set()
    watcher.join()
    return before, most


def use(folder: Path) -> None:
    r"""Reads a folder into the cache and gathers an epoch's batches."""

    read = open_folder(folder, Framing(64))
    samples = Samples(read.x, None, read.rejected, read.digest)
    for _ in ArrayBatches(samples, 100).epoch(0):
        pass


def memory(sizes: list[int], place: Path) -> None:
    print("\n| images | before, MiB | most, MiB | cache, MiB |\n|---|---|---|---|")
    for n in sizes:
        folder = place / f"{n}"
        synthetic(folder, n)
        with fresh_cache() as cache:
            command = [sys.executable, "-m", "benchmarks.ingest", "--hold", str(folder)]
            cells = subprocess.check_output(command, text=True).split()
            size = sum(file.stat().st_size for file in cache.rglob("*.npy")) / 2**20
        shutil.rmtree(folder)
        print(f"| {n:,} | {' | '.join(cells)} | {size:,.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="About how long a row takes.")
    parser.add_argument("-n", "--number", type=int, default=5000, help="Synthetic images to time.")
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 200_000])
    parser.add_argument("--celeba", type=Path, metavar="FOLDER")
    parser.add_argument("--hold", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.hold:
        print(" ".join(f"{value:.0f}" for value in watch(lambda: use(args.hold))))
        return

    print(f"{machine()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        folders = {f"synthetic {SIZE[0]} x {SIZE[1]}": Path(name, "timed")}
        synthetic(Path(name, "timed"), args.number)
        if args.celeba:
            folders["CelebA"] = args.celeba
        speed(folders, args.seconds)
        memory(args.sizes, Path(name))


if __name__ == "__main__":
    main()
