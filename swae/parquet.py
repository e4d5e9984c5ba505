r"""Codes with what they are of, as a Parquet file that viewers of data open.

A row is a sample, in the order of the data:

=================  ============================  ================================================
``id``             int64                         its number in the data, or the split of them
``z0``, ``z1``...  float32                       the code, a column each dimension
``codes``          list of float32               the code again, as one vector
``label``          int64, null for none          its class, where there are labels
``label_name``     string                        the name of its class, where classes have names
``error``          float32                       the mean squared error of its reconstruction
``thumbnail``      struct of bytes and path      a PNG of at most 64 x 64, where it is a picture
=================  ============================  ================================================

The error is on the scale of the loss: of standardised values where the model standardises. Mean
over the rows it is the ``mse`` of ``swae evaluate``.

Which viewer wants which: a scatter plot takes two columns of numbers, as Embedding Atlas' ``--x
z0 --y z1``; a search for neighbours and a projection take one column of vectors, as its
``--vector codes`` and what Renumics Spotlight calls an embedding. A picture is what the library
``datasets`` calls an Image, bytes beside a path that is null; the Hugging Face viewer, Spotlight
and Embedding Atlas all show it. The metadata ``huggingface`` of the file says that it is one, and
that ``label`` is a class; ``swae`` says which model the codes are of.

A chunk of samples at a time is encoded and written as a row group, so memory does not grow with
the number of samples.
"""

__all__ = ["write_codes"]

import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .anomaly import row_errors
from .data import to_float
from .estimator import CHUNK, SWAE
from .export import describe
from .metrics import evaluating
from .networks import is_picture
from .optional import optional
from .scaling import Scaling
from .shards import Rows
from .writing import room_for, sync_folder

SIDE = 64
r"""The largest side of a thumbnail, in pixels."""

SPREAD = 2
r"""The deviations from the mean at which a standardised picture is black and white."""


def write_codes(model: SWAE, samples: Any, path: str | Path, **facts: str) -> Path:  # noqa: ANN401 - any data
    r"""Writes a row for each sample: its code, label, reconstruction error and thumbnail.

    Arguments:
        model: The fitted model.
        samples: The data, as :meth:`swae.SWAE.transform` takes them; of
            :class:`swae.data.Samples` the labels are written too.
        path: The file, ``codes.parquet``; it is replaced, wholly or not at all.
        facts: What else the file's metadata says, as texts.

    Returns:
        The file.

    Raises:
        NotFittedError: If there is no model yet.
        ValueError: If pyarrow is not installed, or the samples have another shape.
        OSError: If the file can't be written.
    """

    path, samples = Path(path), model.fitted_._samples(samples)
    arrow = optional("pyarrow", "parquet", f"{path.name} wants")
    parquet = optional("pyarrow.parquet", "parquet", f"{path.name} wants")
    schema = schema_for(arrow, model, samples, facts)
    # What repeats is worth a dictionary; no code does.
    dictionary = [name for name in ("label", "label_name") if name in schema.names]
    done = 0
    with (
        in_place_of(path, lambda: done / len(samples)) as part,
        parquet.ParquetWriter(part, schema, use_dictionary=dictionary) as writer,
    ):
        for columns in rows_of(model, samples):
            done += len(columns["id"])
            arrays = [as_arrow(arrow, columns[field.name], field.type) for field in schema]
            writer.write_batch(arrow.record_batch(arrays, schema=schema))
    return path


def rows_of(model: SWAE, samples: Rows) -> Iterator[dict[str, Any]]:
    r"""Yields the columns of a chunk of samples after the other."""

    network, start, labels = model.autoencoder_, 0, samples.labels
    device = next(network.parameters()).device
    for part in samples.chunks(CHUNK):
        x, end = to_float(part), start + len(part)
        with torch.no_grad(), evaluating(network):
            z = network.encode(x.to(device))
            errors = row_errors(network, x.to(device), z)
        codes = z.numpy(force=True)
        columns: dict[str, Any] = {f"z{i}": codes[:, i] for i in range(codes.shape[1])}
        columns |= {"id": np.arange(start, end), "codes": codes, "error": errors.numpy(force=True)}
        if labels is not None:
            columns |= label_columns(labels[start:end].tolist(), samples.classes)
        if is_shown(samples.shape):
            columns["thumbnail"] = [{"bytes": png, "path": None} for png in thumbnails(model, x)]
        yield columns
        start = end


