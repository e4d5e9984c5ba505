r"""A line of JSON an epoch, which needs no other program."""

__all__ = ["JsonLines"]

import json
import os
from pathlib import Path
from typing import Any, final

from ..writing import append_line, write_file
from .logger import Logger, Row, Snapshot, check, row_of


@final
class JsonLines(Logger):
    r"""Writes the numbers of an epoch as a line of JSON; pictures have no place in it.

    Arguments:
        path: The file.
        done: The number of epochs that are done, to go on from: later lines are cut off. If
            :py:`None`, none is.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     logger = JsonLines(Path(folder) / "metrics.jsonl")
        ...     logger.record({"epoch": 1, "loss": 0.5})
        ...     logger.rows()
        [{'epoch': 1, 'loss': 0.5}]
    """

    def __init__(self, path: Path, *, done: int | None = None) -> None:
        self.path = path
        if done is not None and path.exists():
            kept = [json.dumps(row) + "\n" for row in self.rows() if row["epoch"] <= done]
            write_file(path, "".join(kept).encode())

    def record(self, row: Row) -> None:
        append_line(self.path, json.dumps(row_of(row)))

    def show(self, snapshot: Snapshot) -> None:
        check(snapshot)

    def close(self) -> None:
        pass  # each line closes the file behind it

    def rows(self) -> list[dict[str, Any]]:
        r"""Returns the rows; a line that was cut off is left out, and what follows it.

        So is a line that is no record of an epoch, whoever wrote it.
        """

        if not os.path.isfile(self.path):  # to open a pipe is to wait for its writer
            return []
        rows = []
        for line in self.path.read_bytes().splitlines():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                break
            if not (isinstance(row, dict) and type(row.get("epoch")) is int):
                break
            rows.append(row)
        return rows
