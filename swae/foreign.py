r"""Weights that were trained elsewhere: the paper's networks as Keras 2.1 stores them.

Keras keeps an image as :math:`(h, w, c)`, torch as :math:`(c, h, w)`. A kernel :math:`K` of Keras
ends in its inputs and outputs, a weight :math:`W` of torch begins with its outputs and inputs, so
a convolution and a dense layer become

.. math:: W_{o \, i \, u \, v} = K_{u \, v \, i \, o} , \qquad W_{o \, i} = K_{i \, o} .

Where the encoder flattens its :math:`4 \times 4` pixels of 64 channels, and where the decoder
unfolds them, pixel :math:`(u, v)` of channel :math:`c` is number :math:`64 (4 u + v) + c` of 1024
in Keras and :math:`16 c + 4 u + v` in torch. With

.. math:: \pi(16 c + 4 u + v) = 64 (4 u + v) + c

the dense layer after the flattening has :math:`W_{o t} = K_{\pi(t) \, o}`, and the one before the
unfolding :math:`W_{t i} = K_{i \, \pi(t)}` and the bias :math:`b_{\pi(t)}` at :math:`t`. The
decoder of Keras ends in a sigmoid, ours in its argument.

A file is HDF5. Its attribute ``model_config`` is JSON that says what the layers are, and
``model_weights/LAYER/SCOPE`` holds the arrays ``kernel:0`` and ``bias:0`` of a layer. Of a file
nothing is believed: its JSON is only compared, layers, types and shapes are known before a number
is read, and no link is followed out of the file or within it.
"""

__all__ = ["LATENT_DIM", "SHAPE", "read_keras"]

import io
import json
import math
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .images import DataError
from .networks import SLOPE, WEIGHTED, build
from .reading import reading

SHAPE = (1, 28, 28)
LATENT_DIM = 2
GRID = (4, 4, 64)
r"""What Keras flattens: rows, columns and channels."""

FLAT = math.prod(GRID)
PARAMETERS = ("kernel:0", "bias:0")
SIGNATURE = b"\x89HDF\r\n\x1a\n"

MAX_BYTES = 2**24
r"""The size of a file that is read at all; the paper's are of a megabyte."""

INERT = ("name", "trainable")
INERT_ENDINGS = ("_initializer", "_regularizer", "_constraint")
r"""Settings of a layer that only its training knows."""


class Layer(NamedTuple):
    r"""A layer of Keras.

    Arguments:
        kind: The name of its class.
        settings: What its result depends on, as JSON has it.
    """

    kind: str
    settings: dict[str, Any]


def entry(*shape: int) -> Layer:
    settings = {"batch_input_shape": [None, *shape], "dtype": "float32", "sparse": False}
    return Layer("InputLayer", settings)


def dense(units: int, activation: str = "linear") -> Layer:
    return Layer("Dense", {"units": units, "activation": activation, "use_bias": True})


def conv(filters: int, padding: str = "same", activation: str = "linear") -> Layer:
    settings = {
        "filters": filters,
        "kernel_size": [3, 3],
        "strides": [1, 1],
        "dilation_rate": [1, 1],
        "padding": padding,
        "data_format": "channels_last",
        "activation": activation,
        "use_bias": True,
    }
    return Layer("Conv2D", settings)


LEAKY = Layer("LeakyReLU", {"alpha": float(np.float32(SLOPE))})
UP = Layer("UpSampling2D", {"size": [2, 2], "data_format": "channels_last"})
POOL = Layer(
    "AveragePooling2D",
    {
        "pool_size": [2, 2],
        "strides": [2, 2],
        "padding": "same",
        "data_format": "channels_last",
    },
)

LAYERS = {
    "encoder": (
        entry(28, 28, 1),
        *(conv(16), LEAKY, conv(16), LEAKY, POOL),
        *(conv(32), LEAKY, conv(32), LEAKY, POOL),
        *(conv(64), LEAKY, conv(64), LEAKY, POOL),
        Layer("Flatten", {}),
        dense(128, "relu"),
        dense(LATENT_DIM),
    ),
    "decoder": (
        entry(LATENT_DIM),
        dense(128),
        dense(FLAT, "relu"),
        Layer("Reshape", {"target_shape": list(GRID)}),
        *(UP, conv(64), LEAKY, conv(64), LEAKY),
        *(UP, conv(64, "valid"), LEAKY, conv(64), LEAKY),
        *(UP, conv(32), LEAKY, conv(32), LEAKY),
        conv(1, activation="sigmoid"),
    ),
}
r"""The paper's networks, layer by layer."""


