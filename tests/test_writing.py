"""Files that are whole or not there, also where a disk is full."""

import errno
import io
import os
import resource
import shutil
from pathlib import Path

import pytest

from swae.writing import write_file, write_files

FULL = OSError(errno.ENOSPC, "No space left on device")


def fail(*args, **kwargs):
    raise FULL


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_write_file_replaces(tmp_path):
    path = tmp_path / "a.bin"
    write_file(path, b"first")
    write_file(path, b"second")
    assert path.read_bytes() == b"second"
    assert names(tmp_path) == ["a.bin"]


class Full:
    """A file on a full disk: half of what is written arrives."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        raise FULL


FAULTS = {
    "open": lambda patch: patch.setattr(Path, "open", fail),
    "write": lambda patch: patch.setattr(Path, "open", lambda p, mode: Full(io.FileIO(p, mode))),
    "fsync": lambda patch: patch.setattr(os, "fsync", fail),
    "replace": lambda patch: patch.setattr(Path, "replace", fail),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_write_file_leaves_the_old_file(tmp_path, monkeypatch, fault):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        FAULTS[fault](patch)
        with pytest.raises(OSError, match="No space left"):
            write_file(path, b"new and longer")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("k", [1, 2])
def test_files_that_belong_together_are_all_old(tmp_path, monkeypatch, k):
    """The disk is full at the first of them or at the second."""
    old = {"a.bin": b"old", "b.bin": b"older"}
    write_files(tmp_path, old)
    flush, calls = os.fsync, []

    def full_at_the_kth(descriptor):
        calls.append(descriptor)
        return fail() if len(calls) == k else flush(descriptor)

    monkeypatch.setattr(os, "fsync", full_at_the_kth)
    name = "ab"[k - 1]
    with pytest.raises(
        OSError, match=rf"{name}\.bin can't be written .*needs 3 bytes, and .* free"
    ):
        write_files(tmp_path, {"a.bin": b"new", "b.bin": b"new"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == old


def test_what_is_said_of_a_full_disk(tmp_path):
    """A limit on the size of files acts as a disk that is full."""
    path = tmp_path / "a.bin"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError) as caught:
            write_file(path, b"x" * 12_345)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = str(caught.value)
    assert said.startswith(
        f"{path} can't be written (File too large): it needs 12,345 bytes, and "
    )
    assert said.endswith(" are free; make room, and try again.")
    free = int(said.split(" and ")[1].split()[0].replace(",", ""))
    assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)
    assert names(tmp_path) == []
