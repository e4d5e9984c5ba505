r"""Turning weights of Keras into a run folder."""

__all__ = ["import_keras"]

from pathlib import Path

from ..estimator import SWAE
from ..flags import Parser, as_flags
from ..foreign import LATENT_DIM, SHAPE, read_keras
from ..run import Run
from .opening import listen


def import_keras(words: list[str]) -> int:
    r"""Turns the authors' Keras weights into a run."""

    parser = Parser(
        "swae import-keras", "Turn Keras 2.1 weights of the paper's MNIST networks into a run."
    )
    parser.add_argument("encoder", type=str, help="HDF5 file of the encoder.")
    parser.add_argument("decoder", type=str, help="HDF5 file of the decoder.")
    parser.add_argument("--out", type=str | None, default=None, help="Run folder to write.")
    parser.add_flag("--overwrite", "Replace the run in the folder.")
    parser.add_argument(
        "--prior", type=str, default="uniform", help="Law that the codes were trained for."
    )
    args = parser.read(words)

    listen()
    run = Run(Path(args.out)) if args.out else Run.numbered("keras")
    with run.claimed(overwrite=args.overwrite, resume=None):
        model = SWAE.from_weights(
            *read_keras(Path(args.encoder), Path(args.decoder)),
            SHAPE,
            latent_dim=LATENT_DIM,
            prior=args.prior,
            preset="authors",
        )
        if args.overwrite:
            run.clear()
        asked = {"data": "mnist", "data_dir": None, "image_size": None, "crop": None}
        run.write_config(asked | as_flags(model.settings_))
        model.save(run.model)
    print(f"model     {run.model}")
    return 0
