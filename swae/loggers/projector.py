r"""The codes, in the files that TensorBoard's projector reads.

A line of numbers for each code, a line of text for its label, and one picture, the sprite, with
all thumbnails in rows of :math:`\lceil \sqrt{n} \rceil` of equal size, from the upper left. The
projector finds them through a file of its own in the same folder. It turns fewer than three
numbers a code into NaN, and shows nothing; so zeros are added up to three.
"""

__all__ = ["sprite", "write_codes"]

import math
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..writing import write_file
from .logger import Snapshot

LARGEST = 8192
r"""The side of a sprite, in pixels, up to which the projector shows it."""

FOLDER = "projector"


def write_codes(folder: Path, snapshot: Snapshot) -> None:
    r"""Writes the codes of a snapshot in the place of earlier ones.

    Arguments:
        folder: TensorBoard's folder.
        snapshot: The snapshot, with codes.
    """

    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    config = ProjectorConfig()
    info = config.embeddings.add(tensor_name="codes")
    files = {"codes.tsv": lines_of(snapshot.codes)}
    info.tensor_path = f"{FOLDER}/codes.tsv"
    if snapshot.labels is not None:
        files["labels.tsv"] = "".join(f"{one_line(label)}\n" for label in snapshot.labels).encode()
        info.metadata_path = f"{FOLDER}/labels.tsv"
    if snapshot.thumbnails is not None and len(snapshot.thumbnails):
        picture, (w, h) = sprite(snapshot.thumbnails)
        with BytesIO() as file:
            picture.save(file, format="PNG")
            files["sprite.png"] = file.getvalue()
        info.sprite.image_path = f"{FOLDER}/sprite.png"
        info.sprite.single_image_dim.extend([w, h])

    (folder / FOLDER).mkdir(exist_ok=True)
    for name, content in files.items():
        write_file(folder / FOLDER / name, content)
    text = text_format.MessageToString(config)
    write_file(folder / "projector_config.pbtxt", text.encode())


def lines_of(codes: Any) -> bytes:  # noqa: ANN401 - an array
    r"""Returns codes as text that gives back every bit of a float32, of at least three numbers.

    Example:
        >>> lines_of(np.float32([[0.1, -1], [2, 0.25]]))
        b'0.100000001\t-1\t0\n2\t0.25\t0\n'
    """

    with BytesIO() as file:
        codes = np.asarray(codes, dtype=np.float32)
        wide = np.pad(codes, ((0, 0), (0, max(0, 3 - codes.shape[1]))))
        np.savetxt(file, wide, fmt="%.9g", delimiter="\t")
        return file.getvalue()


def one_line(label: object) -> str:
    r"""Returns a label as a line, for the projector skips empty ones and so shifts the others.

    Example:
        >>> one_line("two\nlines"), one_line("")
        ('two lines', '-')
    """

    return re.sub(r"\s+", " ", str(label)).strip() or "-"


def sprite(thumbnails: NDArray[Any]) -> tuple[Image.Image, tuple[int, int]]:
    r"""Lays thumbnails out in one picture, smaller than they are if it would be too large.

    Arguments:
        thumbnails: Images in [0, 1], with shape :math:`(n, c, h, w)`.

    Returns:
        The picture, and the width and height of a thumbnail in it.

    Example:
        >>> picture, size = sprite(np.zeros((5, 1, 8, 6)))
        >>> picture.size, size
        ((18, 16), (6, 8))
    """

    n, _, h, w = thumbnails.shape
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    scale = min(1.0, LARGEST / (columns * max(h, w)))
    h, w = max(1, int(h * scale)), max(1, int(w * scale))
    page = Image.new("RGB", (columns * w, rows * h))
    for i, x in enumerate(thumbnails):
        pixels = np.rint(np.clip(np.broadcast_to(x, (3, *x.shape[1:])), 0, 1) * 255)
        image = Image.fromarray(pixels.astype(np.uint8).transpose(1, 2, 0))
        image = image if scale == 1 else image.resize((w, h), Image.Resampling.BOX)
        page.paste(image, (i % columns * w, i // columns * h))
    return page, (w, h)
