r"""Opening a run and its data, for every command that uses one."""

__all__ = [
    "DATA_HELP",
    "feature_names",
    "labelled",
    "listen",
    "load_split",
    "once",
    "open_model",
    "open_run",
    "run_parser",
    "what_of",
]

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..columns import split_names
from ..estimator import SWAE
from ..flags import Parser, add_data_flags
from ..progress import Reader
from ..run import Run, RunError, is_same, model_folder
from ..shards import Rows, Shards
from ..sources import (
    Split,
    from_anywhere,
    has_columns,
    has_images,
    has_test,
    is_table,
    load_any,
)
from ..spelling import nearest_file

DATA_HELP = (
    "Data: digits, mnist, fashion-mnist, celeba, a folder of images, a .npy or .npz file, a table "
    "(.csv, .tsv, .parquet), datasets:NAME or datasets:FOLDER, or shards:FOLDER, more than memory."
)

DATA_SETTINGS: dict[str, Callable[[str], bool]] = {
    "data": lambda data: True,
    "data_dir": lambda data: True,
    "image_size": has_images,
    "crop": has_images,
    "label_column": has_columns,
    "columns": has_columns,
}
r"""What a run's config says of its data, and for which other data it holds as well."""


def run_parser(command: str, what: str, *, data: bool = False) -> Parser:
    parser = Parser(f"swae {command}", what)
    parser.add_argument("run", type=str, help="Run folder, or a model's folder.")
    if data:
        parser.add_argument(
            "data",
            nargs="?",
            type=str,
            help=f"{DATA_HELP} The run's if left out. Images of another folder are cut and "
            "resized as the run's were, unless --crop and --image-size say otherwise.",
        )
        add_data_flags(parser)
        parser.add_argument(
            "--split",
            type=Split | None,
            default=None,
            help="Part of the data. If left out, test for the run's own data, drawn by its seed "
            "where they have no test part, and for others that have one; else all.",
        )
    parser.add_argument("--device", type=str, default="auto", help="Device: auto, cpu, cuda, mps.")
    return parser


def listen() -> None:
    r"""Lets the log speak plainly, and only of what concerns the user."""

    logging.basicConfig(format="swae: %(message)s", level=logging.INFO)
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    for name in ("datasets", "huggingface_hub"):  # which have handlers of their own
        logging.getLogger(name).propagate = False
    logging.getLogger("datasets").setLevel(logging.CRITICAL)  # what it raises is told by us
    warnings.filterwarnings("ignore", module="lightning_fabric")


@contextmanager
def once() -> Iterator[None]:
    r"""Lets the log say nothing twice: the splits of a folder lack the same files."""

    said: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        new = message not in said
        said.add(message)
        return new

    logger = logging.getLogger("swae")
    logger.addFilter(is_new)
    try:
        yield
    finally:
        logger.removeFilter(is_new)


def load_split(args: Any, split: Split, model: SWAE) -> Rows:  # noqa: ANN401 - parsed flags
    r"""Reads a split of data, in the shape that a model sees."""

    samples = load_any(
        args.data,
        split,
        data_dir=args.data_dir,
        seed=model.random_state,
        image_size=args.image_size,
        crop=args.crop,
        label_column=args.label_column or None,
        columns=in_parts(args.columns),
        progress=Reader(),
    )
    shape = model.image_shape
    if shape is None or samples.shape != (math.prod(shape),):
        return samples
    return samples.reshape(shape)


def in_parts(columns: str | Sequence[str] | None) -> Sequence[str] | None:
    return split_names(columns) if isinstance(columns, str) else columns


def feature_names(model: SWAE) -> list[str] | None:
    r"""Returns the names of the features that a model was fitted to, if they have any."""

    names = getattr(model, "feature_names_in_", None)
    return None if names is None else list(map(str, names))


def open_model(args: Any) -> SWAE:  # noqa: ANN401 - parsed flags
    listen()
    path = Path(args.run)
    if not path.is_dir():
        raise RunError(f"There is no run folder {args.run}.{nearest_file(args.run)}")
    return SWAE.load(model_folder(path), device=args.device)


def open_run(args: Any) -> tuple[SWAE, Rows]:  # noqa: ANN401 - parsed flags
    r"""Loads the model of a run and a split of its data or of other data.

    Its own test split was kept out of its training; data that it never saw are taken whole, unless
    they have a test split of their own.
    """

    model = open_model(args)
    config = Run(Path(args.run)).read_config()
    for name, fits in DATA_SETTINGS.items():
        # Only images are framed, were it another folder of them than the run's; so with columns.
        if getattr(args, name) is None and (args.data is None or fits(args.data)):
            setattr(args, name, config.get(name))
    if args.data is None:
        raise RunError(f"{args.run} does not say what data it was trained on; name some.")
    if args.columns is None and is_table(args.data):
        args.columns = feature_names(model)
    if args.split is None:
        own = is_same(from_anywhere(args.data), config.get("data"))
        args.split = "test" if own or has_test(args.data) else "all"
    return model, load_split(args, args.split, model)


def labelled(samples: Rows) -> Rows:
    r"""Has shards know the labels of all rows, which samples do."""

    return samples.with_labels() if isinstance(samples, Shards) else samples


def what_of(args: Any, samples: Rows) -> str:  # noqa: ANN401 - parsed flags
    r"""Says what a command took of the data."""

    return f"{len(samples):,} samples of {args.data}, split {args.split}"
