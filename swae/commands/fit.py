r"""Training a model into a run folder."""

__all__ = ["fit"]

import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..allocator import keep_freed_memory
from ..autoencoder import Autoencoder
from ..checkpoint import Keeper
from ..estimator import SWAE, device_of
from ..faults import point
from ..flags import Parser, add_data_flags, add_model_flags, as_flags
from ..launching import launch, place_of
from ..laws import absolute_law
from ..loggers import Together
from ..loggers.together import kinds_of, open_logs
from ..metrics import Evaluation
from ..progress import Reporter
from ..report import made_with, write_report
from ..run import Run, RunError
from ..settings import batch_size
from ..shards import Rows
from ..sources import NAMES, from_anywhere
from ..training import Epoch
from .figures import draw_figures, is_shown, snapshot_of
from .opening import DATA_HELP, listen, load_split, once
from .ranks import check_devices, from_rank_0, joined, wait_for_rank_0

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
    parser.add_argument(
        "--devices", type=int, default=1, help="Processes to train in, one a device of the node."
    )
    parser.add_argument(
        "--num-nodes",
        type=int,
        default=1,
        help="Nodes to train on, on each of which the command is to be started.",
    )
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
    model = SWAE(**parser.model_settings(args))
    model.check()
    kinds_of(args.log)
    if is_to_launch(args):
        check_devices(args.device, args.devices)
        check_rows(args.devices * args.num_nodes, batch_size(model.get_params(), sys.maxsize))
        debug = ["--debug"] * ("--debug" in sys.argv)
        command = [sys.executable, "-P", "-m", "swae.cli", "fit", *words, *debug]
        return launch(command, args.devices, args.num_nodes)
    with joined(args.device) as rank:
        if rank > 0:
            fit_along(model, args)
        else:
            fit_into(
                Run(Path(args.out)) if args.out else Run.numbered(Path(args.data).stem),
                model,
                args,
            )
    return 0


def is_to_launch(args: Any) -> bool:  # noqa: ANN401 - parsed flags
    r"""Tells whether there are ranks to start, which a launcher may have done."""

    for name in ("devices", "num_nodes"):
        if getattr(args, name) < 1:
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(f"{flag} has to be at least 1, but is {getattr(args, name)}.")
    wanted, place = args.devices * args.num_nodes, place_of(os.environ)
    if place is None:
        return wanted > 1
    if wanted not in (1, place.world):
        raise ValueError(
            f"--devices and --num-nodes ask for {wanted} processes, but a launcher has started "
            f"{place.world}; leave them out."
        )
    return False


def check_rows(ranks: int, rows: int) -> None:
    r"""Refuses ranks for which a batch has no row."""

    if ranks > rows:
        raise ValueError(
            f"--devices and --num-nodes ask for {ranks} processes, but a batch has "
            f"{count_of(rows, 'sample')} at most, of which each is to have some; ask for "
            "fewer, or for a larger --batch-size."
        )


def fit_into(run: Run, model: SWAE, args: Any) -> None:  # noqa: ANN401 - parsed flags
    r"""Trains into a run folder; the only rank, or the one of several that writes."""

    with run.claimed(overwrite=args.overwrite, resume=args.resume), once():
        train = load_split(args, "train", model)
        wait_for_rank_0()
        keep_freed_memory()  # from here on: what reading the data took is given back
        with Together([]) as logs:
            held = fit_in(run, model, train, args, logs)
            try:
                draw_figures(run, model, train, held, logs)
            finally:  # the model is there, whatever becomes of its pictures
                end(run)


def fit_along(model: SWAE, args: Any) -> None:  # noqa: ANN401 - parsed flags
    r"""Trains along with rank 0, and writes nothing."""

    wait_for_rank_0()
    train = load_split(args, "train", model)
    keep_freed_memory()
    checkpoint, last = from_rank_0(None)
    for epoch in model.fit_epochs(train, checkpoint=checkpoint):
        if epoch.number == last:
            return


def end(run: Run) -> None:
    r"""Writes the report, and says what is there."""

    try:
        write_report(run)
    finally:
        say_what_is_there(run)


