r"""Training a model into a run folder."""

__all__ = ["fit"]

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from .. import plotting
from ..allocator import keep_freed_memory
from ..autoencoder import Autoencoder
from ..data import Samples, to_float
from ..drawing import (
    a_side,
    columns_of,
    draw_pairs,
    draw_samples,
    draw_strips,
    drawable,
    panelled,
    pictures,
)
from ..estimator import SWAE
from ..flags import Parser, add_data_flags, add_model_flags, as_flags
from ..laws import absolute_law
from ..loggers import Snapshot, Together
from ..loggers.together import kinds_of, open_logs
from ..metrics import Evaluation
from ..progress import Reporter
from ..run import Run, RunError
from ..seeding import stream
from ..sources import NAMES, from_anywhere
from ..training import Epoch
from .opening import DATA_HELP, listen, load_split, once

SHOWN = 5000
r"""The most codes that a picture shows."""

FEW = 500
r"""Fewer held-back samples than this draw no picture of a law; the training samples do."""

TABLE = 1000
r"""The rows of a table that its pictures show."""

THUMBNAIL = 32
r"""The longer side of the images beside the codes, in pixels."""

ROWS = 20
r"""The most labels whose samples are drawn."""

CHECKPOINT_EVERY = 20.0
r"""The seconds of training after which a checkpoint is worth its writing."""

LOG_HELP = (
    "Logs beside metrics.jsonl, as tensorboard,wandb; written to RUN/logs. wandb is offline, "
    "wandb:online sends what it writes."
)

TALK_EVERY = 5.0
r"""The seconds after which an epoch is worth a line."""


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
    parser.add_argument("--log", type=str | None, default=None, help=LOG_HELP)
    args = parser.read(merged(words, "--log"))
    args.data = args.data or parser.from_config(args, "data")
    if args.data is None:
        raise ValueError(f"fit wants data: {', '.join(NAMES)}, a folder or a file.")
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
    kinds_of(args.log)
    with run.claimed(overwrite=args.overwrite, resume=args.resume), once():
        train = load_split(args, "train", model)
        keep_freed_memory()  # from here on: what reading the data took is given back
        with Together([]) as logs:
            fit_in(run, model, train, args, logs)
            draw_figures(run, model, train, logs)
    say_what_is_there(run)
    return 0


def fit_in(run: Run, model: SWAE, train: Samples, args: Any, logs: Together) -> None:  # noqa: ANN401
    r"""Trains up to the last epoch asked for, and stores the model."""

    asked = {
        "data": from_anywhere(args.data),
        "data_dir": absolute(args.data_dir or os.environ.get("SWAE_DATA")),
        "image_size": args.image_size,
        "crop": args.crop,
        "label_column": args.label_column or None,
        "columns": args.columns,
        "log": args.log,
    }
    settings = asked | as_flags(model.resolve(train))
    settings["prior"] = absolute_law(settings["prior"])
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
        logs.loggers += open_logs(
            kinds_of(args.log), run.logs, settings, name=run.path.name, done=done
        ).loggers
        report.start(
            f"{len(train):,} samples of shape {'x'.join(map(str, train.shape))}; "
            f"judged on {len(held):,} {judged}; writing {run.path}",
            total=last * model.samples_per_epoch_,
            done=done * model.samples_per_epoch_,
        )
        follow(training, run, model, held, report, last, logs, train)
    model.save(run.model, evaluation=model.evaluate(held))
    say_mean(run, judged)
    if model.n_epochs_ == last < epochs:
        print(
            f"stopped after {last} of {epochs} epochs; go on with: "
            f"swae fit --config {run.config} --out {run.path} --resume"
        )


def merged(words: list[str], name: str) -> list[str]:
    r"""Returns words in which an option that is given several times is given once.

    Example:
        >>> merged(["digits", "--log", "tensorboard", "--log=wandb"], "--log")
        ['digits', '--log=tensorboard,wandb']
    """

    others, values, left = [], [], iter(words)
    for word in left:
        if word == name:
            value = next(left, None)
            others += [word] if value is None else []  # for the parser to refuse
            values += [] if value is None else [value]
        elif word.startswith(f"{name}="):
            values.append(word.removeprefix(f"{name}="))
        else:
            others.append(word)
    return [*others, f"{name}={','.join(values)}"] if values else others


def absolute(path: str | None) -> str | None:
    r"""Returns a path that means the same from every folder."""

    return None if path is None else str(Path(path).expanduser().absolute())


def follow(
    training: Iterator[Epoch],
    run: Run,
    model: SWAE,
    held: Samples,
    report: Reporter,
    last: int,
    logs: Together,
    train: Samples,
) -> None:
    r"""Trains up to an epoch, and evaluates, records, stores and reports on the way."""

    said = saved = time.monotonic()
    for epoch in training:
        evaluation = model.evaluate(held)
        row = row_of(epoch, model.autoencoder_, evaluation)
        run.record(row)
        logs.record(row)
        if logs.loggers and epoch.number != last and is_shown(epoch.number):
            logs.show(snapshot_of(model, train))
        now = time.monotonic()
        if epoch.number == last or now - saved > CHECKPOINT_EVERY:
            model.save_checkpoint(run.checkpoints)
            saved = now
        if epoch.number == last or now - said > TALK_EVERY:
            report.say(in_words(epoch, model.settings_["max_epochs"], evaluation))
            said = now
        if epoch.number == last < model.settings_["max_epochs"]:
            return
    if model.n_epochs_ < last:  # stopped early, perhaps before the first checkpoint was due
        model.save_checkpoint(run.checkpoints)


