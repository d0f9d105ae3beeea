"""A directory's page: one template, no script, nothing from elsewhere. Every name is escaped twice, for the URL and for HTML."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING
from urllib.parse import quote

from shoal.http.message import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shoal import CID
    from shoal.results import Entry

__all__ = ["CSP", "TEMPLATE", "directory_page", "front_page", "object_page"]

CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""For pages made here: they load nothing, run nothing, and stand in no frame."""

TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; color: #222; background: #fff }}
table {{ border-collapse: collapse; width: 100% }}
td {{ border-top: 1px solid #ddd; padding: .3em .5em; overflow-wrap: anywhere }}
td:nth-child(2), td:nth-child(3) {{ font: 12px ui-monospace, monospace; white-space: nowrap; text-align: right }}
a {{ color: #05a; text-decoration: none }} a:hover {{ text-decoration: underline }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere }}
@media (prefers-color-scheme: dark) {{ body {{ color: #ddd; background: #181818 }} td {{ border-color: #333 }} a {{ color: #7bf }} }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def directory_page(
    *,
    cid: CID,
    crumbs: Sequence[str],
    base: str,
    root_link: str,
    gateway: str | None,
    names: tuple[str, ...],
    entries: Sequence[Entry],
    is_cut: bool,
) -> str:
    """The page.

    `crumbs` are "ipfs", the root's text and the names below it; `root_link` is the URL of the root among them; `base` is the URL path
    of the root at this origin ("" for its top); `gateway` is the origin of `/ipfs/`, "" for this one, None where none is known.
    """
    here = base + quoted(names)
    trail, link = [], root_link
    for place, crumb in enumerate(crumbs[1:]):
        link = root_link if place == 0 else link.rstrip("/") + quoted((crumb,))
        trail.append(f'<a href="{_h(link)}">{_h(crumb)}</a>')
    rows = [f'<tr><td><a href="{_h(here)}/..">..</a></td><td></td><td></td></tr>'] if names else []
    for entry in entries:
        link = f"{here}{quoted((entry.name,))}"
        short = _h(_short(str(entry.cid)))
        if gateway is not None:
            filename = quote(entry.name.encode("utf-8", "replace"), safe="")
            short = f'<a class="ipfs-hash" translate="no" href="{_h(f"{gateway}/ipfs/{entry.cid}?filename={filename}")}">{short}</a>'
        rows.append(
            f'<tr><td><a href="{_h(link)}">{_h(entry.name)}</a></td><td>{short}</td><td>{_size(entry.dag_bytes)}</td></tr>'
        )
    title = f"Index of /{'/'.join(crumbs)}"
    note = f"<p>Only the first {len(entries)} entries are shown.</p>" if is_cut else ""
    body = (
        f"<h1>Index of /{_h(crumbs[0])}/{'/'.join(trail)}</h1>\n"
        f'<p translate="no">{_h(str(cid))} · <a href="{_h(here)}/?format=car">CAR</a> · <a href="{_h(here)}/?format=tar">tar</a></p>\n'
        f"<table>\n{chr(10).join(rows)}\n</table>\n{note}"
    )
    return TEMPLATE.format(title=_h(title), body=body)


def object_page(*, cid: CID, form: str, text: str) -> str:
    """A page for a dag-json or dag-cbor object: its text, and where the bytes are."""
    body = (
        f'<h1>{_h(form)}</h1>\n<p translate="no">{_h(str(cid))} · <a href="?format={_h(form)}">Valid {_h(form.upper())}</a> · '
        f'<a href="?format=raw">raw block</a></p>\n<pre>{_h(text)}</pre>'
    )
    return TEMPLATE.format(title=_h(str(cid)), body=body)


def front_page(roots: Mapping[str, CID]) -> str:
    """The page at "/": what was named when the gateway was started."""
    rows = [
        f'<tr><td><a href="/ipfs/{cid}">{_h(name)}</a></td><td translate="no">{cid}</td><td></td></tr>'
        for name, cid in roots.items()
    ]
    body = (
        f"<h1>Shoal</h1>\n<p>A gateway: content by its hash, at /ipfs/CID.</p>\n<table>\n{chr(10).join(rows)}\n</table>"
    )
    return TEMPLATE.format(title="Shoal", body=body)


def _h(text: str) -> str:
    return html.escape(text.encode("utf-8", "replace").decode())


def _short(cid: str) -> str:
    return cid if len(cid) < 16 else f"{cid[:4]}…{cid[-6:]}"


def _size(count: int) -> str:
    """Bytes as people read them."""
    if count < 1000:
        return f"{count} B"
    amount, units = count / 1000, ["kB", "MB", "GB", "TB", "PB", "EB"]
    while amount >= 999.5 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{amount:.3g} {units[0]}"
