"""The sections of an engine's debug page. Each shows a bounded number of things."""

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from otpc_policy import __version__
from otpc_policy.engine.scanner import SslyzeScanner
from otpc_policy.measurement.revision import PROBE_REVISION
from otpc_policy.ops.debug_page import Section

_MOST_SHOWN: Final = 100
_Query = Mapping[str, str]


def debug_sections(scanner: SslyzeScanner, settings: Mapping[str, Any]) -> Mapping[str, Section]:
    """Return the sections by name. settings: of the engine, without secrets."""

    async def process(_query: _Query) -> object:
        return {"version": __version__, "probe_revision": PROBE_REVISION}

    async def configuration(_query: _Query) -> object:
        return settings

    async def measurements(_query: _Query) -> object:
        running = scanner.running()
        oldest = sorted(running, key=lambda each: -each.age_s)[:_MOST_SHOWN]
        return {
            "total": len(running),
            "queued": scanner.queued,
            "workers_alive": scanner.workers_alive,
            "oldest": [
                {
                    "endpoint": str(each.endpoint),
                    "server_name": each.endpoint.server_name,
                    "address": each.address,
                    "depth": each.depth.name,
                    "age_s": round(each.age_s, 3),
                    "connections": each.connections,
                }
                for each in oldest
            ],
        }

    async def addresses(_query: _Query) -> object:
        """Connections to each address: open ones, and those that wait for a slot."""
        return {
            address: {"open": slots.taken, "waiting": slots.waiting, "most": slots.total}
            for address, slots in islice(scanner.slots(), _MOST_SHOWN)
        }

    return {
        "process": process,
        "configuration": configuration,
        "measurements": measurements,
        "addresses": addresses,
    }
