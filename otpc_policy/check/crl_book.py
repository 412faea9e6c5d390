"""What CRLs say of the leaves that were judged, and which lists are to be fetched.

Judging asks here and never waits: what it asks for the first time is unknown, and noted. Whoever
fetches (crl_refresh) takes up what is due and brings lists. Each change of what is known about a
leaf gets a number of its own, by which verdicts notice that they rest on something else.

Knowledge is displaced by newer knowledge only, by thisUpdate: neither by a failed fetch nor by an
older list that somebody on the path plays back. Time ends it (pki.crl.judge_statement).

A list may speak of every leaf there is. To tell them all takes too long for one go, so they are
told some at a time, and whoever asks about a leaf meanwhile has it told first.

What was asked about is bounded, and so are the lists. A leaf that is forgotten is asked about anew
when it is judged again; of those that may be forgotten, revoked ones go last.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from otpc_policy.core.fetching import HttpUrl
from otpc_policy.pki.crl import CrlPoint, CrlQuestion, CrlStatement, CrlSubject, RevocationList
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.recently_used import RecentlyUsed

# Facts live for an hour at most unless a policy says more, so a leaf in use is judged as often.
_FORGET_S: Final = 86_400.0
# How many revoked leaves are passed over in the search for one to be forgotten.
_PASSED_OVER: Final = 64
# Leaves that are told, or forgotten, in one go: 5 ms.
_LEAVES_AT_A_TIME: Final = 1_000
# Among how many who ask for one list its fetch may be counted.
_MAX_OWNERS: Final = 8

SourceKey = tuple[str, str]
"""The URL, and SHA-256 of the issuer in hexadecimal."""
Owners = tuple[str, ...]
"""As of CrlQuestion."""
LeafKey = tuple[bytes, str]
"""SHA-256 of the leaf, and in hexadecimal of its issuer."""


@dataclass(slots=True, eq=False)
class CrlSource:
    """A list of one issuer at one URL, and when it is fetched next.

    due_s: an instant of the monotonic clock. failures: in a row. problem: why the last fetch
    brought nothing, for people; "" if it did, or there was none. askers: keys of questions. owners:
    of the first few of these.
    """

    url: HttpUrl
    issuer: DecodedCertificate
    due_s: float
    failures: int = 0
    problem: str = ""
    askers: dict[LeafKey, None] = field(default_factory=dict)
    owners: dict[Owners, None] = field(default_factory=dict)

    @property
    def key(self) -> SourceKey:
        """Tells it from other sources."""
        return self.url.text, self.issuer.view.sha256


@dataclass(slots=True, eq=False)
class _Asked:
    subject: CrlSubject
    asked_s: float
    statement: CrlStatement | None = None


@dataclass(slots=True, eq=False)
class _Telling:
    """Leaves that are to be told of a list. found: None for why there is none. left: whom still."""

    source: CrlSource
    found: RevocationList | None
    left: dict[LeafKey, None]


class CrlBook:
    """Statements by leaf. For one event loop. Satisfies pki.crl.CrlStatements.

    monotonic: seconds. max_leaves: how many are remembered. max_bytes: of lists that are kept for
    leaves yet to come. wished: is called when something is due at once.
    """

    def __init__(self, *, monotonic: Callable[[], float], max_leaves: int, max_bytes: int) -> None:
        self._monotonic, self._max_leaves = monotonic, max_leaves
        self._asked: OrderedDict[LeafKey, _Asked] = OrderedDict()
        self._sources: dict[SourceKey, CrlSource] = {}
        self._lists = RecentlyUsed[SourceKey, RevocationList](
            max_entries=max_leaves, max_weight=max_bytes, weigh=lambda kept: kept.size
        )
        self._telling: dict[SourceKey, _Telling] = {}
        # By SHA-256 of the leaf: the number of the last change of what is known about it.
        self._changes: dict[bytes, int] = {}
        self.revision = 0
        self.wished: Callable[[], object] = lambda: None

    @property
    def kept_lists(self) -> int:
        """Lists that are kept."""
        return len(self._lists)

    @property
    def kept_bytes(self) -> int:
        """Bytes of the lists that are kept."""
        return self._lists.weight

    def grounds(self, leaves: Iterable[bytes]) -> tuple[int, ...]:
        """Return what verdicts about these leaves (SHA-256) rest on here, by name.

        Equal as long as nothing else is known about any of them.
        """
        if self._telling:
            leaves = tuple(leaves)
            for telling in tuple(self._telling.values()):
                for leaf in leaves:
                    self._tell(telling, (leaf, telling.source.key[1]))
        if not self._changes:
            return ()
        changes = self._changes
        return tuple(sorted({changes[leaf] for leaf in leaves if leaf in changes}))

    def about(self, question: CrlQuestion) -> CrlStatement | None:
        """Return what is known, and see to it that more will be."""
        now_s = self._monotonic()
        key = question.subject.sha256, question.issuer.view.sha256
        asked = self._asked.get(key)
        if asked is None:
            return self._begin(key, question, now_s).statement
        asked.asked_s = now_s
        self._asked.move_to_end(key)
        for telling in tuple(self._telling.values()):
            self._tell(telling, key)
        return asked.statement

    def due(self) -> list[CrlSource]:
        """Return the sources that are to be fetched by now, the one overdue longest first."""
        now_s = self._monotonic()
        due = [source for source in self._sources.values() if source.due_s <= now_s]
        return sorted(due, key=lambda source: source.due_s)

    def next_due_s(self) -> float | None:
        """Return the instant at which the next source is due; None without any."""
        return min((source.due_s for source in self._sources.values()), default=None)

    def brought(self, source: CrlSource, found: RevocationList) -> None:
        """Take a list that its issuer has signed, unless a newer one is kept."""
        if self._sources.get(source.key) is not source:
            return  # forgotten meanwhile
        kept = self._newest(source.key)
        if kept is not None and kept.this_update > found.this_update:
            found = kept
        else:
            self._lists.put(source.key, found)
        self._settle(source, found)

    def failed(self, source: CrlSource, problem: str) -> None:
        """Note why a fetch brought nothing. What is known stays."""
        source.problem = problem
        self._settle(source, self._newest(source.key))

    @property
    def is_telling(self) -> bool:
        """There are leaves that have not been told yet of what was brought, or failed."""
        return bool(self._telling)

    def tell_some(self) -> None:
        """Tell some of the leaves that are left."""
        for telling in tuple(self._telling.values())[:1]:
            for key in tuple(islice(telling.left, _LEAVES_AT_A_TIME)):
                self._tell(telling, key)

    def forget_unasked(self) -> None:
        """Forget leaves that nobody has judged for a day, and what only they needed: some of them.

        The others with the next call.
        """
        until_s = self._monotonic() - _FORGET_S
        for _ in range(min(_LEAVES_AT_A_TIME, len(self._asked))):
            key, asked = next(iter(self._asked.items()))
            if asked.asked_s > until_s:
                return
            self._forget(key)

    def _begin(self, key: LeafKey, question: CrlQuestion, now_s: float) -> _Asked:
        while len(self._asked) >= self._max_leaves:
            self._forget(self._to_be_forgotten())
        asked = self._asked[key] = _Asked(question.subject, now_s)
        for point in question.subject.points:
            source = self._source(point, question.issuer, now_s)
            source.askers[key] = None
            if len(source.owners) < _MAX_OWNERS:
                source.owners[question.owners] = None
            self._lists.get(source.key)  # it is in use
            found = self._newest(source.key)
            if found is None and not source.problem and source.due_s > now_s:
                # It was fetched, and there was no room to keep it.
                source.due_s = now_s
                self.wished()
            self._learn(asked, _statement(asked.subject, point, found, source.problem))
        return asked

    def _source(self, point: CrlPoint, issuer: DecodedCertificate, now_s: float) -> CrlSource:
        key = point.url.text, issuer.view.sha256
        source = self._sources.get(key)
        if source is None:
            source = self._sources[key] = CrlSource(point.url, issuer, now_s)
            self.wished()
        return source

    def _newest(self, key: SourceKey) -> RevocationList | None:
        """Return the list of a source that is known, be it too large to be kept."""
        telling = self._telling.get(key)
        return telling.found if telling and telling.found else self._lists.peek(key)

    def _settle(self, source: CrlSource, found: RevocationList | None) -> None:
        self._telling.pop(source.key, None)
        if self._sources.get(source.key) is not source:
            return
        telling = self._telling[source.key] = _Telling(source, found, dict(source.askers))
        for key in tuple(islice(telling.left, _LEAVES_AT_A_TIME)):
            self._tell(telling, key)
        if telling.left:
            # Verdicts that were made before rest on what may be outdated.
            self.revision += 1

    def _tell(self, telling: _Telling, key: LeafKey) -> None:
        """Tell a leaf, if it has not been told."""
        if key not in telling.left:
            return
        del telling.left[key]
        source = telling.source
        if not telling.left:
            self._telling.pop(source.key, None)
        asked = self._asked.get(key)
        for point in () if asked is None else asked.subject.points:
            if asked is not None and point.url.text == source.url.text:
                said = _statement(asked.subject, point, telling.found, source.problem)
                self._learn(asked, said)

    def _learn(self, asked: _Asked, said: CrlStatement | None) -> None:
        if said is None or said == asked.statement or not _displaces(said, asked.statement):
            return
        asked.statement = said
        self.revision += 1
        self._changes[asked.subject.sha256] = self.revision

    def _to_be_forgotten(self) -> LeafKey:
        """Return who was asked about longest ago, but for revoked leaves if it can be helped."""
        for _ in range(min(_PASSED_OVER, len(self._asked))):
            key, asked = next(iter(self._asked.items()))
            if asked.statement is None or asked.statement.revoked_at is None:
                return key
            self._asked.move_to_end(key)
        return next(iter(self._asked))

    def _forget(self, key: LeafKey) -> None:
        asked = self._asked.pop(key)
        self._changes.pop(asked.subject.sha256, None)
        for point in asked.subject.points:
            source = self._sources.get((point.url.text, key[1]))
            if source is None:
                continue
            source.askers.pop(key, None)
            if not source.askers:
                del self._sources[source.key]
                self._telling.pop(source.key, None)
                self._lists.discard(source.key)


def _statement(
    subject: CrlSubject, point: CrlPoint, found: RevocationList | None, problem: str
) -> CrlStatement | None:
    url = point.url.brief
    if found is not None:
        return found.says_of(subject, point)
    return CrlStatement(problem=f"the CRL at {url}: {problem}", url=url) if problem else None


def _displaces(said: CrlStatement, known: CrlStatement | None) -> bool:
    """Whether a statement takes the place of what is known."""
    if known is None or known.this_update is None:
        return True
    return said.this_update is not None and said.this_update >= known.this_update
