"""The book of CRLs: what displaces what, what is due, and what is forgotten."""

from dataclasses import dataclass, field
from datetime import timedelta

from otpc_policy.check import CrlBook
from otpc_policy.check.crl_book import CrlSource
from otpc_policy.pki.crl import CrlStatement
from tests.check.crls import AUTHORITY, LEAF, URL, issue, listing, numbered
from tests.support.certificates import Issued
from tests.support.crls import question
from tests.support.facts import NOW

HOUR = timedelta(hours=1)
SHA256 = bytes.fromhex(LEAF.sha256)


@dataclass
class Kept:
    """A book, and the clock that its test moves."""

    now_s: float = 1_000.0
    max_leaves: int = 10
    max_bytes: int = 1 << 20
    wishes: int = 0
    book: CrlBook = field(init=False)

    def __post_init__(self) -> None:
        self.book = CrlBook(
            monotonic=lambda: self.now_s, max_leaves=self.max_leaves, max_bytes=self.max_bytes
        )
        self.book.wished = self._wished

    def _wished(self) -> None:
        self.wishes += 1

    def about(self, issued: Issued = LEAF) -> CrlStatement | None:
        return self.book.about(question(issued, AUTHORITY))

    def source(self) -> CrlSource:
        """Return the only source there is, which is now not due for an hour."""
        self.now_s += 7_200.0
        (source,) = self.book.due()
        source.due_s = self.now_s + 3_600.0
        return source


def is_revoked(statement: CrlStatement | None) -> bool | None:
    if statement is None or statement.problem:
        return None
    return statement.revoked_at is not None


def test_to_ask_is_to_wish_once() -> None:
    kept = Kept()
    assert [kept.about() for _ in range(3)] == [None] * 3
    assert kept.wishes == 1
    assert [source.url.text for source in kept.book.due()] == [URL]
    assert kept.book.next_due_s() == 1_000.0
    kept.about(issue(URL))
    assert (kept.wishes, len(kept.book.due())) == (1, 1)


def test_each_change_has_grounds_of_its_own_and_nothing_else_has() -> None:
    kept = Kept()
    book, other = kept.book, bytes.fromhex(issue(URL).sha256)
    kept.about()
    nothing = book.grounds([SHA256])
    assert nothing == ()
    source = kept.source()
    book.brought(source, listing())
    good = book.grounds([SHA256])
    book.brought(source, listing())
    assert book.grounds([SHA256]) == good != nothing
    book.failed(source, "why")
    assert book.grounds([SHA256]) == good
    book.brought(source, listing(LEAF, at=NOW))
    assert book.grounds([SHA256]) not in (good, nothing)
    assert book.grounds([SHA256, other]) == book.grounds([other, SHA256, SHA256])
    assert book.grounds([other]) == ()


def test_a_later_leaf_of_the_same_list_needs_no_fetch() -> None:
    kept = Kept()
    kept.about()
    other = issue(URL)
    kept.book.brought(kept.source(), listing(other))
    assert is_revoked(kept.about()) is False
    assert is_revoked(kept.about(other)) is True
    assert kept.book.due() == []


def test_newer_lists_displace_older_ones_and_never_the_reverse() -> None:
    kept = Kept()
    kept.about()
    source = kept.source()
    kept.book.brought(source, listing(LEAF, at=NOW))
    kept.book.brought(source, listing(at=NOW - HOUR))
    assert is_revoked(kept.about()) is True
    late = issue(URL)
    assert is_revoked(kept.about(late)) is False
    kept.book.brought(source, listing(at=NOW + HOUR))
    assert is_revoked(kept.about()) is False


def test_an_old_list_displaces_nothing_though_the_newer_one_was_not_kept() -> None:
    kept = Kept(max_bytes=10)
    kept.about()
    source = kept.source()
    kept.book.brought(source, listing(LEAF, at=NOW))
    assert kept.book.kept_lists == 0
    kept.book.brought(source, listing(at=NOW - HOUR))
    assert is_revoked(kept.about()) is True


def test_failures_are_said_and_displace_nothing() -> None:
    kept = Kept()
    kept.about()
    source = kept.source()
    kept.book.failed(source, "its host does not serve it")
    said = kept.about()
    assert said is not None
    assert said.problem == f"the CRL at {URL}: its host does not serve it"
    late = kept.about(issue(URL))
    assert late is not None
    assert late.problem == said.problem
    kept.book.brought(source, listing(LEAF))
    assert is_revoked(kept.about()) is True
    kept.book.failed(source, "its host does not serve it")
    assert is_revoked(kept.about()) is True


