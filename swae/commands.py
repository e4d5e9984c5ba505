r"""What the commands of :mod:`swae.cli` do."""

__all__ = ["decode", "encode", "evaluate", "fit", "info", "reconstruct", "sample"]

import io
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from . import plotting
from .allocator import keep_freed_memory
from .autoencoder import Autoencoder
from .checkpoint import write_file
from .data import Samples, to_float
from .estimator import SWAE
from .flags import Parser, add_data_flags, add_model_flags, as_flags
from .metrics import Evaluation
from .progress import Reporter
from .run import Run, RunError, model_folder
from .seeding import stream
from .sources import SOURCES, load, reading
from .training import Epoch

SHOWN = 5000
r"""The most codes that a picture shows."""

FEW = 500
r"""Fewer held-back samples than this draw no picture of a law; the training samples do."""

CHECKPOINT_EVERY = 20.0
r"""The seconds of training after which a checkpoint is worth its writing."""

TALK_EVERY = 5.0
r"""The seconds after which an epoch is worth a line."""


# --- fit


def fit(words: list[str]) -> int:
    r"""Trains a model into a run folder."""

    parser = Parser("swae fit", "Train a sliced-Wasserstein autoencoder.")
    parser.add_argument("data", nargs="?", type=str, help=DATA_HELP)
    add_data_flags(parser)
    add_model_flags(parser)
    parser.add_argument("--out", type=str | None, default=None, help="Run folder to write.")
    parser.add_flag("--overwrite", "Replace the run in the folder.")
    parser.add_flag("--resume", "Go on from the folder's last checkpoint.")
    parser.add_argument(
        "--stop-after",
        type=int | None,
        default=None,
        help="Stop after so many epochs of the schedule, to be resumed.",
    )
    args = parser.read(words)
    args.data = args.data or parser.from_config(args, "data")
    if args.data is None:
        raise ValueError("fit wants data: digits, mnist, fashion-mnist, a folder or a file.")
    if args.overwrite and args.resume:
        raise ValueError("--overwrite and --resume exclude each other.")
    if args.resume and args.out is None:
        raise ValueError("--resume wants --out RUN: the folder of the run that goes on.")
    if args.stop_after is not None and args.stop_after < 1:
        raise ValueError(f"--stop-after has to be at least 1, but is {args.stop_after}.")

    listen()
    run = Run(Path(args.out)) if args.out else Run.numbered(Path(args.data).stem)
    model = SWAE(**parser.model_settings(args))
    model.check()
    with run.claimed(overwrite=args.overwrite, resume=args.resume):
        train = load_split(args, "train", model.random_state)
        keep_freed_memory()  # from here on: what reading the data took is given back
        fit_in(run, model, train, args)
        draw_figures(run, model, train)
    say_what_is_there(run)
    return 0


def fit_in(run: Run, model: SWAE, train: Samples, args: Any) -> None:  # noqa: ANN401
    r"""Trains up to the last epoch asked for, and stores the model."""

    asked = {
        "data": absolute(args.data) if args.data not in SOURCES else args.data,
        "data_dir": absolute(args.data_dir or os.environ.get("SWAE_DATA")),
        "image_size": args.image_size,
    }
    settings = asked | as_flags(model.resolve(train))
    checkpoint = run.resume_point(settings) if args.resume else None
    if args.resume and checkpoint is None:
        print(f"{run.path} has no checkpoint to resume; starting fresh.", file=sys.stderr)
    done = 0 if checkpoint is None else checkpoint.epoch
    epochs = settings["max_epochs"]
    last = min(epochs, args.stop_after or epochs)
    if last <= done < epochs:
        raise RunError(f"The run in {run.path} has {done} of {epochs} epochs: nothing to do.")

    with closing(Reporter()) as report:
        training = model.fit_epochs(train, checkpoint=checkpoint, progress=report)
        held, judged = held_out(model, args)
        if args.overwrite:
            run.clear()
        run.write_config(settings)
        run.reject(train.rejected)
        report.start(
            f"{len(train):,} samples of shape {'x'.join(map(str, train.shape))}; "
            f"judged on {len(held):,} {judged}; writing {run.path}",
            total=last * model.samples_per_epoch_,
            done=done * model.samples_per_epoch_,
        )
        follow(training, run, model, held, report, last)
    model.save(run.model)
    say_mean(run, judged)
    if model.n_epochs_ == last < epochs:
        print(
            f"stopped after {last} of {epochs} epochs; go on with: "
            f"swae fit --config {run.config} --out {run.path} --resume"
        )


