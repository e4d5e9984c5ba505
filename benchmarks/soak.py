r"""Fits, kills, resumes, evaluates and samples in a loop, and counts what is lost: it should be 0.

Run as ``python -m benchmarks.soak --minutes 30``. A round is a run of its own settings, drawn
from a few. It is interrupted up to five times, by a fault at a point and visit drawn at random
(:mod:`swae.faults`) or by a signal after a random time, and goes on each time with ``--resume``;
sometimes a file of its newest checkpoint is damaged in between. Then it is evaluated and sampled.

Lost is a run that does not end with the sha256 of an uninterrupted one, an exit code that does
not belong to its fault, a traceback, a file half there, and a checkpoint or model that can't be
read. Every command is a process; beside them one process lives as long as the soak and fits,
evaluates and samples in it: what it holds in memory and its open files are printed.
"""

import argparse
import hashlib
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.nursery import Ended, Nursery
from benchmarks.timing import machine
from swae.checkpoint import checkpoints, latest_checkpoint, number
from swae.faults import POINTS
from swae.manifest import CorruptError, read_folder

CODES = {
    "term": 143,
    "int": 130,
    "hup": 129,
    "kill": -signal.SIGKILL,
    "full": 5,
    "memory": 6,
    "nan": 4,
}
r"""The exit codes of the actions; of a loss that is spoilt only where there is one."""

VISITS = {
    "train.step": 15, "train.gradient": 15, "train.epoch": 5, "evaluate": 5, "ingest.block": 3,
    "file.write": 20, "file.place": 20, "command.done": 1,
}  # fmt: skip
r"""The visits of each point that a run may make."""

SETTINGS = {
    "vectors": ("vectors.npy", "--network", "mlp"),
    "digits": ("digits", "--prior", "ring", "--n-projections", "8"),
    "images": ("images", "--image-size", "8", "--optimizer", "rmsprop"),
    "patience": ("vectors.npy", "--network", "mlp", "--patience", "2", "--prior", "normal"),
}
SMALL = ("--batch-size", "100", "--max-epochs", "5", "--n-projections", "5")

LONG_LIVED = """
import os, sys, time
from pathlib import Path
import numpy as np
from swae import SWAE
X = np.random.default_rng(0).random((300, 8), dtype=np.float32)
while True:
    model = SWAE(max_epochs=2, batch_size=100, n_projections=5, network="mlp").fit(X)
    model.evaluate(X), model.sample(50), model.transform(X)
    model.save("long"); SWAE.load("long").reconstruct(X)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    files = len(os.listdir("/proc/self/fd"))
    print(pages * 4096, files, flush=True)
    time.sleep(0.5)
"""


