"""Whose CRL is fetched next: fetches are shared out fairly among those who choose the URLs.

Whoever makes a certificate chooses the URL of its CRL, and a server that stays silent takes a fetch
for as long as its deadline. So that one partner's hundred silent servers hold up nobody else's
list, each URL has owners: what the leaf is trusted by, below which somebody issued it, and the
endpoint that serves it. The host of the URL is an owner as well.

- Of what is due, that whose owners have used the least time of late goes first, by anchor, then by
  endpoint, then by host. A failure counts as more time than it took.
- Whatever is due, leaves under one anchor have no more than half of the fetches, and those of one
  endpoint no more than a quarter. So there is one to be had for everybody else at once.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from otpc_policy.check.crl_book import CrlSource, Owners
from otpc_policy.recently_used import RecentlyUsed

# Which part of the fetches an owner may have, the anchor first.
_PARTS: Final = (2, 4)
# As in "half of it is forgotten after ten minutes": a host is repaired some day.
_HALF_LIFE_S: Final = 600.0
_FAILURE_S: Final = 5.0
_MAX_REMEMBERED: Final = 4_096
# Before the name of a host; no anchor is called so.
_HOST: Final = ("", "host")


class CrlShares:
    """What each owner has used, and what it has under way. For one event loop.

    concurrent: how many fetches may be under way.
    """

    def __init__(self, concurrent: int) -> None:
        self._concurrent = concurrent
        # Seconds, and when they were that many.
        self._used = RecentlyUsed[Owners, tuple[float, float]](max_entries=_MAX_REMEMBERED)
        self._under_way: Counter[Owners] = Counter()

    def choose(
        self, due: Sequence[CrlSource], *, taken_hosts: Iterable[str], now_s: float
    ) -> list[tuple[CrlSource, Owners]]:
        """Return what is to be started, each with the owners who get it, and count it as begun.

        due: not under way, the one overdue longest first. taken_hosts: from these nothing can be
        fetched now; from every other host one list.
        """
        hosts = set(taken_hosts)
        chosen: list[tuple[CrlSource, Owners]] = []
        full: set[Owners] = set()
        for source in self._ranked(due, now_s):
            if self._under_way[()] >= self._concurrent:
                break
            if source.url.host in hosts:
                continue
            owners = next((each for each in source.owners if self._has_room(each, full)), None)
            if owners is not None:
                hosts.add(source.url.host)
                chosen.append((source, owners))
                self._under_way.update(_keys(owners))
        return chosen

    def ended(
        self, source: CrlSource, owners: Owners, *, took_s: float, is_failure: bool, now_s: float
    ) -> None:
        """Count a fetch of choose as ended. took_s: the reading of the list included."""
        for key in _keys(owners):
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]
        seconds = took_s + (_FAILURE_S if is_failure else 0.0)
        charged = {key for each in (owners, *source.owners) for key in _keys(each)[1:]}
        for key in charged | {(*_HOST, source.url.host)}:
            self._used.put(key, (self._used_s(key, now_s) + seconds, now_s))

    def _ranked(self, due: Sequence[CrlSource], now_s: float) -> Sequence[CrlSource]:
        """Return what is due by need; in equal need, in the order of due.

        Thousands may be due at once, so this sorts three times, by numbers.
        """
        used = {key: self._used_s(key, now_s) for key in self._used}
        if not used:
            return due
        by_host = {key[2]: seconds for key, seconds in used.items() if key[:2] == _HOST}
        ranked = sorted(due, key=lambda source: by_host.get(source.url.host, 0.0))
        for length in (2, 1):
            ranked.sort(
                key=lambda source, length=length: min(  # type: ignore[misc]
                    [used.get(owners[:length], 0.0) for owners in source.owners]
                )
            )
        return ranked

    def _has_room(self, owners: Owners, full: set[Owners]) -> bool:
        """Whether these owners may begin a fetch. full: owners known to have none left."""
        if owners in full or owners[:1] in full:
            return False
        for key, part in zip(_keys(owners)[1:], _PARTS, strict=False):
            if self._under_way[key] >= max(1, self._concurrent // part):
                full.add(key)
                return False
        return True

    def _used_s(self, key: Owners, now_s: float) -> float:
        known = self._used.peek(key)
        if known is None:
            return 0.0
        seconds, at_s = known
        left: float = seconds * 0.5 ** ((now_s - at_s) / _HALF_LIFE_S)
        return left


def _keys(owners: Owners) -> tuple[Owners, ...]:
    """Return everybody, the anchor, and the endpoint below that anchor, as far as known."""
    return tuple(owners[:length] for length in range(min(len(owners), len(_PARTS)) + 1))
