"""Names in the store. All that a script touches lies in one shard, and so in one slot."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from otpc_policy.check import FactsKey
from otpc_policy.core.perspective import DEFAULT_PERSPECTIVE
from otpc_policy.measurement.revision import PROBE_REVISION

# Enough to spread over any cluster, few enough to be asked for news in one round trip.
SHARDS: Final = 16
# Of what lies under the names. Replicas of releases with another one share nothing.
_LAYOUT: Final = "1"


@dataclass(frozen=True, slots=True)
class HostNames:
    """Where what concerns a whole host is kept. index: of its facts. epoch: counts invalidations.

    notices: of all hosts of the shard. stem: of the names of its facts.
    """

    index: str
    epoch: str
    notices: str
    stem: str


@dataclass(frozen=True, slots=True)
class Names:
    """Where what concerns one key of facts is kept.

    member: of the host's index: "port:digest". digest: of the whole key.
    """

    host: HostNames
    facts: str
    lease: str
    fence: str
    member: str
    digest: str


class Keyspace:
    """The names under one prefix. Several fleets may share a store under different ones.

    measured_as: by perspective, what makes the measurements of one replica other than those of the
    next, such as the clients that it stands for. Where it differs, nothing is shared but
    invalidations. watched_from: the perspective of the watch list.
    watch: where its schedule is kept. changes: by shard, where the last verdicts about watched
    endpoints are kept, and their changes. history: names both in cursors. delivery: who delivers
    these changes to the webhook, and how far. members: where replicas say that they are there,
    which measure with engines of their own.
    """

    def __init__(
        self,
        prefix: str,
        *,
        measured_as: Callable[[str], str] = lambda _perspective: "",
        watched_from: str = DEFAULT_PERSPECTIVE,
    ) -> None:
        self._stem = f"{prefix}:{_LAYOUT}"
        self._measured_as = measured_as
        self.notices = tuple(self._shard(number) + ":notices" for number in range(SHARDS))
        # Who would measure otherwise, or does not find the facts, has a schedule of its own.
        watched = _digest(measured_as(watched_from), PROBE_REVISION, watched_from)
        schedule = f"{self._stem}:{{watch}}:{watched}"
        self.watch = (f"{schedule}:due", f"{schedule}:kept")
        self.changes = tuple(
            (f"{shard}:verdicts:{watched}", f"{shard}:changes:{watched}")
            for shard in map(self._shard, range(SHARDS))
        )
        self.delivery = f"{self._stem}:{{delivery}}:{watched}"
        self.history = _digest(self._stem, watched)
        self.members = f"{self._stem}:{{members}}"
        self.names = lru_cache(maxsize=16_384)(self._names)

    def host(self, host: str) -> HostNames:
        """Return the names of a canonical host."""
        digest = _digest(host)
        number = int(digest[:8], 16) % SHARDS
        shard = self._shard(number)
        return HostNames(
            index=f"{shard}:index:{digest}",
            epoch=f"{shard}:epoch:{digest}",
            notices=self.notices[number],
            stem=f"{shard}:facts:",
        )

    def shard_of(self, name: str) -> int:
        """Return where the changes of a watched endpoint are, by its name."""
        return int(_digest(name)[:8], 16) % SHARDS

    def slots(self, address: str) -> str:
        """Return the name of the connection slots of an address, whatever is measured there."""
        digest = _digest(address)
        return f"{self._shard(int(digest[:8], 16) % SHARDS)}:slots:{digest}"

    def _names(self, key: FactsKey) -> Names:
        host = self.host(key.host)
        digest = _digest(self._measured_as(key.perspective), *map(str, key))
        shard = host.stem.removesuffix(":facts:")
        return Names(
            host=host,
            facts=host.stem + digest,
            lease=f"{shard}:lease:{digest}",
            fence=f"{shard}:fence:{digest}",
            member=f"{key.port}:{digest}",
            digest=digest,
        )

    def _shard(self, number: int) -> str:
        return f"{self._stem}:{{{number:02x}}}"


def _digest(*parts: str) -> str:
    """Return a name for texts, of which no other texts have the same: 128 bits of SHA-256."""
    hashed = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        hashed.update(len(encoded).to_bytes(4, "big") + encoded)
    return hashed.hexdigest()[:32]
