"""Content by hash over HTTP: gateways as ASGI applications over a `Node`, and a way to serve them. `pip install 'shoal[http]'`.

Nothing here is loaded by a local `add` or `get`.
"""

from shoal.http.dnslink import DnsLink, Resolver, StaticLinks
from shoal.http.gateway import Gateway
from shoal.http.limits import Limits
from shoal.http.route import Rules
from shoal.http.subdomain import HostRule

__all__ = ["DnsLink", "Gateway", "HostRule", "Limits", "Resolver", "Rules", "StaticLinks"]
