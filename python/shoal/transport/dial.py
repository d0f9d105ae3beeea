"""Reaching a peer that has several addresses: tried side by side, each with a head start before the next, the first that
answers is taken (RFC 8305, "happy eyeballs").

`race` does that with anything that can be tried at an address, such as dialling and agreeing on keys; `dial_any` with
dialling alone. The one rule: whatever was begun is ended before either returns, however it returns.
"""

from __future__ import annotations

from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from shoal.errors import InvalidAddress, ShoalError, Unreachable
from shoal.transport.address import ADDRESS_TEXT_MAX, Scope, TcpAddress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from shoal.transport.base import Stream, Transport

__all__ = ["dial_any", "in_order", "race"]

ADDRESSES_MAX: Final = 32
"""Addresses that are tried. A machine has a few, and one that is said to have hundreds is made up."""
ADDRESSES_READ_MAX: Final = 1024
"""Addresses that are looked at, to find the nearest of them."""
AT_ONCE_MAX: Final = 8
"""Attempts at one time. Each takes a file handle, and a packet that some firewall counts."""
HEAD_START_SECONDS: Final = 0.25
"""How long an address has before the next is tried beside it. RFC 8305 §5 says 250 ms: longer than most ways, shorter than patience."""
ATTEMPT_SECONDS: Final = 5.0
"""How long one address may take: two lost SYNs, which TCP sends again after 1 s and 3 s."""
DIAL_SECONDS: Final = 15.0
"""How long all of them may take. go-libp2p: the same."""

T = TypeVar("T")


async def dial_any(
    addresses: Iterable[str],
    transports: Sequence[Transport],
    *,
    timeout: float = DIAL_SECONDS,  # noqa: ASYNC109 - the error tells it
    attempt_timeout: float = ATTEMPT_SECONDS,
) -> Stream:
    """A stream to the first of several addresses of one peer that answers.

    Raises `Unreachable`, whose message and `reasons` say of every address that was tried what was wrong with it.
    """

    async def attempt(address: str) -> Stream:
        for transport in transports:
            if transport.dials(address):
                return await transport.dial(address, timeout=attempt_timeout)
        raise InvalidAddress("no transport of this node dials such an address")

    async def discard(stream: Stream) -> None:
        await stream.aclose()

    return await race(addresses, attempt, discard, timeout=timeout)


async def race(
    addresses: Iterable[str],
    attempt: Callable[[str], Awaitable[T]],
    discard: Callable[[T], Awaitable[None]],
    *,
    timeout: float = DIAL_SECONDS,  # noqa: ASYNC109 - the error tells it
) -> T:
    """What `attempt` returns for the first address where it returns anything. Others are cancelled; `discard` gets what they had
    made by then, and must not wait.

    An error of Shoal's is a reason why an address cannot be used; any other error ends the race. Raises `Unreachable` as `dial_any`.
    """
    tried = in_order(addresses)
    reasons: dict[str, str] = {}
    made: list[T] = []

    async def try_one(address: str, failed: anyio.Event) -> None:
        try:
            made.append(await attempt(address))
            tasks.cancel_scope.cancel()
        except ShoalError as error:
            reasons[_shown(address)] = str(error)
            failed.set()
        finally:
            room.release()

    taken: list[T] = []
    try:
        with anyio.move_on_after(timeout):
            async with anyio.create_task_group() as tasks:
                room = anyio.Semaphore(AT_ONCE_MAX)
                for address in tried:
                    await room.acquire()
                    failed = anyio.Event()
                    tasks.start_soon(try_one, address, failed, name="shoal dial")
                    with anyio.move_on_after(HEAD_START_SECONDS):
                        await failed.wait()
        taken = made[:1]
    finally:
        # Two may have answered in the same turn of the loop; or whoever waited for this was cancelled just then.
        with anyio.CancelScope(shield=True):
            for extra in made[len(taken) :]:
                await discard(extra)
    if taken:
        return taken[0]
    for address in tried:
        reasons.setdefault(_shown(address), f"no answer within {timeout:g} s")
    raise Unreachable(_nobody(reasons), reasons=reasons)


def in_order(addresses: Iterable[str]) -> list[str]:
    """At most 32 of them, each once: the nearest first, IPv6 and IPv4 in turns among equals, what is not TCP last."""
    by_scope: dict[int, tuple[list[str], list[str]]] = {}
    others: list[str] = []
    for address in dict.fromkeys(islice(addresses, ADDRESSES_READ_MAX)):
        try:
            parsed = TcpAddress.parse(address)
        except InvalidAddress:
            others.append(address)
            continue
        by_scope.setdefault(parsed.scope, ([], []))[parsed.ip.version == 4].append(address)
    ordered = chain.from_iterable(_in_turns(*by_scope[scope]) for scope in Scope if scope in by_scope)
    return list(islice(chain(ordered, others), ADDRESSES_MAX))


def _in_turns(first: list[str], second: list[str]) -> list[str]:
    return [address for pair in zip_longest(first, second) for address in pair if address is not None]


def _shown(address: str) -> str:
    """An address for a message. It may be a stranger's: what is no plain text is not repeated."""
    if address.isascii() and address.isprintable() and len(address) <= ADDRESS_TEXT_MAX:
        return address
    return "an address that is none"


def _nobody(reasons: dict[str, str]) -> str:
    if not reasons:
        return "the peer cannot be reached: no address of it is known; give one, or a ticket"
    tried = "; ".join(why if address in why else f"{address}: {why}" for address, why in reasons.items())
    return f"the peer cannot be reached at any of its {len(reasons)} addresses: {tried}" if len(reasons) > 1 else tried
