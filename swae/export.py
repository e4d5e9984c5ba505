r"""A model as two ONNX files, which other runtimes open without torch.

``encoder.onnx`` is :math:`x \mapsto z = \phi(x)` and ``decoder.onnx`` is
:math:`z \mapsto \hat x = \psi(z)`, each with one input and one output named ``x`` and ``z``, in
float32, any number of samples at once (the axis ``batch``), all weights within the file.

What stands between the user's data and the networks is in the files: the standardisation
(:mod:`swae.scaling`) and its inverse, and the output's activation. So ``x`` is the data as the
user has them, in their own units, and ``z`` are the codes as :meth:`swae.SWAE.transform` returns
them; ``decoder.onnx`` returns what :meth:`swae.SWAE.inverse_transform` does. Where the rows that
the model was fitted to were flat (``image_shape``), those of both files are. Bytes stand for
[0, 1], as everywhere: whoever has pixels in bytes divides them by 255.

Each file says what it is of in its metadata, as texts: ``swae`` (the version), ``prior``,
``latent_dim``, ``shape`` (of a sample, as ``1,28,28``) and, of a table, ``columns`` (a JSON list).
Nothing of the machine that wrote it is in it.

ONNX has no inverse of the error function, which the codes of a linear path beside a uniform
prior want (:mod:`swae.linear`). It is approximated by two polynomials in

.. math:: w = - \log \big( (1 - x)(1 + x) \big) , \qquad \mathrm{erf}^{-1}(x) \approx
    x \, P \big( w - \tfrac{5}{2} \big) \; (w < 5) , \qquad x \, Q \big( \sqrt w - 3 \big) ,

to about the precision of float32.
"""

__all__ = ["FILES", "LIMIT", "describe", "export_onnx"]

import copy
import importlib
import io
import json
import logging
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from . import __version__
from .autoencoder import Autoencoder
from .estimator import SWAE
from .optional import optional
from .priors import Prior, name_of
from .seeding import stream
from .writing import write_files

logger = logging.getLogger("swae")

FILES = ("encoder.onnx", "decoder.onnx")
r"""The files, as they are called in the folder."""

LIMIT = 1e-5
r"""By how much a file may differ from torch, as a share of the scale of its values."""

BATCH = "batch"
r"""The name of the axis of samples."""

SIZES = (1, 2, 7)
r"""The numbers of samples at which files are held against torch."""

TALKATIVE = ("torch.onnx", "torch.export", "torch.fx", "torch._dynamo", "onnxscript", "onnx_ir")
r"""The loggers of the exporter, which speak of its own making and of other libraries."""

DEPRECATED = (
    "`isinstance(treespec, LeafSpec)` is deprecated, use `isinstance(treespec, TreeSpec) and "
    "treespec.is_leaf()` instead."
)
r"""What torch 2.13 warns of that its own exporter does; nobody else could mend it."""

CENTRAL = (
    *(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087),
    *(-0.00125372503, -0.00417768164, 0.246640727, 1.50140941),
)
TAIL = (
    *(-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773),
    *(-0.0076224613, 0.00943887047, 1.00167406, 2.83297682),
)
r"""The coefficients of P and Q, the highest power first.

References:
    | Approximating the erfinv function (Giles, 2012), table 5
    | https://people.maths.ox.ac.uk/gilesm/files/gems_erfinv.pdf
"""


@final
class Encoding(nn.Module):
    r"""What ``encoder.onnx`` computes.

    Arguments:
        model: The model.
        shape: The shape of a sample where rows come flat.
    """

    network, takes, gives = "encoder", "x", "z"

    def __init__(self, model: Autoencoder, shape: Sequence[int] | None) -> None:
        super().__init__()

        self.model, self.shape = model, shape

    def forward(self, x: Tensor) -> Tensor:
        return self.model.encode(x if self.shape is None else x.unflatten(1, self.shape))

    def scale(self, z: Tensor) -> Tensor:
        r"""Returns what an error is a share of: 1, or the largest code where it is larger."""

        return z.abs().max().clamp(min=1)


