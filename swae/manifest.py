r"""Folders of files with a manifest of their sha256 sums.

Neither safetensors nor JSON notices a flipped bit, so ``manifest.json`` holds the sum of every
file that counts. It takes its place last: where a sum is another, the writing did not end, or the
file is not what was written. Of what a folder holds nothing is believed: names stay in their
folder, what is no plain file is not opened, and JSON is limited before it is parsed.
"""

__all__ = [
    "MANIFEST",
    "CorruptError",
    "check_sum",
    "from_json",
    "read_file",
    "read_folder",
    "read_manifest",
    "to_json",
    "write_folder",
]

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .writing import sync_folder, write_files

MANIFEST = "manifest.json"

MOST_JSON = 3 * 2**20
r"""The bytes of JSON that are parsed: the names of more than 100,000 columns."""

MOST_NESTED = 100_000
r"""The lists and objects in it, of which one takes 30 times its bytes in memory."""

TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[{]', re.DOTALL)  # possessive: takes no memory
r"""Strings, and where a list or an object begins outside of them."""


class CorruptError(OSError):
    r"""A file of a model or a checkpoint that is missing or is not what was written."""


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    r"""Writes files and the manifest of their sha256 sums.

    A folder that is new is filled under another name, so that it is whole as soon as it is there.

    Arguments:
        folder: The folder; it is made where it is missing.
        files: The contents by name.

    Raises:
        OSError: If there is no room, or the folder can't be written. What it held is left whole.
    """

    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files = {**files, MANIFEST: to_json(sums)}
    if folder.exists():
        write_files(folder, files)
        return
    new = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        new.mkdir(parents=True, exist_ok=True)
        write_files(new, files, shown=folder)
        new.rename(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def read_folder(folder: Path) -> dict[str, bytes]:
    r"""Reads the files that a manifest names.

    Arguments:
        folder: The folder.

    Returns:
        The contents by name.

    Raises:
        CorruptError: If the manifest or a file is missing, or a sum is another.
    """

    files = {}
    for name, expected in read_manifest(folder).items():
        files[name] = read_file(folder / name)
        compare(folder / name, hashlib.sha256(files[name]), expected)

    return files


def read_manifest(folder: Path) -> dict[str, str]:
    r"""Reads the sums of a folder's files by name.

    Raises:
        CorruptError: If there is no manifest, or it is none.
    """

    path = folder / MANIFEST
    sums = from_json(read_json(path), path)
    sound = isinstance(sums, dict) and all(isinstance(value, str) for value in sums.values())
    if not (sound and all(map(is_plain_name, sums))):
        raise CorruptError(f"{path} does not name files of its own folder with their sums.")
    return sums


def check_sum(path: Path, expected: str) -> None:
    r"""Compares a file with its sum, without holding it in memory.

    Raises:
        CorruptError: If the file is missing, or the sum is another.
    """

    check_plain(path)
    with path.open("rb") as file:
        compare(path, hashlib.file_digest(file, "sha256"), expected)


def compare(path: Path, digest: Any, expected: str) -> None:  # noqa: ANN401 - hashlib's, unnamed
    if digest.hexdigest() != expected:
        raise CorruptError(f"{path} is not what was written: its sha256 differs.")


def read_file(path: Path) -> bytes:
    r"""Reads a file, if it is one.

    Raises:
        CorruptError: If it can't be read.
    """

    check_plain(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise CorruptError(f"{path} is missing or unreadable: {error}.") from error


def read_json(path: Path) -> bytes:
    r"""Reads a file of JSON, if it is not too large to be parsed."""

    check_size(path, MOST_JSON)
    return read_file(path)


def check_size(path: Path, most: int) -> None:
    r"""Refuses a file that is larger than any of its kind.

    Raises:
        CorruptError: If it is larger, or can't be read.
    """

    check_plain(path)
    if (size := path.stat().st_size) > most:
        raise CorruptError(f"{path} has {size:,} bytes, but may have {most:,} at most.")


def check_plain(path: Path) -> None:
    r"""Refuses what is no file: a pipe would never end, nor would a device."""

    try:
        if not path.is_file():
            raise FileNotFoundError("there is no such file")
    except (OSError, ValueError) as error:  # a name may hold a zero, which is a ValueError
        raise CorruptError(f"{path} is missing or unreadable: {error}.") from error


def is_plain_name(name: str) -> bool:
    r"""Tells whether a name stays in its folder."""

    return bool(name) and Path(name).name == name and name not in (".", "..")


def to_json(value: object) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def from_json(content: bytes, path: Path) -> Any:  # noqa: ANN401 - whatever it holds
    r"""Parses JSON of which nothing is known.

    Arguments:
        content: The JSON.
        path: The file that it is from, for the message.

    Raises:
        CorruptError: If it is no JSON, or holds more lists and objects than any of ours.
    """

    if has_many_parts(content):
        raise CorruptError(f"{path} holds more lists and objects than anything of ours.")
    try:
        return json.loads(content.decode())  # or it would take bytes for another encoding
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{path} is no JSON: {error}.") from error


def has_many_parts(content: bytes) -> bool:
    r"""Tells whether there are more lists and objects than anything of ours has."""

    if content.count(b"[") + content.count(b"{") <= MOST_NESTED:
        return False
    begun = (token for token in TOKENS.finditer(content) if token[0] in (b"[", b"{"))
    return any(i >= MOST_NESTED for i, _ in enumerate(begun))