def absolute(path: str | None) -> str | None:
    r"""Returns a path that means the same from every folder."""

    return None if path is None else str(Path(path).expanduser().absolute())


def follow(
    training: Iterator[Epoch], run: Run, model: SWAE, held: Samples, report: Reporter, last: int
) -> None:
    r"""Trains up to an epoch, and evaluates, records, stores and reports on the way."""

    said = saved = time.monotonic()
    for epoch in training:
        evaluation = model.evaluate(held)
        run.record(row_of(epoch, model.autoencoder_, evaluation))
        now = time.monotonic()
        if epoch.number == last or now - saved > CHECKPOINT_EVERY:
            model.save_checkpoint(run.checkpoints)
            saved = now
        if epoch.number == last or now - said > TALK_EVERY:
            report.say(in_words(epoch, model.settings_["max_epochs"], evaluation))
            said = now
        if epoch.number == last < model.settings_["max_epochs"]:
            return


def held_out(model: SWAE, args: Any) -> tuple[Samples, str]:  # noqa: ANN401 - parsed flags
    r"""Returns the samples that epochs are judged on: held-back ones, else the test split."""

    if model.validation_ is not None:
        return model.validation_, "held-back training samples"
    return load_split(args, "test", model.random_state), "test samples"


def row_of(epoch: Epoch, model: Autoencoder, evaluation: Evaluation) -> dict[str, Any]:
    r"""Returns an epoch's line of ``metrics.jsonl``."""

    return {
        "epoch": epoch.number,
        "step": epoch.step,
        "seconds": epoch.seconds,
        "loss": epoch.loss,
        **epoch.parts,
        "learning_rate": epoch.learning_rate,
        "reg_weight": model.reg_weight,
        **{f"val_{name}": value for name, value in evaluation.flat().items()},
    }


def in_words(epoch: Epoch, epochs: int, evaluation: Evaluation) -> str:
    return (
        f"epoch {epoch.number}/{epochs}  {epoch.seconds:.1f} s  loss {epoch.loss:.4f}  |  "
        f"{figures_in_words(evaluation.flat())}"
    )


def figures_in_words(flat: dict[str, Any]) -> str:
    parts = [f"{name} {flat[name]:.5f}" for name in ("bce", "l1", "mse") if flat[name] is not None]
    parts.append(f"sw2 {flat['sw2']:.5f} (null {flat['sw2_null']:.6f})")
    return "  ".join(parts)


def say_mean(run: Run, judged: str, last: int = 5) -> None:
    r"""Prints the mean of the last evaluations, which a constant rate makes noisy."""

    rows = run.rows()[-last:]
    if not rows:
        return
    names = ("val_bce", "val_l1", "val_mse", "val_sw2", "val_sw2_null")
    means: dict[str, Any] = {
        name.removeprefix("val_"): None
        if any(row[name] is None for row in rows)
        else float(np.mean([row[name] for row in rows]))
        for name in names
    }
    print(f"mean of the last {len(rows)} evaluations on {judged}: {figures_in_words(means)}")


def draw_figures(run: Run, model: SWAE, train: Samples) -> None:
    r"""Draws curves, reconstructions, samples and codes."""

    shown, what = train, "training samples"
    if model.validation_ is not None and len(model.validation_) >= FEW:
        shown, what = model.validation_, "held-back training samples"
    shown = shown.select(torch.randperm(len(shown), generator=stream(0, "shown"))[:SHOWN])

    x = to_float(shown.x[:12])
    plotting.save(plotting.curves(run.rows()), run.figures / "curves.png")
    plotting.save(draw_pairs(x, model.reconstruct(x)), run.figures / "reconstructions.png")
    plotting.save(draw_samples(model.sample(64)), run.figures / "samples.png")

    codes = model.transform(shown)
    prior = model.sample_codes(len(codes))
    if model.latent_dim == 2 and len(train.shape) == 3:
        extent = plotting.extent_of(model.sample_codes(SHOWN))  # few samples miss the borders
        grid = model.inverse_transform(plotting.latent_grid(extent))
        caption = f"{len(codes):,} {what}"
        figure = plotting.triptych(
            prior, codes, shown.labels, grid, extent=extent, caption=caption
        )
        plotting.save(figure, run.figures / "triptych.png")
    else:
        plotting.save(plotting.codes(codes, shown.labels, prior), run.figures / "codes.png")