@final
class Decoding(nn.Module):
    r"""What ``decoder.onnx`` computes.

    Arguments:
        model: The model.
        shape: The shape of a sample where rows are given flat.
    """

    network, takes, gives = "decoder", "z", "x"

    def __init__(self, model: Autoencoder, shape: Sequence[int] | None) -> None:
        super().__init__()

        self.model, self.shape = model, shape

    def forward(self, z: Tensor) -> Tensor:
        x = self.model.decode(z)
        return x if self.shape is None else x.flatten(1)

    def scale(self, x: Tensor) -> Tensor:
        r"""Returns what an error is a share of, as of codes, in the units of each column.

        A column that the model standardises has the scale :math:`|\mu| + \sigma`.
        """

        whole = x if self.shape is None else x.unflatten(1, self.shape)
        largest = self.model.scaled(whole).abs().max().clamp(min=1)
        scaling = self.model.scaling
        if scaling is None:
            return largest
        scale = (scaling.mean.abs() + scaling.deviation * largest).expand_as(whole)
        return scale.reshape(x.shape)


Part = Encoding | Decoding


def export_onnx(model: SWAE, folder: str | Path) -> tuple[Path, Path]:
    r"""Writes ``encoder.onnx`` and ``decoder.onnx``, both or neither.

    They are held against torch before they are written, where onnxruntime is installed.

    Arguments:
        model: The fitted model, which stays as it is.
        folder: The folder; it is made where it is missing, and files of these names in it are
            replaced.

    Returns:
        The two files.

    Raises:
        NotFittedError: If there is no model yet.
        ValueError: If a library of the extra ``onnx`` is not installed, the folder is a file, a
            network of your own can't be exported, or a file differs from torch.
        OSError: If the folder can't be written.
    """

    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file, but ONNX files want a folder.")
    parts: tuple[Part, Part] = parts_of(model)
    z = model.prior_.sample(sum(SIZES), stream(model.random_state, "export")).float().cpu()
    with torch.no_grad():
        x = parts[1](z)

    made: dict[str, bytes] = {}
    for name, part, probe in zip(FILES, parts, (x, z), strict=True):
        made[name] = labelled(to_onnx(part, probe[:2]), describe(model))
        check_same(made[name], part, probe, name)
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder, made)
    return folder / FILES[0], folder / FILES[1]


def parts_of(model: SWAE) -> tuple[Encoding, Decoding]:
    r"""Returns copies of what is exported, on the CPU and in eval mode, without the penalty."""

    original, schema = model.fitted_.autoencoder_, model.schema_
    lean = copy.deepcopy(original, {id(original.penalty): nn.Identity()}).cpu()
    encoding = Encoding(lean, schema.shape if schema.flat else None)
    return encoding.eval(), Decoding(lean, encoding.shape).eval()


def describe(model: SWAE) -> dict[str, str]:
    r"""Returns what files say of the model that they come from, as texts."""

    facts = {
        "swae": __version__,
        "prior": prior_name(model.prior_),
        "latent_dim": str(model.settings_["latent_dim"]),
        "shape": ",".join(map(str, model.sample_shape_)),
    }
    if model.schema_.names is not None:
        facts["columns"] = json.dumps(list(map(str, model.schema_.names)))
    return facts


def prior_name(prior: Prior) -> str:
    r"""Returns the name of a law; of one that no name makes that of its class.

    Example:
        >>> from swae import FromSamples, Uniform
        >>> prior_name(Uniform(2)), prior_name(FromSamples(torch.rand(9, 2)))
        ('uniform', 'FromSamples')
    """

    return name_of(prior) or type(prior).__name__


# --- making


def to_onnx(part: Part, probe: Tensor) -> Any:  # noqa: ANN401 - onnx is untyped
    r"""Lets torch's exporter translate a part; the batch of the probe stands for any."""

    for library in ("onnx", "onnxscript"):
        optional(library, "onnx", "ONNX files want")
    try:
        with quietly():
            program = torch.onnx.export(
                part,
                (probe,),
                dynamo=True,
                verbose=False,
                input_names=[part.takes],
                output_names=[part.gives],
                dynamic_shapes=({0: torch.export.Dim(BATCH)},),
                custom_translation_table={torch.ops.aten.erfinv.default: erfinv},
            )
    except torch.onnx.OnnxExporterError as error:
        raise ValueError(refusal(part, reason(error))) from error
    proto = cast(Any, program).model_proto
    for value in (*proto.graph.input, *proto.graph.output):
        if value.type.tensor_type.shape.dim[0].dim_param != BATCH:
            raise ValueError(refusal(part, f"it is for {len(probe)} samples alone."))
    return proto


