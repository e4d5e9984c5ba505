r"""Turning a run into files that others can open: its model as ONNX, its codes as Parquet."""

__all__ = ["export"]

import logging
from pathlib import Path

from ..export import FILES, export_onnx
from ..parquet import write_codes
from .opening import labelled, open_model, open_run, run_parser, what_of

logger = logging.getLogger("swae")


def export(words: list[str]) -> int:
    r"""Writes a run's model as ONNX files, or the codes of data as Parquet, or both."""

    parser = run_parser(
        "export", "Write a run's model as ONNX, or the codes of data as Parquet.", data=True
    )
    parser.add_argument(
        "--onnx", type=str | None, default=None, help="Folder of encoder.onnx and decoder.onnx."
    )
    parser.add_argument(
        "--codes",
        type=str | None,
        default=None,
        help="File of codes, labels, reconstruction errors and thumbnails: .parquet.",
    )
    parser.add_flag("--overwrite", "Replace the files.")
    args = parser.read(words)
    if args.onnx is None and args.codes is None:
        raise ValueError("swae export wants --onnx DIR, --codes FILE or both, and got neither.")
    folder = None if args.onnx is None else onnx_folder(args.onnx, overwrite=args.overwrite)
    file = None if args.codes is None else codes_file(args.codes, overwrite=args.overwrite)

    if file is None:
        model, samples = open_model(args), None
    else:
        model, samples = open_run(args)
    if folder is not None:
        print(*export_onnx(model, folder), sep="\n")
    if file is not None and samples is not None:
        logger.info(what_of(args, samples))
        samples = labelled(samples)
        print(write_codes(model, samples, file, data=Path(str(args.data)).name, split=args.split))
    return 0


def onnx_folder(name: str, *, overwrite: bool) -> Path:
    r"""Returns the folder to write, if what is in it may be replaced."""

    if not name:
        raise ValueError("--onnx wants a folder, but is empty.")
    folder = Path(name)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--onnx wants a folder, but {folder} is a file.")
    there = [file for file in FILES if (folder / file).exists()]
    if there and not overwrite:
        raise ValueError(f"{folder / there[0]} exists; choose another --onnx, or --overwrite.")
    return folder


def codes_file(name: str, *, overwrite: bool) -> Path:
    r"""Returns the file to write, if it may be."""

    file = Path(name)
    if file.suffix != ".parquet":
        raise ValueError(f"--codes has to end in .parquet, but is {name!r}.")
    if file.is_dir():
        raise ValueError(f"--codes wants a file, but {file} is a folder.")
    if file.exists() and not overwrite:
        raise ValueError(f"{file} exists; choose another --codes, or give --overwrite.")
    if not file.parent.is_dir():
        raise ValueError(f"There is no folder {file.parent} to write {file.name} into.")
    return file
