"""Callers over grpc.aio. See the package."""

import asyncio
import json
import sys
from collections import Counter
from typing import Any

import grpc


def _options(orders: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("grpc.service_config", json.dumps(orders["service_config"])),
        ("grpc.keepalive_time_ms", orders["keepalive_ms"]),
        ("grpc.initial_reconnect_backoff_ms", orders["reconnect_ms"]),
        ("grpc.max_reconnect_backoff_ms", orders["reconnect_ms"]),
        # A connection of its own for each channel.
        ("grpc.use_local_subchannel_pool", 1),
    ]


async def main() -> None:
    """Call until standard input ends."""
    orders = json.loads(sys.argv[1])
    outcomes: Counter[str] = Counter()
    request = bytes.fromhex(orders["request"])
    is_over = False

    async def call_without_end(channel: Any) -> None:
        method = channel.unary_unary(orders["method"])
        while not is_over:
            try:
                await method(request, timeout=orders["timeout_s"])
                outcomes["answered"] += 1
            except grpc.aio.AioRpcError as error:
                outcomes[f"{error.code().name}: {error.details()}"] += 1

    target = "ipv4:" + ",".join(orders["targets"])
    channels = [
        grpc.aio.insecure_channel(target, options=_options(orders))
        for _ in range(orders["channels"])
    ]
    callers = [
        asyncio.create_task(call_without_end(channel))
        for channel in channels
        for _ in range(orders["callers"])
    ]
    await asyncio.to_thread(sys.stdin.read)
    is_over = True
    await asyncio.gather(*callers)
    for channel in channels:
        await channel.close(None)
    print(json.dumps(outcomes))


if __name__ == "__main__":
    asyncio.run(main())
