r"""CelebA's aligned faces, 178 x 218, in the files and the split of their authors.

The images lie in a folder `img_align_celeba`, named `000001.jpg` and so on. The split is that of
`list_eval_partition.txt`, lines of a name and a number: 0 is train, 1 validation, which is neither
of our splits, and 2 test. Without the file, or where none of the test images it lists is there,
the last tenth of the images is the test split. As the numbers follow no order of persons, that is
no split between persons, as the authors' is.

The crop is measured in the original's pixels. In smaller copies of the images it is as large a
share: 148 of 178 columns are 74 of 89.

References:
    | Deep Learning Face Attributes in the Wild (Liu et al., 2015)
    | https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html
"""

__all__ = ["read"]

import functools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from .cache import Progress, open_folder
from .data import DataError, Samples
from .images import Framing

WIDTH = 178
IMAGE_SIZE = 64
IMAGES = "img_align_celeba"
PARTITION = "list_eval_partition.txt"
NUMBERS = {"train": 0, "test": 2}

Split = Literal["train", "test"]

logger = logging.getLogger("swae")


def read(
    split: Split,
    root: Path | None,
    *,
    image_size: int | None = None,
    crop: int | None = None,
    progress: Progress | None = None,
) -> Samples:
    r"""Reads a split of CelebA.

    Arguments:
        split: The split.
        root: The folder that holds `celeba/img_align_celeba` or `img_align_celeba`.
        image_size: The side to which the images are resized, 64 if :py:`None`.
        crop: The side of the square that is cut out of the middle before, in pixels of the
            originals. If :py:`None`, all of the image is resized, to a square.
        progress: Called while images are decoded into the cache.

    Raises:
        ValueError: If the crop is wider than the originals.
        DataError: If the images are not there, or the split's file cannot be read.
    """

    if crop is not None and crop > WIDTH:
        raise ValueError(f"crop has to be at most {WIDTH} for celeba, but is {crop}.")
    folder = find_images(root)
    framing = Framing(IMAGE_SIZE if image_size is None else image_size, crop, WIDTH)
    read = open_folder(folder, framing, progress=progress)
    names = [os.path.basename(file) for file in read.files]
    rows = rows_of(split, names, find_partition(folder))
    return Samples(read.x, None, read.rejected, read.digest).select(rows)


def find_images(root: Path | None) -> Path:
    places = [] if root is None else [root / "celeba" / IMAGES, root / IMAGES]
    for place in places:
        if place.is_dir():
            return place
    looked = ", ".join(map(str, places)) or "no folder, as none was given"
    raise DataError(
        f"celeba was not found (looked in {looked}): put its aligned images into a folder "
        f"{IMAGES}, and name the one that holds it with --data-dir (data_dir=...) or $SWAE_DATA."
    )


def find_partition(folder: Path) -> Path | None:
    places = (folder.parent / PARTITION, folder.parent / "Eval" / PARTITION)
    return next((place for place in places if place.is_file()), None)


def rows_of(split: Split, names: Sequence[str], partition: Path | None) -> Tensor:
    r"""Returns which of the images, sorted by their names, are a split's.

    Raises:
        DataError: If the split has no image, or its file cannot be read.
    """

    if partition is None:
        return last_tenth(split, len(names), "There is no list_eval_partition.txt")
    numbers = read_partition(partition)
    mine = torch.tensor([numbers.get(name, -1) for name in names])
    if not (mine == NUMBERS["test"]).any():
        return last_tenth(split, len(names), f"No test image of {partition} is there")
    unknown = int((mine < 0).sum())
    if unknown:
        tell(f"{unknown:,} of celeba's images are not in {partition}: left out.")
    rows = (mine == NUMBERS[split]).nonzero().flatten()
    if not len(rows):
        raise DataError(f"{partition} has no image of the {split} split that is there.")
    return rows


def last_tenth(split: Split, n: int, why: str) -> Tensor:
    r"""Splits where the authors' split does not."""

    held = max(1, round(n / 10))
    if n < 2:
        raise DataError("There must be at least 2 images to hold one out for the test, got 1.")
    tell(f"{why}: the last {held:,} of celeba's {n:,} images are the test split.")
    return torch.arange(n - held) if split == "train" else torch.arange(n - held, n)


@functools.cache
def tell(sentence: str) -> None:
    r"""Says something once, however often a split is read."""

    logger.info(sentence)


def read_partition(path: Path) -> dict[str, int]:
    r"""Reads the number of each image's part."""

    numbers = {}
    try:
        with path.open(encoding="utf-8") as file:
            # A line is 12 characters; one without an end does not fill the memory.
            for i, line in enumerate(iter(lambda: file.readline(1000), ""), 1):
                words = line.split()
                if len(words) != 2 or words[1] not in ("0", "1", "2"):
                    raise DataError(
                        f"Line {i} of {path} has to be a name and 0, 1 or 2, as '000001.jpg 0', "
                        f"but is {line.strip()[:40]!r}."
                    )
                numbers[words[0]] = int(words[1])
    except UnicodeDecodeError as error:
        raise DataError(f"{path} has to be text, but is not: replace it.") from error
    return numbers