def fit_in(run: Run, model: SWAE, train: Rows, args: Any, logs: Together) -> Rows:  # noqa: ANN401 - parsed flags
    r"""Trains up to the last epoch asked for, stores the model, and returns what judged it."""

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
    check_rows(
        1 if (place := place_of(os.environ)) is None else place.world, settings["batch_size"]
    )
    checkpoint = run.resume_point(settings) if args.resume else None
    if args.resume and checkpoint is None:
        print(f"{run.path} has no checkpoint to resume; starting fresh.", file=sys.stderr)
    threads = torch.get_num_threads()
    before = threads if checkpoint is None else checkpoint.info.get("threads", threads)
    if before != threads:
        print(
            f"{run.path} was trained on {count_of(before, 'thread')} and goes on with {threads}: "
            "sums are rounded otherwise, so its weights will be close to those of a run that "
            "nothing has interrupted, and not the same (OMP_NUM_THREADS sets the number).",
            file=sys.stderr,
        )
    done = 0 if checkpoint is None else checkpoint.epoch
    epochs = settings["max_epochs"]
    last = min(epochs, args.stop_after or epochs)
    if last <= done < epochs:
        raise RunError(f"The run in {run.path} has {done} of {epochs} epochs: nothing to do.")
    from_rank_0((checkpoint, last))

    with closing(Reporter()) as report:
        keeper = Keeper(run.checkpoints, CHECKPOINT_EVERY)
        training = model.fit_epochs(
            train, checkpoint=checkpoint, progress=report, keep=keeper.offer_within
        )
        held, judged = held_out(model, args)
        if args.overwrite:
            run.clear()
        run.write_config(settings)
        run.reject(train.rejected)
        run.note(
            {
                "after_epoch": done,
                "samples": model.samples_per_epoch_,
                "judged": judged,
                "judged_sum": held.fingerprint(),
            }
            | made_with(device_of(model.autoencoder_))
        )
        logs.loggers += open_logs(
            kinds_of(args.log), run.logs, settings, name=run.path.name, done=done
        ).loggers
        report.start(
            f"{len(train):,} samples of shape {'x'.join(map(str, train.shape))}; "
            f"judged on {len(held):,} {judged}; {count_of(threads, 'thread')}; "
            f"writing {run.path}",
            total=last * model.samples_per_epoch_,
            done=done * model.samples_per_epoch_ + model.under_way_.samples,
        )
        with keeper:
            follow(training, run, model, held, report, keeper, last, logs, train)
    model.save(run.model, evaluation=model.evaluate(held))
    say_mean(run, judged)
    if model.n_epochs_ == last < epochs:
        print(
            f"stopped after {last} of {epochs} epochs; go on with: "
            f"swae fit --config {run.config} --out {run.path} --resume"
        )
    return held


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


def count_of(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def absolute(path: str | None) -> str | None:
    r"""Returns a path that means the same from every folder."""

    return None if path is None else str(Path(path).expanduser().absolute())


def follow(
    training: Iterator[Epoch],
    run: Run,
    model: SWAE,
    held: Rows,
    report: Reporter,
    keeper: Keeper,
    last: int,
    logs: Together,
    train: Rows,
) -> None:
    r"""Trains up to an epoch, and evaluates, records, stores and reports on the way."""

    said = time.monotonic()
    for epoch in training:
        point("train.epoch")
        evaluation = model.evaluate(held)
        row = row_of(epoch, model.autoencoder_, evaluation)
        run.record(row)
        logs.record(row)
        if logs.loggers and epoch.number != last and is_shown(epoch.number):
            logs.show(snapshot_of(model, train))
        now = time.monotonic()
        keeper.offer(model.keep_checkpoint, last=epoch.number == last)
        if epoch.number == last or now - said > TALK_EVERY:
            report.say(in_words(epoch, model.settings_["max_epochs"], evaluation))
            said = now
        if epoch.number == last < model.settings_["max_epochs"]:
            return


def held_out(model: SWAE, args: Any) -> tuple[Rows, str]:  # noqa: ANN401 - parsed flags
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


def say_what_is_there(run: Run) -> None:
    print(f"model     {run.model}")
    print(f"metrics   {run.metrics}")
    for figure in sorted(run.figures.glob("*.png")):
        print(f"figure    {figure}")
    for log in sorted(run.logs.glob("*")):
        print(f"log       {log}")
    if run.report.exists():
        print(f"report    {run.report}")