def label_columns(labels: list[int], names: tuple[str, ...]) -> dict[str, Any]:
    r"""Returns labels, None for none, and their names where they have names.

    Example:
        >>> label_columns([1, -1], ("ant", "cat"))
        {'label': [1, None], 'label_name': ['cat', None]}
    """

    known = [None if label < 0 else label for label in labels]
    if not names:
        return {"label": known}
    return {
        "label": known,
        "label_name": [None if label is None else names[label] for label in known],
    }


# --- the file


@contextmanager
def in_place_of(path: Path, share: Callable[[], float]) -> Iterator[Path]:
    r"""Lends another file, which takes the place of a file once it is written to the end.

    It is for what is too large to be held in memory as :func:`swae.writing.write_file` wants it.

    Arguments:
        path: The file.
        share: Returns which share of it has been written, to say what a full disk lacks.

    Raises:
        OSError: If it can't be written. The old file is left as it was.
    """

    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with room_for(path, lambda: round(part.stat().st_size / max(share(), 1e-9))):
            yield part
            with part.open("rb") as file:
                os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def schema_for(arrow: Any, model: SWAE, samples: Rows, facts: dict[str, str]) -> Any:  # noqa: ANN401 - pyarrow is untyped
    r"""Returns the columns that there are, and what the file says of itself."""

    types = {"id": arrow.int64()}
    types |= {f"z{i}": arrow.float32() for i in range(model.settings_["latent_dim"])}
    types["codes"] = arrow.list_(arrow.float32())
    if samples.labels is not None:
        types["label"] = arrow.int64()
    if samples.labels is not None and samples.classes:
        types["label_name"] = arrow.string()
    types["error"] = arrow.float32()
    if is_shown(samples.shape):
        types["thumbnail"] = arrow.struct({"bytes": arrow.binary(), "path": arrow.string()})
    metadata = {
        "swae": json.dumps(describe(model) | facts),
        "huggingface": json.dumps({"info": {"features": features_of(types, samples.classes)}}),
    }
    return arrow.schema(types, metadata=metadata)


def features_of(types: dict[str, Any], classes: tuple[str, ...]) -> dict[str, Any]:
    r"""Returns what a type alone does not say, in the words of the library ``datasets``."""

    features: dict[str, Any] = {}
    if "label_name" in types:
        features["label"] = {"names": list(classes), "_type": "ClassLabel"}
    if "thumbnail" in types:
        features["thumbnail"] = {"_type": "Image"}
    return features


def as_arrow(arrow: Any, values: Any, kind: Any) -> Any:  # noqa: ANN401 - likewise
    r"""Returns an array of pyarrow; of vectors without a list of Python's for each."""

    if not arrow.types.is_list(kind):
        return arrow.array(values, type=kind)
    n, d = values.shape
    return arrow.ListArray.from_arrays(np.arange(n + 1, dtype=np.int32) * d, values.reshape(-1))


# --- thumbnails


def is_shown(shape: tuple[int, ...]) -> bool:
    r"""Tells whether samples of a shape are gray or colour pictures.

    Example:
        >>> [is_shown(shape) for shape in [(28, 28), (1, 8, 8), (3, 64, 64), (2, 500), (30,)]]
        [True, True, True, False, False]
    """

    return is_picture(shape) or (len(shape) == 3 and shape[0] in (1, 3))


def thumbnails(model: SWAE, x: Tensor) -> Iterator[bytes]:
    r"""Yields a PNG of each of the samples."""

    pictures = x if x.ndim == 4 else x.unsqueeze(1)
    scaling = model.autoencoder_.scaling
    shown = in_unit(pictures, scaling) * 255
    for pixels in shown.round().byte().movedim(1, -1).numpy(force=True):
        yield png_of(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)


def in_unit(pictures: Tensor, scaling: Scaling | None) -> Tensor:
    r"""Brings pictures to [0, 1]; in other units within two deviations of the mean."""

    if scaling is not None:
        mean, deviation = (b.cpu().view(-1, 1, 1) for b in (scaling.mean, scaling.deviation))
        pictures = ((pictures - mean) / deviation / SPREAD + 1) / 2
    return pictures.clamp(0, 1)


def png_of(pixels: NDArray[np.uint8]) -> bytes:
    r"""Returns a PNG of a picture, made smaller where it is larger than a thumbnail."""

    image, buffer = Image.fromarray(pixels), io.BytesIO()
    image.thumbnail((SIDE, SIDE))
    image.save(buffer, "PNG")
    return buffer.getvalue()
