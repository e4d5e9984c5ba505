r"""How fast a model is in onnxruntime, beside torch.

Run as ``python -m benchmarks.exported``. Pictures of MNIST's size are encoded and codes decoded, a
thousand at once, on one thread each, by the estimator and by its exported files. The weights are
of a moment's training, which does not matter here. The sizes of the files are printed too.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from benchmarks.timing import interleaved, machine
from swae import SWAE
from swae.export import export_onnx

AT_ONCE = 1000


def by_onnxruntime(path: Path) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Returns what runs a file on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda x: session.run(None, {given.name: x})[0]


def main(seconds: float = 60) -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    X = rng.random((AT_ONCE, 1, 28, 28), dtype=np.float32)
    Z = rng.uniform(-1, 1, (AT_ONCE, 2)).astype(np.float32)
    model = SWAE(max_epochs=1, device="cpu").fit(X)
    print(machine())
    with TemporaryDirectory() as folder:
        for path, x, torchs in zip(
            export_onnx(model, folder),
            (X, Z),
            (model.transform, model.inverse_transform),
            strict=True,
        ):
            ways = {"torch": torchs, "onnxruntime": by_onnxruntime(path)}
            times = interleaved(ways, lambda x=x: (x,), seconds / 2)
            ratio = times["onnxruntime"] / times["torch"]
            took = ", ".join(f"{name} {1e3 * t:.0f} ms" for name, t in times.items())
            print(f"{path.name} {path.stat().st_size:,} bytes: {took}, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
