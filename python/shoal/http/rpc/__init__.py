"""Kubo's RPC, `/api/v0`, over the local engine: programs written for an IPFS daemon work by changing a URL.

One file per family of verbs, named after it; `verbs.py` is the table of all of them.
"""

from shoal.http.rpc.app import Rpc
from shoal.http.rpc.guard import RpcRules
from shoal.http.rpc.token import token_of

__all__ = ["Rpc", "RpcRules", "token_of"]
