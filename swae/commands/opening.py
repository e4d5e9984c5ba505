r"""Opening a run and its data, for every command that uses one."""

__all__ = ["DATA_HELP", "listen", "load_split", "once", "open_model", "open_run", "run_parser"]

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from ..data import Samples
from ..estimator import SWAE
from ..flags import Parser, add_data_flags
from ..progress import Reader
from ..run import Run, RunError, model_folder
from ..sources import has_images, load

DATA_HELP = (
    "Data: digits, mnist, fashion-mnist, celeba, a folder of images, or a .npy or .npz file."
)


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
            type=Literal["train", "test"],
            default="test",
            help="Part of the data; where the source has no test part, the run's seed makes one.",
        )
    parser.add_argument("--device", type=str, default="auto", help="Device: auto, cpu, cuda, mps.")
    return parser


def listen() -> None:
    r"""Lets the log speak plainly, and only of what concerns the user."""

    logging.basicConfig(format="swae: %(message)s", level=logging.INFO)
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
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


def load_split(args: Any, split: Literal["train", "test"], model: SWAE) -> Samples:  # noqa: ANN401
    r"""Reads a split of data, in the shape that a model sees."""

    samples = load(
        args.data,
        split,
        data_dir=args.data_dir,
        seed=model.random_state,
        image_size=args.image_size,
        crop=args.crop,
        progress=Reader(),
    )
    shape = model.image_shape
    if shape is None or samples.shape != (math.prod(shape),):
        return samples
    return samples.reshape(shape)


def open_model(args: Any) -> SWAE:  # noqa: ANN401 - parsed flags
    listen()
    path = Path(args.run)
    if not path.is_dir():
        raise RunError(f"There is no run folder {args.run}.")
    return SWAE.load(model_folder(path), device=args.device)


def open_run(args: Any) -> tuple[SWAE, Samples]:  # noqa: ANN401 - parsed flags
    r"""Loads the model of a run and a split of its data or of other data."""

    model = open_model(args)
    config = Run(Path(args.run)).read_config()
    for name in ("data", "data_dir", "image_size", "crop"):
        # Only images are framed, were it another folder of them than the run's.
        wanted = name in ("data", "data_dir") or args.data is None or has_images(args.data)
        if getattr(args, name) is None and wanted:
            setattr(args, name, config.get(name))
    if args.data is None:
        raise RunError(f"{args.run} does not say what data it was trained on; name some.")
    return model, load_split(args, args.split, model)