def read_keras(encoder: Path, decoder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    r"""Reads the paper's encoder and decoder from what ``model.save`` of Keras 2 has written.

    Arguments:
        encoder: The file of the encoder.
        decoder: The file of the decoder.

    Returns:
        The states of the networks that :func:`swae.networks.build` creates for MNIST.

    Raises:
        DataError: If a file can't be read, or holds anything else than the paper's network.
        ValueError: If h5py is not installed.

    Example:
        >>> encoder, decoder = read_keras(Path("encoder.h5"), Path("decoder.h5"))  # doctest: +SKIP
        >>> encoder["0.weight"].shape  # doctest: +SKIP
        torch.Size([16, 1, 3, 3])
    """

    with torch.device("meta"):
        ours = build(SHAPE, LATENT_DIM)

    return read_network(encoder, "encoder", ours[0]), read_network(decoder, "decoder", ours[1])


def hdf5() -> Any:  # noqa: ANN401 - a module without types
    try:
        import h5py
    except ImportError:
        raise ValueError(
            "Keras' files are HDF5, and h5py, which reads it, is not installed: "
            "`pip install 'swae[keras]'`."
        ) from None
    return h5py


def read_network(path: Path, part: str, ours: nn.Module) -> dict[str, Tensor]:
    h5py, content = hdf5(), read_bytes(path)
    with reading(path), h5py.File(io.BytesIO(content), "r") as file:
        names = check_config(path, part, text(path, file, "model_config"))
        (weights,) = members(path, file["/"], ["model_weights"])
        check(f"backend of {path}", text(path, weights, "backend"), "tensorflow")
        check(f"layer_names of {path}", texts(path, weights, "layer_names"), names)
        layers = dict(zip(names, members(path, weights, names), strict=True))
        return state_of(path, layers, part, ours)


def read_bytes(path: Path) -> bytes:
    r"""Reads a file whole, so that HDF5 has no file to open, wait for or lock."""

    with reading(path):
        if not path.is_file():
            raise DataError(f"{path} has to be an HDF5 file of Keras, but there is no such file.")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise DataError(
                f"{path} has to be of {MAX_BYTES:,} bytes at most, but is of {size:,}."
            )
        content = path.read_bytes()
        if not content.startswith(SIGNATURE):
            raise DataError(
                f"{path} has to be an HDF5 file of Keras, but begins with {content[:8]!r}."
            )
    return content


def check(what: str, got: object, wanted: object) -> None:
    if got != wanted:
        raise DataError(f"{what} has to be {wanted!r}, but is {got!r:.200}.")


# --- the description


def check_config(path: Path, part: str, config: str) -> list[str]:
    r"""Returns the names of the layers, if these are the paper's, one after the other."""

    model = json.loads(config)
    check(f"The kind of the model in {path}", model["class_name"], "Model")
    layers = model["config"]["layers"]
    got = [Layer(layer["class_name"], lasting(layer["config"])) for layer in layers]
    for other in LAYERS.keys() - {part}:
        if got == list(LAYERS[other]):
            raise DataError(
                f"{path} has to be the {part}, but is the {other}: the encoder's file comes "
                "first, then the decoder's."
            )

    kinds = ([layer.kind for layer in plan] for plan in (got, LAYERS[part]))
    for number, (kind, wanted) in enumerate(zip_longest(*kinds, fillvalue="no layer"), start=1):
        check(f"Layer {number} of the {part} in {path}", kind, wanted)
    names = [layer["name"] for layer in layers]
    for name, layer, plan in zip(names, got, LAYERS[part], strict=True):
        for key in sorted(layer.settings.keys() | plan.settings.keys()):
            what = f"{key} of the layer {name} in {path}"
            check(what, layer.settings.get(key), plan.settings.get(key))
    check_chain(path, model["config"], names)
    return names


def lasting(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in settings.items()
        if name not in INERT and not name.endswith(INERT_ENDINGS)
    }


def check_chain(path: Path, config: dict[str, Any], names: Sequence[str]) -> None:
    r"""Refuses layers that take anything but the result of the one before."""

    nodes = [[[name, 0, 0]] for name in names]
    check(f"input_layers of {path}", config["input_layers"], nodes[0])
    check(f"output_layers of {path}", config["output_layers"], nodes[-1])
    inbound = [[], *([[[name, 0, 0, {}]]] for name in names)]
    for layer, wanted in zip(config["layers"], inbound, strict=False):
        what = f"inbound_nodes of the layer {layer['name']} in {path}"
        check(what, layer["inbound_nodes"], wanted)


# --- what HDF5 holds


def members(where: object, group: Any, names: Sequence[str]) -> list[Any]:  # noqa: ANN401
    r"""Opens what a group holds, if that is of these names and in the group itself."""

    if not isinstance(group, hdf5().Group):
        raise DataError(f"{where} has to be a group, but is a {type(group).__name__}.")
    lacking, more = set(names) - set(group), set(group) - set(names)
    if lacking or more:
        raise DataError(
            f"{where} has to hold what Keras writes and nothing more, but lacks "
            f"{sorted(lacking)!r:.200} and holds {sorted(more)!r:.200} besides."
        )
    for name in names:
        if group.id.links.get_info(name.encode()).type != hdf5().h5l.TYPE_HARD:
            raise DataError(f"{name} in {where} has to be there itself, but is a link.")
    return [group[name] for name in names]


def texts(where: object, owner: Any, name: str) -> list[str]:  # noqa: ANN401
    r"""Reads an attribute that is a list of words; Keras writes an empty one as numbers."""

    shape = check_attribute(where, owner, name)
    if len(shape) != 1:
        raise DataError(f"{name} of {where} has to be a list, but is of shape {shape}.")
    return [] if shape == (0,) else [as_text(word) for word in owner.attrs[name]]


def text(where: object, owner: Any, name: str) -> str:  # noqa: ANN401
    r"""Reads an attribute that is one text."""

    check(f"The shape of {name} of {where}", check_attribute(where, owner, name), ())
    return as_text(owner.attrs[name])


def as_text(word: str | bytes) -> str:
    return word.decode() if isinstance(word, bytes) else word


def check_attribute(where: object, owner: Any, name: str) -> tuple[int, ...]:  # noqa: ANN401
    r"""Returns the shape of an attribute, if it is there, made of text or empty, and not large."""

    if name not in owner.attrs:
        raise DataError(f"{where} has to have the attribute {name}, but has none of that name.")
    attribute = owner.attrs.get_id(name)
    shape, kind = attribute.shape, attribute.dtype
    if shape is None or (shape != (0,) and hdf5().check_string_dtype(kind) is None):
        raise DataError(f"{name} of {where} has to be text, but is of type {kind}.")
    if math.prod(shape) * kind.itemsize > MAX_BYTES:
        raise DataError(f"{name} of {where} has to be short, but is of shape {shape}.")
    return tuple(shape)


# --- the weights


def state_of(path: Path, layers: dict[str, Any], part: str, ours: nn.Module) -> dict[str, Tensor]:
    r"""Returns the state of our network; its layers have weights in the order of Keras'."""

    own = iter([(n, m) for n, m in ours.named_modules() if isinstance(m, WEIGHTED)])
    state = {}
    for (name, group), layer in zip(layers.items(), LAYERS[part], strict=True):
        where = f"{path}, layer {name}"
        if "use_bias" not in layer.settings:
            members(where, group, [])
            check(f"weight_names of {where}", texts(where, group, "weight_names"), [])
            continue
        target, module = next(own)
        kernel, bias = read_layer(where, group, module)
        state[f"{target}.weight"], state[f"{target}.bias"] = as_ours(kernel, bias)
    return state


def read_layer(where: str, layer: Any, module: nn.Module) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    r"""Reads kernel and bias of a layer in Keras' layout, for a module of ours."""

    got = texts(where, layer, "weight_names")
    scope = "".join(got[:1]).partition("/")[0]
    check(f"weight_names of {where}", got, [f"{scope}/{name}" for name in PARAMETERS])
    (group,) = members(where, layer, [scope])
    outputs, inputs, *window = module.get_parameter("weight").shape
    shapes = ((*window, inputs, outputs), (outputs,))
    arrays = members(f"{where}/{scope}", group, PARAMETERS)
    kernel, bias = (
        read_array(f"{name} of {where}", array, shape)
        for name, array, shape in zip(PARAMETERS, arrays, shapes, strict=True)
    )
    return kernel, bias


def read_array(where: str, array: Any, shape: tuple[int, ...]) -> Tensor:  # noqa: ANN401
    r"""Reads an array, if it lies in the file in one piece, of this shape and finite."""

    if not isinstance(array, hdf5().Dataset):
        raise DataError(f"{where} has to be an array, but is a {type(array).__name__}.")
    check_storage(where, array)  # first, since a virtual array asks other files for its shape
    check(f"The shape of {where}", array.shape, shape)
    check(f"The type of {where}", array.dtype.name, "float32")
    check(f"The bytes of {where}", array.id.get_storage_size(), 4 * math.prod(shape))
    values = array[()].astype(np.float32)  # of whichever byte order
    if not np.isfinite(values).all():
        raise DataError(f"{where} has to be finite, but holds NaN or infinity.")
    return torch.from_numpy(values)


def check_storage(where: str, array: Any) -> None:  # noqa: ANN401
    h5d, created = hdf5().h5d, array.id.get_create_plist()
    in_one_piece = created.get_layout() in (h5d.COMPACT, h5d.CONTIGUOUS)
    if not in_one_piece or created.get_nfilters() or created.get_external_count():
        raise DataError(
            f"{where} has to lie in the file in one piece, as Keras writes it, but is chunked, "
            "compressed, virtual or in another file."
        )


def as_ours(kernel: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    r"""Turns a layer's kernel and bias from Keras' layout into ours."""

    if kernel.ndim == 4:
        return kernel.permute(3, 2, 0, 1).contiguous(), bias

    weight, order = kernel.T, torch.arange(FLAT).reshape(GRID).permute(2, 0, 1).flatten()
    if weight.shape[1] == FLAT:
        weight = weight[:, order]
    if weight.shape[0] == FLAT:
        weight, bias = weight[order], bias[order]
    return weight.contiguous(), bias
