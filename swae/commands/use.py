r"""Using a run: how good it is, what it rebuilds, generates, encodes and decodes."""

__all__ = ["decode", "encode", "evaluate", "info", "reconstruct", "sample"]

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..card import in_words
from ..classes import Label, known
from ..codes import read_codes
from ..data import to_float
from ..drawing import columns_of, draw_pairs, draw_samples
from ..estimator import SWAE
from ..storage import home_of, is_model, names_a_kind
from ..storage import open_model as open_stored
from .files import write_result
from .opening import feature_names, labelled, open_model, open_run, run_parser, what_of

logger = logging.getLogger("swae")


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

    print(what_of(args, samples))
    scale = "of standardised values" if model.autoencoder_.scaling is not None else ""
    for name, unit in (("bce", "nats"), ("l1", scale), ("mse", scale), ("psnr", "dB")):
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
    logger.info(what_of(args, samples))
    x = to_float(next(samples.chunks(args.number)))
    columns = columns_of(model)
    write_result(target, model.reconstruct(x), lambda x_hat: draw_pairs(x, x_hat, columns))
    return 0


def sample(words: list[str]) -> int:
    r"""Generates data from the prior."""

    parser = run_parser("sample", "Generate data from the prior.")
    parser.add_output("samples.png", formats=(".png", ".svg", ".npy", ".npz", ".csv"))
    parser.add_argument("-n", "--number", type=int, default=64, help="Number of samples.")
    parser.add_argument("--seed", type=int | None, default=None, help="Seed of the draw.")
    parser.add_argument(
        "--label", type=str | None, default=None, help="Label, of a run with --conditional true."
    )
    args = parser.read(words)
    target = parser.target(args)
    model = open_model(args)
    label = label_from(args.label, getattr(model, "classes_", []))
    x_hat = model.sample(args.number, label=label, seed=args.seed)
    columns = columns_of(model)
    write_result(target, x_hat, lambda x: draw_samples(x, columns), names=feature_names(model))
    return 0


def label_from(word: str | None, classes: Sequence[Label]) -> Label | None:
    r"""Returns the class that a word of the command line names, or the word as it is."""

    return next((label for label in classes if str(label) == word), word)


def encode(words: list[str]) -> int:
    r"""Writes the codes of data."""

    parser = run_parser("encode", "Write the codes of data.", data=True)
    parser.add_output("codes.npz", formats=(".npz", ".npy", ".csv"))
    args = parser.read(words)
    target = parser.target(args)
    model, samples = open_run(args)
    samples = labelled(samples)
    labels = None if samples.labels is None else samples.labels.numpy()
    logger.info(what_of(args, samples))
    codes = model.transform(samples)
    write_result(target, codes, labels=labels, names=[f"z{i}" for i in range(codes.shape[1])])
    return 0


def decode(words: list[str]) -> int:
    r"""Writes the data of codes."""

    parser = run_parser("decode", "Write the data of codes.")
    parser.add_argument(
        "codes",
        type=str,
        help="Codes: a .npy, .npz (array x) or .csv file, which may have a column label.",
    )
    parser.add_output("decoded.png", formats=(".png", ".svg", ".npy", ".npz", ".csv"))
    args = parser.read(words)
    target = parser.target(args)
    model = open_model(args)
    x_hat = model.inverse_transform(read_codes(Path(args.codes)))
    columns = columns_of(model)
    write_result(target, x_hat, lambda x: draw_samples(x, columns), names=feature_names(model))
    return 0


def config_alone(run: str) -> dict[str, Any] | None:
    r"""Returns the configuration of a model with parts that no file holds, nor command loads."""

    home = home_of(Path(run))
    if not is_model(home):
        return None
    config = open_stored(home, SWAE().get_params()).config
    return config if any(map(names_a_kind, config["params"].values())) else None


def tell_config(config: dict[str, Any]) -> None:
    own = [name for name, value in config["params"].items() if names_a_kind(value)]
    print(f"{'to pass to load':<18} {', '.join(own)}")
    print(f"{'samples':<18} {'x'.join(map(str, config['shape']))}")
    print(f"{'epochs':<18} {config['epochs']}")
    for name, value in config["params"].items():
        print(f"{name:<18} {in_words(value)}")


def info(words: list[str]) -> int:
    r"""Says what a run is."""

    parser = run_parser("info", "Say what a run is.")
    args = parser.read(words)
    if config := config_alone(args.run):
        tell_config(config)
        return 0
    model = open_model(args)
    counts = {
        part: sum(p.numel() for p in getattr(model.autoencoder_, part).parameters())
        for part in ("encoder", "decoder")
    }
    print(f"{'samples':<18} {'x'.join(map(str, model.sample_shape_))}")
    print(f"{'epochs':<18} {model.n_epochs_ or 'none here (imported)'}")
    for part, count in counts.items():
        print(f"{part:<18} {count:,} parameters")
    if hasattr(model, "classes_"):
        print(f"{'labels':<18} {known(model.classes_)}")
    if model.autoencoder_.steering is not None:
        print(f"{'weight reached':<18} {model.autoencoder_.reg_weight:.4g}")
    for name, value in (model.evaluation_ or {}).items():
        if value is not None:
            print(f"{name:<18} {value:,}" if name == "n" else f"{name:<18} {value:.5f}")
    for name, value in model.settings_.items():
        print(f"{name:<18} {value}")
    return 0