def refusal(part: Part, why: str) -> str:
    network = type(getattr(part.model, part.network)).__name__
    what = f"The {part.network} (a {network})"
    return f"{what} can't be exported to ONNX for batches of any size: {why}"


@contextmanager
def quietly() -> Iterator[None]:
    r"""Keeps the exporter from saying what is of no use to whoever exports."""

    loggers = [logging.getLogger(name) for name in TALKATIVE]
    levels = [talker.level for talker in loggers]
    with ExitStack() as stack:
        for talker, level in zip(loggers, levels, strict=True):
            stack.callback(talker.setLevel, level)
            talker.setLevel(logging.ERROR)
        for redirect in (redirect_stdout, redirect_stderr):  # where it prints what it can't follow
            stack.enter_context(redirect(io.StringIO()))
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", re.escape(DEPRECATED) + "$", FutureWarning)
        yield


def reason(error: BaseException) -> str:
    r"""Returns the first line of what an error came from."""

    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def erfinv(x: Any) -> Any:  # noqa: ANN401 - a value of a graph in the making
    r"""Writes :math:`\mathrm{erf}^{-1}(x)` in ONNX's operators."""

    op = importlib.import_module("onnxscript").opset18
    number = op.Constant
    one = number(value_float=1.0)
    w = op.Neg(op.Log(op.Mul(op.Sub(one, x), op.Add(one, x))))
    central = polynomial(op, CENTRAL, op.Sub(w, number(value_float=2.5)))
    tail = polynomial(op, TAIL, op.Sub(op.Sqrt(w), number(value_float=3.0)))
    return op.Mul(x, op.Where(op.Less(w, number(value_float=5.0)), central, tail))


def polynomial(op: Any, coefficients: Sequence[float], w: Any) -> Any:  # noqa: ANN401 - likewise
    r"""Writes a polynomial as Horner has it, the highest power first."""

    first, *others = (op.Constant(value_float=c) for c in coefficients)
    p = first
    for coefficient in others:
        p = op.Add(op.Mul(p, w), coefficient)
    return p


def labelled(proto: Any, facts: dict[str, str]) -> bytes:  # noqa: ANN401 - onnx is untyped
    r"""Returns the bytes of an ONNX model that says what it is, and no more.

    The exporter keeps for each node the lines of code that it came from, with the paths of this
    machine. They would make a fifth of a small file and are none of a reader's business.
    """

    graph = proto.graph
    for item in (*graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    for owner in (graph, proto):
        owner.ClearField("metadata_props")
        owner.ClearField("doc_string")
    for key, value in facts.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


# --- comparing


def check_same(content: bytes, part: Part, probe: Tensor, name: str) -> None:
    r"""Refuses a file that says anything else than torch does, for each number of samples."""

    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError:
        logger.info("%s was not compared, for onnxruntime is not installed.", name)
        return
    session = opened(runtime, content, name)
    for batch in probe.split(list(SIZES)):
        (got,) = session.run([part.gives], {part.takes: batch.numpy()})
        with torch.no_grad():
            wanted = part(batch)
        error = share(torch.from_numpy(got), wanted, part.scale(wanted))
        if not error <= LIMIT:
            raise ValueError(
                f"{name} differs from torch by {error:.2g} of the scale of its values for "
                f"{len(batch)} samples, where {LIMIT:g} is allowed; nothing was written."
            )


def opened(runtime: Any, content: bytes, name: str) -> Any:  # noqa: ANN401 - onnxruntime is untyped
    r"""Opens a file in onnxruntime, which may lack an operator that the exporter writes."""

    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    try:
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class of their own in common
        raise ValueError(f"onnxruntime can't open {name}: {reason(error)}") from error


def share(got: Tensor, wanted: Tensor, scale: Tensor) -> float:
    r"""Returns by how much values differ at most, as a share of their scale.

    Example:
        >>> share(torch.ones(3), torch.tensor([1.0, 1.0, 3.0]), torch.tensor(4.0))
        0.5
    """

    if got.shape != wanted.shape:
        return math.inf
    return float(((got - wanted).abs() / scale).max())
