"""What an export may write to besides a plain file.

Story: exporting to /dev/null as root once left a plain file in its place, since every export ended in a rename, and each
program on the machine that wrote to /dev/null from then on wrote to a disk.
"""

from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

import shoal

if TYPE_CHECKING:
    from pathlib import Path


def test_an_export_to_a_pipe_is_written_into_it_and_leaves_it_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with shoal.Store(tmp_path / "store") as store:
        cid = store.add(b"content").cid
        size = store.dag.export_car(cid, pipe)
        store.dag.export_car(cid, tmp_path / "plain.car")
    reader.join(timeout=30)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert read == [(tmp_path / "plain.car").read_bytes()]
    assert len(read[0]) == size
    assert sorted(os.listdir(tmp_path)) == ["pipe", "plain.car", "store"]


def test_an_export_to_a_directory_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with shoal.Store(tmp_path / "store") as store:
        cid = store.add(b"content").cid
        with pytest.raises(shoal.ExportError, match="folder"):
            store.dag.export_car(cid, folder)
    assert list(folder.iterdir()) == []