def draw_pairs(x: Any, x_hat: Any) -> Any:  # noqa: ANN401 - arrays of a kind
    return plotting.reconstructions(drawable(x), drawable(x_hat), n=len(x))


def draw_samples(x_hat: Any) -> Any:  # noqa: ANN401 - an array
    return plotting.samples(drawable(x_hat))


def drawable(x: Any) -> Any:  # noqa: ANN401 - an array
    r"""Returns matrices as gray images, and what is no image as vectors."""

    if x.ndim == 3:
        return x[:, None]
    return x if x.ndim == 4 else x.reshape(len(x), -1)


def say_what_is_there(run: Run) -> None:
    print(f"model     {run.model}")
    print(f"metrics   {run.metrics}")
    for figure in sorted(run.figures.glob("*.png")):
        print(f"figure    {figure}")


# --- using a run


def evaluate(words: list[str]) -> int:
    r"""Measures a run on held-out data."""

    parser = run_parser(
        "evaluate", "Measure reconstruction and match on held-out data.", data=True
    )
    parser.add_flag("--json", "Print one JSON object.")
    args = parser.read(words)
    model, samples = open_run(args)
    evaluation = model.evaluate(samples)
    flat, match = evaluation.flat(), evaluation.match
    if args.json:
        print(json.dumps(flat))
        return 0

    print(f"{flat['n']:,} samples of {args.data}, split {args.split}")
    for name, unit in (("bce", "nats"), ("l1", ""), ("mse", ""), ("psnr", "dB")):
        if flat[name] is not None:
            print(f"{name:<14} {flat[name]:.5f} {unit}".rstrip())
    for name in ("sw2", "sw2_axes", "sw2_principal"):
        value, null = getattr(match, name), getattr(match, f"{name}_null")
        print(f"{name:<14} {value:.6f}  null {null:.6f}  ratio {value / null:.1f}")
    if flat["outside"] is not None:
        print(f"{'outside':<14} {flat['outside']:.1%} of the codes are outside the prior")
    return 0


def reconstruct(words: list[str]) -> int:
    r"""Draws data above its reconstructions."""

    parser = run_parser("reconstruct", "Draw data above its reconstructions.", data=True)
    parser.add_output("reconstructions.png")
    parser.add_argument("-n", "--number", type=int, default=12, help="Number of samples.")
    args = parser.read(words)
    if args.number < 1:
        raise ValueError(f"--number has to be at least 1, but is {args.number}.")
    target = parser.target(args)
    model, samples = open_run(args)
    if args.number > len(samples):
        raise ValueError(f"--number is {args.number}, but there are {len(samples)} samples.")
    x = to_float(samples.x[: args.number])
    write_result(target, model.reconstruct(x), draw=lambda x_hat: draw_pairs(x, x_hat))
    return 0


def sample(words: list[str]) -> int:
    r"""Generates data from the prior."""

    parser = run_parser("sample", "Generate data from the prior.")
    parser.add_output("samples.png")
    parser.add_argument("-n", "--number", type=int, default=64, help="Number of samples.")
    parser.add_argument("--seed", type=int | None, default=None, help="Seed of the draw.")
    args = parser.read(words)
    target = parser.target(args)
    model = open_model(args)
    write_result(target, model.sample(args.number, seed=args.seed), draw=draw_samples)
    return 0


def encode(words: list[str]) -> int:
    r"""Writes the codes of data."""

    parser = run_parser("encode", "Write the codes of data.", data=True)
    parser.add_output("codes.npz", formats=(".npz", ".npy", ".csv"))
    args = parser.read(words)
    target = parser.target(args)
    model, samples = open_run(args)
    labels = None if samples.labels is None else samples.labels.numpy()
    write_result(target, model.transform(samples), labels=labels)
    return 0


