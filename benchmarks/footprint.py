r"""What starting and using the program takes: seconds, and the most memory held.

Run as ``python -m benchmarks.footprint``. Each command runs in a process of its own.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.timing import machine, peak
from swae import SWAE

IMAGES = 60_000


def main() -> None:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        x = rng.integers(256, size=(IMAGES, 1, 28, 28), dtype=np.uint8)
        np.save(folder / "images.npy", x)
        np.save(folder / "codes.npy", 2 * rng.random((IMAGES, 2), dtype=np.float32) - 1)
        SWAE(max_epochs=1).fit(x[:1000]).save(folder / "model")

        swae = (sys.executable, "-c", "import sys; from swae.cli import main; sys.exit(main())")
        model, images, codes = (
            str(folder / part) for part in ("model", "images.npy", "codes.npy")
        )
        commands = {
            "`python -c 'import swae'`": (sys.executable, "-c", "import swae"),
            "the same, with torch": (sys.executable, "-c", "import swae; swae.SWAE"),
            "`swae --help`": (*swae, "--help"),
            "`swae fit digits`": (*swae, "fit", "digits", "--out", str(folder / "run")),
            "`swae encode`, 60,000 images of 28x28": (
                *(*swae, "encode", model, images, "--split", "train"),
                *("--out", str(folder / "encoded.npz")),
            ),
            "`swae decode`, 60,000 codes": (
                *(*swae, "decode", model, codes, "--out", str(folder / "decoded.npz")),
            ),
        }  # fmt: skip
        print(f"{machine()}\n\n| | seconds | MiB |\n|---|---|---|")
        for what, command in commands.items():
            seconds, most = peak(*command)
            print(f"| {what} | {seconds:.2f} | {most:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
