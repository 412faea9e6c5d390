"""Servers that behave differently from one connection to the next.

Limiters, unreliable servers, several servers at one address, and servers that remember clients.
"""

import asyncio
from collections.abc import Callable
from random import Random

from tests.support.hostile.endpoint import read_hello
from tests.support.hostile.hello import SeenHello, read_client_hello
from tests.support.tcp import Behaviour, Connection

Claim = Callable[[SeenHello], bool]


def after(number: int, at_first: Behaviour, then: Behaviour) -> Behaviour:
    """Behave well for so many connections, and otherwise from then on."""

    async def behave(connection: Connection) -> None:
        await (at_first if connection.number < number else then)(connection)

    return behave


def at_most_at_once(number: int, serve: Behaviour, otherwise: Behaviour) -> Behaviour:
    """Serve so many connections at the same time; what comes in addition gets something else."""
    busy = 0

    async def behave(connection: Connection) -> None:
        nonlocal busy
        if busy >= number:
            await otherwise(connection)
            return
        busy += 1
        try:
            await serve(connection)
        finally:
            busy -= 1

    return behave


def queueing(number: int, serve: Behaviour) -> Behaviour:
    """Serve so many connections at the same time; the others wait for their turn."""
    turns = asyncio.Semaphore(number)

    async def behave(connection: Connection) -> None:
        async with turns:
            await serve(connection)

    return behave


def at_random(probability: float, seed: int, refuse: Behaviour, serve: Behaviour) -> Behaviour:
    """Refuse a connection with this probability, whatever it asks for."""
    chance = Random(seed)

    async def behave(connection: Connection) -> None:
        await (refuse if chance.random() < probability else serve)(connection)

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Rotate through behaviours, connection by connection: several servers at one address."""

    async def behave(connection: Connection) -> None:
        await behaviours[connection.number % len(behaviours)](connection)

    return behave


def where(claim: Claim, then: Behaviour, otherwise: Behaviour) -> Behaviour:
    """Behave by what the hello says; what is no hello is met otherwise."""

    async def behave(connection: Connection) -> None:
        received = await read_hello(connection)
        hello = read_client_hello(received)
        connection.unread(received)
        await (then if hello is not None and claim(hello) else otherwise)(connection)

    return behave


def once_seen(claim: Claim, until_then: Behaviour, from_then: Behaviour) -> Behaviour:
    """Behave otherwise for good after the first hello that fits, that one included."""
    seen = False

    def remembered(hello: SeenHello) -> bool:
        nonlocal seen
        seen = seen or claim(hello)
        return seen

    return where(remembered, from_then, until_then)