def decode(words: list[str]) -> int:
    r"""Writes the data of codes."""

    parser = run_parser("decode", "Write the data of codes.")
    parser.add_argument("codes", type=str, help="Codes: a .npy, .npz (array x) or .csv file.")
    parser.add_output("decoded.png")
    args = parser.read(words)
    target = parser.target(args)
    model = open_model(args)
    write_result(target, model.inverse_transform(read_codes(Path(args.codes))), draw_samples)
    return 0


def info(words: list[str]) -> int:
    r"""Says what a run is."""

    parser = run_parser("info", "Say what a run is.")
    args = parser.read(words)
    model = open_model(args)
    counts = {
        part: sum(p.numel() for p in getattr(model.autoencoder_, part).parameters())
        for part in ("encoder", "decoder")
    }
    print(f"{'samples':<18} {'x'.join(map(str, model.sample_shape_))}")
    print(f"{'epochs':<18} {model.n_epochs_}")
    for part, count in counts.items():
        print(f"{part:<18} {count:,} parameters")
    for name, value in model.settings_.items():
        print(f"{name:<18} {value}")
    return 0


# --- what they share

DATA_HELP = "Data: digits, mnist, fashion-mnist, a folder of images, or a .npy or .npz file."


def run_parser(command: str, what: str, *, data: bool = False) -> Parser:
    parser = Parser(f"swae {command}", what)
    parser.add_argument("run", type=str, help="Run folder, or a model's folder.")
    if data:
        parser.add_argument(
            "data", nargs="?", type=str, help=f"{DATA_HELP} The run's if left out."
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


def load_split(args: Any, split: Literal["train", "test"], seed: int) -> Samples:  # noqa: ANN401
    return load(args.data, split, data_dir=args.data_dir, seed=seed, image_size=args.image_size)


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
    for name in ("data", "data_dir", "image_size"):
        # Only a folder's images are resized, were it another folder than the run's.
        wanted = name != "image_size" or Path(args.data or "").is_dir()
        if getattr(args, name) is None and wanted:
            setattr(args, name, config.get(name))
    if args.data is None:
        raise RunError(f"{args.run} does not say what data it was trained on; name some.")
    return model, load_split(args, args.split, model.random_state)


def write_result(
    target: Path,
    result: np.ndarray[Any, Any],
    draw: Callable[[Any], Any] | None = None,
    labels: np.ndarray[Any, Any] | None = None,
) -> None:
    r"""Writes an array or its picture, by the suffix of the file."""

    if draw is not None and target.suffix in (".png", ".svg"):
        plotting.save(draw(result), target)
    else:
        write_file(target, packed(result, labels, target.suffix))
    print(target)


def packed(
    result: np.ndarray[Any, Any], labels: np.ndarray[Any, Any] | None, suffix: str
) -> bytes:
    buffer = io.BytesIO()
    match suffix:
        case ".npy":
            np.save(buffer, result)
        case ".npz":
            arrays: dict[str, Any] = (
                {"x": result} if labels is None else {"x": result, "y": labels}
            )
            np.savez(buffer, **arrays)
        case _:
            columns = [result.reshape(len(result), -1)]
            names = [f"z{i}" for i in range(columns[0].shape[1])]
            if labels is not None:
                columns.append(labels[:, None])
                names.append("label")
            np.savetxt(
                buffer,
                np.hstack(columns),
                delimiter=",",
                header=",".join(names),
                comments="",
                fmt="%.9g",  # what float32 needs to come back as it was
            )
    return buffer.getvalue()


def read_codes(path: Path) -> np.ndarray[Any, Any]:
    r"""Reads codes that ``encode`` wrote, or others of the same kind."""

    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    with reading(path):
        if path.suffix == ".csv":
            return read_table(path)
        content = np.load(path, allow_pickle=False)
        codes: np.ndarray[Any, Any] = content["x"] if hasattr(content, "files") else content
        return codes


def read_table(path: Path) -> np.ndarray[Any, Any]:
    r"""Reads the columns of numbers but for ``label``; the line of their names may be missing."""

    with path.open() as file:
        names = [name.strip() for name in file.readline().split(",")]
    named = not all(map(is_number, names))
    table = np.genfromtxt(path, delimiter=",", skip_header=int(named), ndmin=2)
    keep = [i for i in range(table.shape[1]) if names[i : i + 1] != ["label"]]
    columns: np.ndarray[Any, Any] = table[:, keep]
    return columns


def is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
