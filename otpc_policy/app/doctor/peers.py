"""Who the configuration names on the network: whether a connection can be made at all."""

import asyncio
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from otpc_policy.app.doctor.result import Result, failed, ok, reason, skipped, warning
from otpc_policy.app.settings import AddressFamilies, AuditSinkName, Settings
from otpc_policy.ops.routes import ask_kernel

# A root name server of each family. The kernel is asked for a route; no packet is sent.
_SOMEWHERE: Final = {"IPv4": "198.41.0.4", "IPv6": "2001:503:ba3e::2:30"}
_PORTS: Final = {"http": 80, "https": 443}


async def peers_of(settings: Settings, *, within_s: float) -> list[Result]:
    """Return a result for each peer but engines and name servers."""
    results = [_routes(settings)]
    peers = tuple(_peers(settings))
    reached = await asyncio.gather(
        *(_reach(check, host, port, within_s) for check, host, port in peers)
    )
    return [*results, *reached]


def _routes(settings: Settings) -> Result:
    """Judge whether partners can be dialled from here at all."""
    if settings.engine_addresses:
        return skipped("egress", "engines elsewhere measure: run the doctor there")
    if settings.egress_proxy is not None:
        return skipped("egress", "connections go through egress_proxy")
    found = [family for family, address in _SOMEWHERE.items() if ask_kernel(address)]
    wanted = {
        AddressFamilies.IPV4: ["IPv4"],
        AddressFamilies.IPV6: ["IPv6"],
        AddressFamilies.BOTH: ["IPv4", "IPv6"],
    }.get(settings.address_families, [])
    lacking = [family for family in wanted if family not in found]
    remedy = "give this machine a route, or set egress_proxy, or address_families"
    if not found:
        return failed("egress", "no route to the internet, of either family", remedy)
    if lacking:
        text = f"no route for {', '.join(lacking)}, which address_families demands"
        return failed("egress", text, remedy)
    text = f"routes to the internet: {', '.join(found)}; no connection was tried"
    if len(found) < len(_SOMEWHERE) and settings.address_families is AddressFamilies.ROUTED:
        text += "; addresses of the other family are not measured"
    return ok("egress", text)


def _peers(settings: Settings) -> Iterator[tuple[str, str, int]]:
    if settings.egress_proxy is not None and not settings.engine_addresses:
        url = urlsplit(settings.egress_proxy)
        yield "egress proxy", str(url.hostname), int(url.port or 0)
    if settings.webhook.url:
        url = urlsplit(settings.webhook.url)
        yield "webhook", str(url.hostname), url.port or _PORTS[url.scheme]
    if AuditSinkName.OTLP in settings.audit.sinks:
        url = urlsplit(settings.audit.otlp_endpoint)
        yield "audit collector", str(url.hostname), url.port or _PORTS[url.scheme]


async def _reach(check: str, host: str, port: int, within_s: float) -> Result:
    shown = f"{host} port {port}"
    try:
        async with asyncio.timeout(within_s):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        why = f"no connection within {within_s:g} s"
    except OSError as error:
        why = reason(error)
    else:
        writer.transport.abort()
        return ok(check, f"{shown} accepts connections")
    remedy = "see that it runs, and that this machine may connect to it"
    if check == "audit collector":
        return warning(check, f"{shown}: {why}", f"{remedy}; audit lines for it are lost")
    return failed(check, f"{shown}: {why}", remedy)