class Soak:
    r"""The rounds.

    Arguments:
        nursery: Where commands are forked.
        seed: The seed of the faults.
    """

    def __init__(self, nursery: Nursery, seed: int) -> None:
        self.nursery, self.folder, self.rng = nursery, nursery.folder, random.Random(seed)
        self.rounds, self.commands = 0, 0
        self.faults: Counter[str] = Counter()
        self.lost: list[str] = []
        self.sums: dict[str, str] = {}

    def lose(self, what: str, ended: Ended | None = None) -> None:
        self.lost.append(what)
        print(f"LOST {what}", ended or "", flush=True)

    def run(self, words: list[str], fault: str = "", every: float = 20.0) -> Ended:
        self.commands += 1
        return self.nursery.run(words, fault, every=every, cached=True)

    def whole(self, name: str) -> str:
        r"""Returns the sum of the weights of a run that nothing interrupts."""

        if name not in self.sums:
            out = self.folder / f"whole-{name}"
            ended = self.run(["fit", *SETTINGS[name], *SMALL, "--out", str(out)])
            assert ended.code == 0, ended.said
            self.sums[name] = weights(out)
        return self.sums[name]

    def round(self) -> None:
        self.rounds += 1
        name = self.rng.choice(list(SETTINGS))
        expected, out = self.whole(name), self.folder / "run"
        words = ["fit", *SETTINGS[name], *SMALL, "--out", str(out), "--resume"]
        shutil.rmtree(self.folder / "cache", ignore_errors=True)
        spoilt: Path | None = None
        for _ in range(self.rng.randint(1, 5)):
            what = self.interrupt(words)
            self.look(out, what, spoilt)
            if (out / "model").exists():
                break
            if spoilt is None and self.rng.random() < 0.3:
                spoilt = self.damage(out)
        ended = self.run(words)
        if ended.code != 0:
            self.lose(f"round {self.rounds} ({name}): the last run ended with {ended.code}", ended)
        elif weights(out) != expected:
            self.lose(f"round {self.rounds} ({name}): other weights")
        elif list(out.rglob(".*")):
            self.lose(f"round {self.rounds}: relics {list(out.rglob('.*'))}")
        else:
            self.use(out)
        shutil.rmtree(out, ignore_errors=True)

    def interrupt(self, words: list[str]) -> str:
        r"""Lets a run come to a fault; it may end before."""

        every = self.rng.choice([-1.0, 0.01, 0.2, 1e9])
        if self.rng.random() < 0.4:
            signum = self.rng.choice(
                [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
            )
            self.commands += 1
            child = self.nursery.start(words, every=every, cached=True)
            ended = child.dies_after(self.rng.uniform(0.05, 1.2), signum)
            fine = {0, -signum, {15: 143, 2: 130, 1: 129, 9: -9}[signum]}
            what = f"{signum.name} from outside"
        else:
            point, action = self.rng.choice(POINTS), self.rng.choice(list(CODES))
            visit = self.rng.randint(1, VISITS[point])
            ended = self.run(words, f"{point}:{visit}:{action}", every)
            fine, what = {0, CODES[action]}, f"{action} at {point}"
        self.faults[what if ended.code else "none: ended before"] += 1
        if ended.code not in fine or "Traceback" in ended.said:
            self.lose(f"round {self.rounds}: {what} ended with {ended.code}", ended)
        return what

    def look(self, out: Path, what: str, spoilt: Path | None) -> None:
        r"""Reads what an interruption has left: each checkpoint is whole but for a spoilt one."""

        for path in checkpoints(out / "checkpoints"):
            try:
                read_folder(path)
            except CorruptError as error:
                if path == spoilt:
                    continue
                self.lose(f"round {self.rounds}: {what} left {error}")

    def damage(self, out: Path) -> Path | None:
        r"""Spoils a file of the newest checkpoint, where there is one before it."""

        there = checkpoints(out / "checkpoints")
        if len(there) < 2:
            return None
        file = self.rng.choice(sorted(there[-1].iterdir()))
        content = bytearray(file.read_bytes())
        match self.rng.choice(["cut", "flip", "remove"]):
            case "cut":
                file.write_bytes(content[: len(content) // 2])
            case "flip":
                content[self.rng.randrange(len(content))] ^= 1
                file.write_bytes(content)
            case "remove":
                file.unlink()
        self.faults["a damaged checkpoint"] += 1
        latest = latest_checkpoint(out / "checkpoints")
        way = {} if latest is None else latest.info["under_way"] or {}
        if latest is None or (latest.epoch, way.get("batch", 0)) >= number(there[-1]):
            self.lose(f"round {self.rounds}: damage to {file.name} was not noticed")
        return there[-1]

    def use(self, out: Path) -> None:
        for words in (["evaluate", str(out)], ["sample", str(out), "--out", "s.npy"]):
            ended = self.run(words)
            if ended.code != 0:
                self.lose(f"round {self.rounds}: {words[0]} ended with {ended.code}", ended)
        (self.folder / "s.npy").unlink(missing_ok=True)


def weights(run: Path) -> str:
    return hashlib.sha256((run / "model" / "model.safetensors").read_bytes()).hexdigest()


def prepare(folder: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(folder / "vectors.npy", rng.random((300, 8), dtype=np.float32))
    (folder / "images").mkdir()
    for i in range(60):
        pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")


def flat(lines: list[str]) -> str:
    r"""Says what a long-lived process held, at first and at last."""

    rows = [tuple(map(int, line.split())) for line in lines]
    if len(rows) < 10:
        return f"the long-lived process made {len(rows)} turns, too few to say"
    # The first turns import and warm up.
    tenth = max(3, len(rows) // 10)
    early, late = rows[tenth : 2 * tenth], rows[-tenth:]
    parts = [f"the long-lived process made {len(rows)} turns"]
    for i, what, scale in ((0, "MB in memory", 1e6), (1, "open files", 1)):
        before, after = (statistics.median(row[i] for row in part) for part in (early, late))
        parts.append(
            f"{before / scale:.1f} {what} after a tenth of them, {after / scale:.1f} last"
        )
    return "; ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory() as folder:
        home, other = Path(folder) / "a", Path(folder) / "b"
        home.mkdir(), other.mkdir()
        prepare(home)
        env = {"SWAE_CACHE": str(home / "cache")}
        with Nursery(home, env) as nursery, Nursery(other, env) as second:
            child, soak = second.start([], code=LONG_LIVED), Soak(nursery, args.seed)
            while time.monotonic() < end:
                soak.round()
            child.send(signal.SIGKILL)
            lines = child.wait().said.splitlines()
    print(f"{machine()}; {args.minutes:g} minutes, seed {args.seed}")
    print(f"{soak.rounds} rounds of {soak.commands} commands")
    for what, count in sorted(soak.faults.items()):
        print(f"{count:6} {what}")
    print(flat(lines))
    print(f"{len(soak.lost)} lost")
    sys.exit(bool(soak.lost))


if __name__ == "__main__":
    main()
