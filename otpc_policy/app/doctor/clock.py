"""This machine's clock against that of an HTTPS server, which the caller of the doctor names.

Certificates, CRLs, waivers and the lifetimes of facts all rest on the clock. A server's Date has
whole seconds, so a difference of a second or two says nothing.
"""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import certifi

from otpc_policy.app.doctor.result import Result, failed, ok, reason, warning
from otpc_policy.app.settings import Settings
from otpc_policy.ops.secret_files import read_secret

_HEAD_BYTES: Final = 16_384
_PASSWORD_BYTES: Final = 4_096
_SUSPICIOUS: Final = timedelta(seconds=5)
# By more than this, fronts do not believe each other's dates of facts (check.freshness).
WRONG: Final = timedelta(minutes=1)
_SET_IT: Final = "synchronise the clock (chrony, systemd-timesyncd), on the host of containers too"
# What OpenSSL says of a certificate that is not valid yet, or not any more.
_DATES: Final = (9, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpsPeer:
    """Who is asked. ca_file: None for Mozilla's roots."""

    host: str
    port: int = 443
    ca_file: Path | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


async def clock_against(
    peer: HttpsPeer, settings: Settings, *, within_s: float, now: Callable[[], datetime]
) -> Result:
    """Ask the peer for its Date with one request, through egress_proxy if there is one."""
    remedy = "see that this machine may connect to it, or name another peer"
    try:
        async with asyncio.timeout(within_s):
            before = now()
            head = await _head(peer, settings)
            after = now()
    except ssl.SSLCertVerificationError as error:
        text = f"{peer}: {error.verify_message}"
        if error.verify_code in _DATES:
            return failed("clock", f"{text}, by this clock ({now():%Y-%m-%dT%H:%M:%SZ})", _SET_IT)
        return warning("clock", text, remedy)
    except TimeoutError:
        return warning("clock", f"{peer}: no answer within {within_s:g} s", remedy)
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        return warning("clock", f"{peer}: {reason(error)}", remedy)
    dated = _date_of(head)
    if dated is None:
        return warning("clock", f"{peer}: its answer has no Date", "name another peer")
    return judged(peer, dated, before, after)


def judged(peer: HttpsPeer, dated: datetime, before: datetime, after: datetime) -> Result:
    """Return what the Date of an answer says, that was made between two instants of this clock."""
    # The answer was made within the second that the Date names.
    ahead, behind = before - dated - timedelta(seconds=1), dated - after
    apart = max(ahead, behind, timedelta())
    text = f"{peer}: apart by no more than this can tell"
    if apart:
        way = "ahead of" if ahead > behind else "behind"
        text = f"this clock is {apart.total_seconds():.0f} s {way} that of {peer}"
    if apart > WRONG:
        return failed("clock", text, _SET_IT)
    if apart > _SUSPICIOUS:
        return warning("clock", text, _SET_IT)
    return ok("clock", text)


async def _head(peer: HttpsPeer, settings: Settings) -> bytes:
    context = ssl.create_default_context(cafile=str(peer.ca_file or certifi.where()))
    if settings.egress_proxy is None or settings.engine_addresses:
        reader, writer = await asyncio.open_connection(
            peer.host, peer.port, ssl=context, limit=_HEAD_BYTES
        )
    else:
        reader, writer = await _tunnel(peer, settings, context)
    try:
        host = str(peer).removesuffix(":443")
        request = f"HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode("ascii"))
        return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.transport.abort()


async def _tunnel(
    peer: HttpsPeer, settings: Settings, context: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    url = urlsplit(settings.egress_proxy or "")
    reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=_HEAD_BYTES)
    try:
        request = f"CONNECT {peer} HTTP/1.1\r\nHost: {peer}\r\n{_authorization(settings)}\r\n"
        writer.write(request.encode("ascii"))
        status = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1:2]
        if status != [b"200"]:
            raise ValueError("the egress proxy opens no tunnel")
        await writer.start_tls(context, server_hostname=peer.host)
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


def _authorization(settings: Settings) -> str:
    """Return the header for the proxy, or "". Raises OSError, ValueError. Source: RFC 7617."""
    file = settings.egress_proxy_password_file
    if file is None:
        return ""
    password = read_secret(file, what="password", most_bytes=_PASSWORD_BYTES).rstrip("\r\n")
    credentials = b64encode(f"{settings.egress_proxy_user}:{password}".encode()).decode()
    return f"Proxy-Authorization: Basic {credentials}\r\n"


def _date_of(head: bytes) -> datetime | None:
    for line in head.decode("latin-1").splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() == "date":
            try:
                found = parsedate_to_datetime(value.strip())
            except ValueError:
                return None
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None
