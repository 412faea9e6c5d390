"""The store of a simulated fleet: the real scripts, run by Lua, over a model of the commands.

Only what the scripts call is there. test_store.py holds it to a real Valkey.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import lupa.lua51

from otpc_policy.fleet.scripts import NEWS, Script

_EPOCH_US = 1_772_323_200_000_000  # 2026-03-01, where the world's time begins
_NO_NEWS = b"{}"
# How often the state is kept for a failover that loses what came after.
_SNAPSHOT_EVERY_S = 0.25
_MOST_SNAPSHOTS = 24


class ScriptedStore:
    """now_s: the store's clock, in the world's seconds.

    changed: makes another script of one, for stores that are broken on purpose.
    """

    def __init__(
        self,
        now_s: Callable[[], float],
        *,
        changed: Callable[[Script], str] = lambda script: script.text,
    ) -> None:
        self._now_s, self._changed = now_s, changed
        self._lua = lupa.lua51.LuaRuntime(encoding=None, unpack_returned_tuples=False)
        self._compiled: dict[str, Any] = {}
        self._values: dict[bytes, Any] = {}
        self._ends_ms: dict[bytes, int] = {}
        self._snapshots: list[tuple[float, dict[bytes, Any], dict[bytes, int]]] = []
        redis = self._lua.table()
        redis[b"call"] = self._call
        cjson = self._lua.table()
        cjson[b"encode"] = self._encode
        self._lua.globals()[b"redis"] = redis
        self._lua.globals()[b"cjson"] = cjson

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Return what a script returns."""
        if script is NEWS and self._live(_bytes(keys[0])) is None:
            return _NO_NEWS  # most of what is asked in a run
        self._keep_snapshot()
        function = self._compiled.get(script.sha)
        if function is None:
            text = f"return function(KEYS, ARGV) {self._changed(script)}\nend"
            function = self._compiled[script.sha] = self._lua.execute(text.encode())
        table = self._lua.table
        answer = function(table(*map(_bytes, keys)), table(*map(_bytes, arguments)))
        return _answered(answer)

    def time(self) -> tuple[int, int]:
        """Return what TIME returns."""
        now_us = self._now_us()
        return now_us // 1_000_000, now_us % 1_000_000

    def flush(self) -> None:
        """Lose everything."""
        self._values.clear()
        self._ends_ms.clear()

    def fail_over(self, lost_s: float) -> float:
        """Lose what was written in the last seconds; return since when, in the world's time."""
        now = self._now_s()
        kept = [each for each in self._snapshots if each[0] <= now - lost_s]
        at, values, ends = kept[-1] if kept else (0.0, {}, {})
        self._values, self._ends_ms = _copied(values), dict(ends)
        self._snapshots = kept
        return at

    def _keep_snapshot(self) -> None:
        now = self._now_s()
        if not self._snapshots or now - self._snapshots[-1][0] >= _SNAPSHOT_EVERY_S:
            self._snapshots.append((now, _copied(self._values), dict(self._ends_ms)))
            del self._snapshots[:-_MOST_SNAPSHOTS]

    def _now_us(self) -> int:
        return _EPOCH_US + round(self._now_s() * 1e6)

    def _now_ms(self) -> int:
        return self._now_us() // 1000

    def _call(self, command: bytes, *arguments: Any) -> Any:
        method = getattr(self, f"_{command.decode().lower()}")
        return self._as_lua(method(*map(_bytes, arguments)))

    def _as_lua(self, value: Any) -> Any:
        if value is None:
            return False
        if isinstance(value, list):
            return self._lua.table(*map(self._as_lua, value))
        return value

    def _encode(self, table: Any) -> bytes:
        return json.dumps(_plain(_answered(table)) or {}).encode("latin-1")

    def _live(self, key: bytes) -> Any:
        ends = self._ends_ms.get(key)
        if ends is not None and ends <= self._now_ms():
            del self._values[key], self._ends_ms[key]
        return self._values.get(key)

    # The commands, by their names. Values: bytes, dict of bytes, dict of scores, list of entries.

    def _time(self) -> list[bytes]:
        return [str(part).encode() for part in self.time()]

    def _get(self, key: bytes) -> bytes | None:
        found: bytes | None = self._live(key)
        return found

    def _set(self, key: bytes, value: bytes, *options: bytes) -> bytes:
        self._values[key] = value
        self._ends_ms.pop(key, None)
        if options:
            self._pexpire(key, options[1])
        return b"OK"

    def _del(self, key: bytes) -> int:
        was_there = self._live(key) is not None
        self._values.pop(key, None)
        self._ends_ms.pop(key, None)
        return int(was_there)

    def _pttl(self, key: bytes) -> int:
        if self._live(key) is None:
            return -2
        return self._ends_ms[key] - self._now_ms() if key in self._ends_ms else -1

    def _pexpire(self, key: bytes, lifetime: bytes) -> int:
        if self._live(key) is None:
            return 0
        self._ends_ms[key] = self._now_ms() + int(lifetime)
        return 1

    def _hget(self, key: bytes, name: bytes) -> bytes | None:
        found: bytes | None = (self._live(key) or {}).get(name)
        return found

    def _hset(self, key: bytes, *pairs: bytes) -> int:
        fields = self._live(key)
        if fields is None:
            fields = self._values[key] = {}
        fields.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(pairs) // 2

    def _hstrlen(self, key: bytes, name: bytes) -> int:
        return len((self._live(key) or {}).get(name, b""))

    def _xadd(self, key: bytes, *rest: bytes) -> bytes:
        entries = self._live(key)
        if entries is None:
            entries = self._values[key] = []
        last = entries[-1][0] if entries else (0, 0)
        now = self._now_ms()
        identity = (now, 0) if now > last[0] else (last[0], last[1] + 1)
        entries.append((identity, list(rest[rest.index(b"*") + 1 :])))
        return _identity(identity)

    def _xrange(self, key: bytes, first: bytes, _last: bytes, _count: bytes, most: bytes) -> Any:
        low = tuple(map(int, first.split(b"-")))
        entries = [each for each in self._live(key) or () if each[0] >= low]
        return [[_identity(identity), fields] for identity, fields in entries[: int(most)]]

    def _xrevrange(self, key: bytes, *_: bytes) -> Any:
        entries = self._live(key) or ()
        return [[_identity(identity), fields] for identity, fields in entries[-1:]]

    def _zadd(self, key: bytes, *rest: bytes) -> int:
        options, (score, member) = rest[:-2], rest[-2:]
        scores = self._live(key)
        present = (scores or {}).get(member)
        if (b"NX" in options and present is not None) or (b"XX" in options and present is None):
            return 0
        if b"LT" in options and present is not None and float(score) >= present:
            return 0
        if scores is None:
            scores = self._values[key] = {}
        scores[member] = float(score)
        return int(present is None)

    def _zrem(self, key: bytes, member: bytes) -> int:
        scores = self._live(key) or {}
        removed = scores.pop(member, None) is not None
        if removed and not scores:
            self._del(key)
        return int(removed)

    def _zscore(self, key: bytes, member: bytes) -> bytes | None:
        score = (self._live(key) or {}).get(member)
        return None if score is None else b"%.0f" % score

    def _zcard(self, key: bytes) -> int:
        return len(self._live(key) or ())

    def _zrange(self, key: bytes, first: bytes, last: bytes, *options: bytes) -> list[bytes]:
        ordered = self._ordered(key)
        if b"BYSCORE" in options:
            most = int(options[options.index(b"LIMIT") + 2])
            return [member for score, member in ordered if score <= float(last)][:most]
        chosen = ordered if last == b"-1" else ordered[int(first) : int(last) + 1]
        if b"WITHSCORES" in options:
            return [part for score, member in chosen for part in (member, b"%.0f" % score)]
        return [member for _, member in chosen]

    def _zpopmin(self, key: bytes, most: bytes) -> list[bytes]:
        gone = self._ordered(key)[: int(most)]
        for _, member in gone:
            self._zrem(key, member)
        return [part for score, member in gone for part in (member, b"%.0f" % score)]

    def _zremrangebyscore(self, key: bytes, _low: bytes, high: bytes) -> int:
        gone = [member for score, member in self._ordered(key) if score <= float(high)]
        for member in gone:
            self._zrem(key, member)
        return len(gone)

    def _ordered(self, key: bytes) -> list[tuple[float, bytes]]:
        return sorted((score, member) for member, score in (self._live(key) or {}).items())


def _identity(identity: tuple[int, int]) -> bytes:
    return b"%d-%d" % identity


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, float):
        return b"%.17g" % value
    return str(value).encode()


def _answered(value: Any) -> Any:
    """Return what the protocol makes of a Lua value."""
    if value is False or value is None:
        return None
    if isinstance(value, float):
        return int(value)
    if lupa.lua51.lua_type(value) == "table":
        answer, at = [], 1
        while (each := value[at]) is not None:
            answer.append(_answered(each))
            at += 1
        return answer
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _copied(values: dict[bytes, Any]) -> dict[bytes, Any]:
    return {
        key: value if isinstance(value, bytes) else value.copy() for key, value in values.items()
    }
