r"""The splits of shards that a command names."""

__all__ = ["load"]

from collections.abc import Sequence
from typing import Literal

from .rows import Shards
from .source import PREFIX, folder_of, has_test


def load(
    source: str,
    split: Literal["train", "test", "all"],
    *,
    share: float,
    seed: int,
    image_size: int | None = None,
    crop: int | None = None,
    label_column: str | None = None,
    columns: Sequence[str] | None = None,
) -> "Shards":
    r"""Opens a split of ``shards:FOLDER``.

    Arguments:
        source: The folder, with the prefix. Where it has folders ``train`` and ``test``, these
            are the splits, and there is no all; else a share of the shards is held out for the
            test.
        split: The split.
        share: That share.
        seed: The seed by which it is drawn.
        image_size: As for :meth:`Shards.open`.
        crop: Likewise.
        label_column: Likewise.
        columns: Likewise.

    Raises:
        ValueError: If there is no such folder or column, or a single shard to draw from.
        DataError: If a shard can't be read.
    """

    if source == PREFIX:
        raise ValueError(f"source must be {PREFIX}FOLDER, but nothing follows.")
    folder, own = folder_of(source), has_test(source)
    shards = Shards.open(
        folder / split if own else folder,
        image_size=image_size,
        crop=crop,
        label_column=label_column,
        columns=columns,
    )
    if own or split == "all":
        return shards
    if len(shards.files) == 1:
        raise ValueError(
            f"A test split is drawn of whole shards, but {shards.files[0]} is alone: write its "
            f"rows as several, or make two folders, {folder / 'train'} and {folder / 'test'}."
        )
    train, test = shards.hold_out(share, seed)
    return train if split == "train" else test
