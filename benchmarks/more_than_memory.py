r"""A run over a set that is four times the memory given to the process.

``python -m benchmarks.more_than_memory`` writes 4 GiB beside the temporary files, trains an epoch
on it, evaluates and encodes, each in a process of its own that may have 1 GiB, and prints what
each came to have at most. ``--gib`` says how much, ``--folder`` where.

What is limited is the data segment (``RLIMIT_DATA``): all memory that a process has for itself,
its own code and libraries included, of which Python with torch takes some 430 MiB before a sample
is read. What asks for more is refused by the kernel, and ends. The address space would not do as a
measure, for a mapped file counts in it whole; pages of a mapped file do not count here, for the
system drops them whenever it wants the room. So beside the peak of what a process had for itself
(``RssAnon``) stands the peak of the files' pages that were mapped meanwhile (``RssFile``), which
on a machine with more memory may be all of them. Arrow is told to take its memory from the
system, for its own allocator reserves a GiB that it may never use.

Sets are one array of float32 rows (``.npy``, mapped), and the same rows in Parquet shards
(streamed, `swae.shards`). At the end the same process tries to hold the set in memory, which has
to fail.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import machine

WIDTH = 4096
r"""The numbers in a row: 16 KiB."""

SHARDS = 16

GIB = 2**30


def rows_of(block: int, n: int) -> np.ndarray[Any, Any]:
    r"""Draws rows of three factors and some noise, the same for a block whenever it is asked."""

    rng, base = np.random.default_rng(block), np.random.default_rng(10**6)
    factors = base.random((3, WIDTH), dtype=np.float32) / 3
    noise = 0.01 * rng.random((n, WIDTH), dtype=np.float32)
    return 0.99 * rng.random((n, 3), dtype=np.float32) @ factors + noise


def write_array(path: Path, n: int) -> None:
    array = np.lib.format.open_memmap(path, "w+", np.float32, (n, WIDTH))
    each = n // SHARDS
    for i in range(SHARDS):
        array[i * each : (i + 1) * each] = rows_of(i, each)
    array.flush()


def write_shards(folder: Path, n: int) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    folder.mkdir()
    for i in range(SHARDS):
        rows = rows_of(i, n // SHARDS)
        column = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), WIDTH)
        table = pa.table({"x": column})
        parquet.write_table(
            table, folder / f"{i:03}.parquet", row_group_size=256, compression="none"
        )


# --- in a process of its own


def opened(path: Path) -> Any:  # noqa: ANN401 - samples or shards
    from swae.shards import Shards
    from swae.sources import load

    return Shards.open(path) if path.is_dir() else load(path, "all")


def fit(path: Path, model: Path) -> str:
    from swae import SWAE

    settings = {"max_epochs": 1, "batch_size": 250, "validation_size": 1 / 16}
    fitted = SWAE(network="mlp", **settings).fit(opened(path))
    fitted.save(model)
    return f"{fitted.samples_per_epoch_:,} rows an epoch"


def evaluate(path: Path, model: Path) -> str:
    from swae import SWAE

    found = SWAE.load(model).evaluate(opened(path))
    return f"MSE {found.mse:.5f}, SW2 {found.match.sw2:.4f}"


def encode(path: Path, model: Path) -> str:
    from swae import SWAE

    return f"{len(SWAE.load(model).transform(opened(path))):,} codes"


def hold(path: Path, model: Path) -> str:
    r"""Does what must not work: has the set in memory."""

    samples = opened(path)
    return f"{len(list(samples.chunks(1000)))} chunks held"


STEPS = {"fit": fit, "evaluate": evaluate, "encode": encode, "hold all": hold}


def status(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    found = re.search(rf"{name}:\s+(\d+)", text)
    return 1024 * int(found[1]) if found else 0


def child(step: str, path: Path, model: Path, limit: int) -> None:
    r"""Does a step within the limit, and prints what it came to."""

    import torch

    import swae  # noqa: F401 - what is there before a sample is read

    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    most = dict.fromkeys(("RssAnon", "RssFile", "VmData"), 0)

    def watch() -> None:
        while True:
            for name in most:
                most[name] = max(most[name], status(name))
            time.sleep(0.01)

    threading.Thread(target=watch, daemon=True).start()
    began = time.perf_counter()
    try:
        said = STEPS[step](path, model)
    except (MemoryError, RuntimeError, ValueError) as error:
        said = f"refused: {type(error).__name__}, {str(error).splitlines()[0][:80]}"
    seconds = time.perf_counter() - began
    print(json.dumps({"said": said, "seconds": seconds, **most}))


def run(step: str, path: Path, model: Path, limit: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.more_than_memory", "--child", step]
    command += ["--folder", str(path), "--model", str(model), "--limit", str(limit)]
    env = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return {"said": f"ended with {done.returncode}: {done.stderr.strip()[-300:]}"}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=1.0, help="Memory of the process.")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--sets", nargs="*", default=["array", "shards"])
    parser.add_argument("--child", choices=list(STEPS), default=None)
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--limit", type=int, default=0)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.folder, args.model, args.limit)
        return

    limit = int(args.gib * GIB)
    n = 4 * limit // (4 * WIDTH) // SHARDS * SHARDS
    print(machine())
    print(
        f"{n:,} rows of {WIDTH} float32, {4 * n * WIDTH / GIB:.1f} GiB; limit {args.gib:g} GiB\n"
    )
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        home = Path(name)
        if shutil.disk_usage(home).free < 6 * limit:
            sys.exit(f"{home} has no room for {4 * args.gib:g} GiB.")
        print("| set | step | seconds | own memory, MiB | files mapped, MiB | came to |")
        print("|---|---|---|---|---|---|")
        sets = {"array": (home / "x.npy", write_array), "shards": (home / "shards", write_shards)}
        for what in args.sets:
            path, write = sets[what]
            write(path, n)
            for step in STEPS:
                row = run(step, path, home / f"model of {what}", limit)
                numbers = [f"{row.get(k, 0) / 2**20:,.0f}" for k in ("RssAnon", "RssFile")]
                print(
                    f"| {what} | {step} | {row.get('seconds', 0):.0f} | {' | '.join(numbers)} | "
                    f"{row['said']} |",
                    flush=True,
                )
            shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    main()
