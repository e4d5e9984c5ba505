r"""TensorBoard: curves, pictures, settings, and the codes in its projector.

``tensorboard --logdir FOLDER`` shows it; with the folder above it, several runs over each other.
The step of everything is the number of epochs done.
"""

__all__ = ["TensorBoard"]

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from ..optional import optional
from .logger import Logger, Row, Snapshot, check, numbers_of, picture_of
from .projector import write_codes


@final
class TensorBoard(Logger):
    r"""Writes what TensorBoard reads.

    Arguments:
        folder: The folder; it is made if it is not there.
        settings: What the run was asked for, by name, shown as a table.
        done: The number of epochs that are done; what the folder holds of later ones is hidden,
            as TensorBoard does it.

    Raises:
        ValueError: If TensorBoard is not installed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, TensorBoard(Path(folder)) as logger:
        ...     logger.record({"epoch": 1, "loss": 0.5, "val_mse": 0.1})
        ...     logger.show(Snapshot(1, codes=np.zeros((5, 2))))
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Any] | None = None, *, done: int = 0
    ) -> None:
        self.folder = folder
        self.writer: Any = library()(folder, purge_step=done + 1 if done else 0)
        if settings:
            self.writer.add_text("settings", table_of(settings), done)
            self.writer.flush()

    def record(self, row: Row) -> None:
        epoch, numbers = numbers_of(row)
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, epoch)
        self.writer.flush()

    def show(self, snapshot: Snapshot) -> None:
        check(snapshot)
        for name, figure in snapshot.figures.items():
            pixels = picture_of(figure)
            self.writer.add_image(f"figures/{name}", pixels, snapshot.epoch, dataformats="HWC")
        if snapshot.codes is not None:
            write_codes(self.folder, snapshot)
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


def library() -> Any:  # noqa: ANN401 - a class of a module that is optional
    optional("tensorboard", "tensorboard", "The log of TensorBoard wants")
    from torch.utils.tensorboard import SummaryWriter  # which wants it

    return SummaryWriter


def table_of(settings: Mapping[str, Any]) -> str:
    r"""Returns settings as a table of Markdown.

    Example:
        >>> print(table_of({"prior": "ring", "latent_dim": 2}))
        | setting | value |
        |---|---|
        | prior | ring |
        | latent_dim | 2 |
    """

    rows = [f"| {name} | {str(value).replace('|', '/')} |" for name, value in settings.items()]
    return "\n".join(["| setting | value |", "|---|---|", *rows])
