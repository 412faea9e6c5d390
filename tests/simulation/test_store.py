"""The model of the store answers every script as a real Valkey does, but for the clock."""

import asyncio
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest

pytest.importorskip("lupa", reason="needs lupa, which runs the scripts")

from otpc_policy.fleet import schedule_scripts, scripts
from otpc_policy.fleet.clients import StoreClients
from otpc_policy.fleet.scripts import Script
from tests.simulation.store import ScriptedStore
from tests.support.valkey import Valkey, valkey

_HOST = ("{t}:index", "{t}:epoch", "{t}:notices")
_MINUTE_US = 60_000_000


class _Instants:
    """Numbers that are instants, by the order in which they first came: they differ by clock."""

    def __init__(self) -> None:
        self._seen: dict[bytes, bytes] = {}

    def named(self, value: bytes) -> bytes:
        return self._seen.setdefault(value, b"#%d" % len(self._seen))


def _drawn(draw: Random, leases: Sequence[tuple[str, bytes, bytes]]) -> tuple[Script, Any, Any]:
    """Return a script, its keys and arguments. leases: key, fence and epoch of those given out."""
    digest = draw.choice("abc")
    facts, lease, fence = (f"{{t}}:{kind}:{digest}" for kind in ("facts", "lease", "fence"))
    index, epoch, notices = _HOST
    names = [draw.choice(("a:1", "b:2", "c:3")) for _ in range(2)]
    due, kept = "{w}:due", "{w}:kept"
    given = [each for each in leases if each[0] == digest] or [(digest, b"1", b"1")]
    _, given_fence, given_epoch = draw.choice(given[-2:])
    return draw.choice(
        [
            (scripts.ACQUIRE, (lease, fence, facts, epoch), (draw.choice("xy"), 60_000, 0, 99)),
            (scripts.ACQUIRE, (lease, fence, facts, epoch), ("z", 60_000, _MINUTE_US, 99)),
            (scripts.RENEW, (lease,), (draw.choice("xyz"), 60_000)),
            (scripts.RELEASE, (lease,), (draw.choice("xyz"),)),
            (scripts.GET, (facts, epoch, f"{{t}}:facts:{draw.choice('abc')}", epoch), (99,)),
            (
                scripts.PUT,
                (facts, fence, epoch, index, notices),
                (
                    *(
                        b"a record \xff",
                        draw.randint(1, 9),
                        60_000,
                        f"{draw.choice('12')}:{digest}",
                    ),
                    *("{t}:facts:", draw.choice((2, 9)), digest, "id"),
                    *(draw.choice([("", ""), (given_fence, given_epoch)])),
                ),
            ),
            (scripts.DISCARD, (facts, index, notices), (f"1:{digest}", digest, "")),
            (
                scripts.DISCARD_HOST,
                (index, epoch, notices),
                ("{t}:facts:", draw.choice("0123"), "t", "r"),
            ),
            (
                schedule_scripts.WATCH_KEEP,
                (due, kept),
                (0, 60_000, names[0], draw.choice((-_MINUTE_US, _MINUTE_US)), names[1], 0),
            ),
            (schedule_scripts.WATCH_CLAIM, (due, kept), (0, 2, _MINUTE_US, 900_000_000)),
            (
                schedule_scripts.WATCH_DUE_IN,
                (due,),
                (0, draw.choice(("", "LT")), names[0], draw.choice((-1, 1)) * _MINUTE_US),
            ),
            (schedule_scripts.WATCH_DROP, (due, kept), (names[0],)),
        ]
    )


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with valkey() as running:
        yield running


async def test_the_model_answers_as_a_real_store_does(server: Valkey) -> None:
    client: Any = StoreClients(server.url, deadline_s=5.0).of_server()
    try:
        await _compare(client)
    finally:
        await client.aclose(close_connection_pool=True)


async def _compare(client: Any) -> None:
    model = ScriptedStore(asyncio.get_running_loop().time)
    draw, leases = Random(1), list[tuple[str, bytes, bytes]]()
    real_names, model_names = _Instants(), _Instants()
    of_model: dict[bytes, bytes] = {}
    for _ in range(600):
        script, keys, arguments = _drawn(draw, leases)
        real = await client.eval(script.text, len(keys), *keys, *arguments)
        # The model has numbers of its own for what the real one calls by its clock's.
        translated = [of_model.get(each, each) for each in arguments]
        modelled = model.run(script, keys, translated)
        if script is scripts.ACQUIRE and real[0] == 1:
            assert modelled[0] == 1
            for mine, its in zip(real[1:], modelled[1:], strict=True):
                assert real_names.named(mine) == model_names.named(its)
                of_model[mine] = its
            leases.append((keys[0][-1], real[1], real[2]))
        elif script is schedule_scripts.WATCH_CLAIM:
            assert modelled[1:] == real[1:]
            assert modelled[0] == pytest.approx(real[0], abs=2_000_000)
        else:
            assert modelled == real, (script.name, keys, arguments)
    assert leases