def held_out(model: SWAE, args: Any) -> tuple[Samples, str]:  # noqa: ANN401 - parsed flags
    r"""Returns the samples that epochs are judged on: held-back ones, else the test split."""

    if model.validation_ is not None:
        return model.validation_, "held-back training samples"
    return load_split(args, "test", model), "test samples"


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


def draw_figures(run: Run, model: SWAE, train: Samples, logs: Together) -> None:
    r"""Draws curves, reconstructions, samples and codes, for the run and its logs."""

    plotting.save(plotting.curves(run.rows()), run.figures / "curves.png")
    snapshot = snapshot_of(model, train)
    for name, figure in snapshot.figures.items():
        plotting.save(figure, run.figures / f"{name}.png")
    logs.show(snapshot)


def is_shown(epoch: int) -> bool:
    r"""Tells whether logs get pictures of an epoch before the last.

    Powers of two: what changes, changes early, and a thousand epochs have ten of them.
    """

    return epoch & (epoch - 1) == 0


def snapshot_of(model: SWAE, train: Samples) -> Snapshot:
    r"""Draws reconstructions, samples and codes."""

    shown, what = train, "training samples"
    held = model.validation_ is not None and len(model.validation_) >= FEW
    if held:
        shown, what = cast("Samples", model.validation_), "held-back training samples"
    shown = shown.select(torch.randperm(len(shown), generator=stream(0, "shown"))[:SHOWN])

    columns = columns_of(model)
    x = to_float(next(shown.chunks(12 if columns is None else TABLE)))
    few = x if panelled(x, columns) else x[:12]
    figures = {
        "reconstructions": draw_pairs(few, model.reconstruct(few), columns),
        "samples": samples_of(model, train, x, columns),
    }

    codes = model.transform(shown)
    # What is held back of a conditional run is numbered by classes_.
    labels = named(shown.labels, model.classes_ if model.conditional and held else train.classes)
    prior, drawn = prior_of(model, len(codes))
    if model.latent_dim == 2 and drawable(x).ndim > 2:
        extent = plotting.extent_of(model.sample_codes(SHOWN))  # few samples miss the borders
        lattice = plotting.latent_grid(extent, a_side(x))
        grid = pictures(model.inverse_transform(lattice), views=False)
        caption = f"{len(codes):,} {what}"
        caption += "; a volume's middle slice along its depth" if x.ndim == 5 else ""
        figures["triptych"] = plotting.triptych(
            prior, codes, labels, grid, extent=extent, caption=caption, prior_labels=drawn
        )
    else:
        figures["codes"] = plotting.codes(codes, labels, prior, prior_labels=drawn)
    of_each = None if labels is None else np.asarray(labels)
    return Snapshot(model.n_epochs_, figures, codes, of_each, thumbnails_of(shown))


def thumbnails_of(samples: Samples) -> Any:  # noqa: ANN401 - an array or None
    r"""Returns images small, to be shown beside their codes; None of samples that are none."""

    small = []
    for x in samples.chunks(500):
        images = drawable(to_float(x), views=False)
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            return None
        h, w = images.shape[2:]
        scale = min(1.0, THUMBNAIL / max(h, w))
        sides = max(1, round(h * scale)), max(1, round(w * scale))
        small.append(torch.nn.functional.adaptive_avg_pool2d(torch.as_tensor(images), sides))
    return pictures(torch.cat(small).numpy()) if small else None


def samples_of(model: SWAE, train: Samples, x: Any, columns: Any) -> Any:  # noqa: ANN401
    r"""Draws samples of the prior: before data if a table's, of each label where these choose."""

    if columns is not None and panelled(x, columns):
        return draw_samples(model.sample(len(x)), columns, x)
    if not model.conditional:
        return draw_samples(model.sample(64), columns)
    classes = model.classes_[:ROWS]
    rows = np.stack([model.sample(10, label=label) for label in classes])
    return draw_strips(rows, None, columns, left=list(map(str, classes)))


def named(labels: Tensor | None, names: Sequence[int | str]) -> Any:  # noqa: ANN401 - an array
    r"""Returns the names of labels that number them, and labels without names as they are."""

    if labels is None or not names:
        return labels
    none: int | str = "no label" if isinstance(names[0], str) else -1
    return np.array([*names, none])[labels.numpy(force=True)]


def prior_of(model: SWAE, n: int) -> tuple[Any, Any]:
    r"""Draws n codes of the prior, and the label of each where labels choose its component."""

    if not model.conditional:
        return model.sample_codes(n), None
    labels = model.classes_
    each = -(-n // len(labels))
    codes = [model.sample_codes(each, label=label, seed=i) for i, label in enumerate(labels)]
    return np.concatenate(codes), np.repeat(np.asarray(labels), each)


def say_what_is_there(run: Run) -> None:
    print(f"model     {run.model}")
    print(f"metrics   {run.metrics}")
    for figure in sorted(run.figures.glob("*.png")):
        print(f"figure    {figure}")
    for log in sorted(run.logs.glob("*")):
        print(f"log       {log}")