def test_a_list_that_was_not_kept_is_fetched_again_for_a_later_leaf() -> None:
    kept = Kept(max_bytes=10)
    kept.about()
    kept.book.brought(kept.source(), listing())
    assert kept.book.due() == []
    kept.about(issue(URL))
    assert len(kept.book.due()) == 1


def test_of_two_points_the_newest_knowledge_counts() -> None:
    kept = Kept()
    issued = issue(URL)
    kept.about(issued)
    first = kept.source()
    kept.book.failed(first, "why")
    assert is_revoked(kept.about(issued)) is None
    kept.book.brought(first, listing(issued))
    assert is_revoked(kept.about(issued)) is True


def test_what_nobody_judges_for_a_day_is_forgotten_with_its_list() -> None:
    kept = Kept()
    kept.about()
    kept.book.brought(kept.source(), listing())
    kept.now_s += 86_000.0
    kept.about()
    kept.book.forget_unasked()
    assert kept.book.kept_lists == 1
    kept.now_s += 86_401.0
    kept.book.forget_unasked()
    assert (kept.book.kept_lists, kept.book.kept_bytes, kept.book.next_due_s()) == (0, 0, None)
    assert kept.book.grounds([SHA256]) == ()


def test_a_fetch_for_what_was_forgotten_leaves_nothing() -> None:
    kept = Kept()
    kept.about()
    source = kept.source()
    kept.now_s += 90_000.0
    kept.book.forget_unasked()
    kept.book.brought(source, listing())
    kept.book.failed(source, "why")
    assert kept.book.kept_lists == 0


def test_leaves_are_bounded_and_revoked_ones_go_last() -> None:
    kept = Kept(max_leaves=3)
    others = [issue(URL) for _ in range(4)]
    kept.about()
    kept.book.brought(kept.source(), listing(LEAF))
    before = kept.book.grounds([SHA256])
    for issued in others:
        kept.about(issued)
    assert kept.book.grounds([SHA256]) == before
    assert kept.book.grounds([bytes.fromhex(others[0].sha256)]) == ()
    assert kept.book.grounds([bytes.fromhex(others[-1].sha256)]) != ()


MANY = 5_000


def asked_by_many(kept: Kept) -> CrlSource:
    for number in range(MANY):
        kept.book.about(numbered(number))
    kept.about()
    return kept.source()


def test_whoever_asks_is_told_first_and_the_others_some_at_a_time() -> None:
    kept = Kept(max_leaves=2 * MANY)
    source = asked_by_many(kept)
    book, revision = kept.book, kept.book.revision
    book.brought(source, listing(LEAF))
    assert book.is_telling
    assert book.revision > revision
    # LEAF asked last.
    assert book.grounds([SHA256]) != ()
    assert is_revoked(kept.about()) is True
    last = numbered(MANY - 1)
    before = book.revision
    assert is_revoked(book.about(last)) is False
    assert book.grounds([last.subject.sha256]) == (book.revision,) != (before,)
    rounds = 0
    while book.is_telling:
        book.tell_some()
        rounds += 1
    assert rounds == MANY // 1_000 - 1
    after = book.revision
    assert is_revoked(book.about(numbered(MANY - 2))) is False
    assert book.revision == after


def test_what_is_brought_while_leaves_are_told_is_told_to_all() -> None:
    kept = Kept(max_leaves=2 * MANY, max_bytes=10)
    source = asked_by_many(kept)
    book = kept.book
    book.brought(source, listing(LEAF, at=NOW))
    # Neither is kept, and the older one is still displaced.
    book.brought(source, listing(at=NOW - HOUR))
    book.failed(source, "why")
    late = issue(URL)
    assert is_revoked(kept.about(late)) is False
    while book.is_telling:
        book.tell_some()
    assert is_revoked(kept.about()) is True
    assert is_revoked(book.about(numbered(MANY - 1))) is False


def test_forgetting_is_done_some_at_a_time_and_ends_telling() -> None:
    kept = Kept(max_leaves=2 * MANY)
    source = asked_by_many(kept)
    kept.book.brought(source, listing())
    kept.now_s += 90_000.0
    kept.book.forget_unasked()
    assert kept.book.is_telling
    assert kept.book.next_due_s() is not None
    for _ in range(MANY // 1_000):
        kept.book.forget_unasked()
    assert kept.book.next_due_s() is None
    assert not kept.book.is_telling
    assert kept.book.kept_lists == 0
