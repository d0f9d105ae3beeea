"""Shoal as a filesystem of fsspec: what reads `shoal://bafy…/a/b` in pandas, pyarrow, xarray, zarr, dask and others.

fsspec finds it by itself once `shoal[fsspec]` is installed; nothing of this room is imported by a local add or get. What stands
below a CID is only read (`content.py`). What is written goes to a draft, a folder with a name, which `commit` turns into a CID
(`draft.py`).
"""

from __future__ import annotations

try:
    import fsspec
except ImportError as _error:
    _error.add_note("the filesystem needs fsspec: pip install 'shoal[fsspec]'")
    raise

from shoal.filesystem.draft import DraftFile
from shoal.filesystem.open_file import ContentFile
from shoal.filesystem.system import ShoalFileSystem

__all__ = ["ContentFile", "DraftFile", "ShoalFileSystem", "register"]


def register(protocol: str = "ipfs") -> None:
    """Has fsspec open addresses of another protocol through Shoal as well, in this process: `ipfs://bafy…/a/b`.

    Not done unasked, since another package may serve them; one that does is replaced. `shoal://` needs no call.
    """
    fsspec.register_implementation(protocol, ShoalFileSystem, clobber=True)
