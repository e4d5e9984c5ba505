r"""A model of digits that onnxruntime opens alone, in ten lines: without torch, without swae.

The ten lines of OPEN encode and decode data and generate new ones. What generation wants besides
the decoder is samples of the prior, here a ring, which NumPy draws in two lines. They run in a
process of their own in which importing torch or swae fails. ``python examples/onnx_only.py``
leaves the files in the folder ``onnx`` and prints how far apart the two worlds are.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.datasets import load_digits

from swae import SWAE
from swae.export import export_onnx

OPEN = """\
import numpy as np
from onnxruntime import InferenceSession

encoder, decoder = InferenceSession("encoder.onnx"), InferenceSession("decoder.onnx")
x = np.load("digits.npy")  # as the model was fitted to them: rows of 64 gray values in [0, 1]
z = encoder.run(["z"], {"x": x})[0]
x_hat = decoder.run(["x"], {"z": z})[0]
angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 16)
ring = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
new = decoder.run(["x"], {"z": ring})[0]
"""

ALONE = "import sys; sys.modules.update(torch=None, swae=None)  # importing them fails from here\n"
SAVE = "np.savez('opened.npz', z=z, x_hat=x_hat, new=new)\n"


def opened_alone(folder: Path) -> dict[str, np.ndarray]:
    """Runs the ten lines in a folder, and returns what they made."""
    subprocess.run([sys.executable, "-c", ALONE + OPEN + SAVE], cwd=folder, check=True)
    with np.load(folder / "opened.npz") as made:
        return dict(made)


def main(epochs: int = 30, out: str | None = None) -> dict:
    X = (load_digits().data / 16).astype(np.float32)
    model = SWAE(prior="ring", image_shape=(1, 8, 8), max_epochs=epochs).fit(X)
    held = X[:100]
    with TemporaryDirectory() as lent:
        folder = Path(out or lent)
        export_onnx(model, folder)
        np.save(folder / "digits.npy", held)
        made = opened_alone(folder)
    return {
        "codes differ by": float(np.abs(made["z"] - model.transform(held)).max()),
        "data differ by": float(np.abs(made["x_hat"] - model.reconstruct(held)).max()),
        "mean squared error": float(np.square(made["x_hat"] - held).mean()),
        "generated": made["new"],
    }


if __name__ == "__main__":
    for name, value in main(out="onnx").items():
        print(f"{name:<20} {value.shape if isinstance(value, np.ndarray) else f'{value:.2g}'}")
