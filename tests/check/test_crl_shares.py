"""Fetches of CRLs are shared out among those who choose the URLs."""

from dataclasses import dataclass, field

from otpc_policy.check.crl_book import CrlSource, Owners
from otpc_policy.check.crl_shares import CrlShares
from otpc_policy.core.fetching import HttpUrl
from tests.check.crls import AUTHORITY
from tests.support.crls import decoded

ISSUER = decoded(AUTHORITY)
EVIL, GOOD = ("ANCHOR evil", "evil.example"), ("ANCHOR good", "good.example")


def source(host: str, *owners: Owners, due_s: float = 0.0) -> CrlSource:
    url = HttpUrl.parse(f"http://{host}/a.crl")
    return CrlSource(url, ISSUER, due_s, owners=dict.fromkeys(owners or ((),)))


@dataclass
class Sharing:
    """Shares, and the fetches that a test begins and ends."""

    concurrent: int = 4
    now_s: float = 0.0
    begun: list[tuple[CrlSource, Owners]] = field(default_factory=list)
    shares: CrlShares = field(init=False)

    def __post_init__(self) -> None:
        self.shares = CrlShares(self.concurrent)

    def begin(self, *due: CrlSource) -> list[str]:
        """Return the hosts of what was begun."""
        taken = [fetched.url.host for fetched, _ in self.begun]
        chosen = self.shares.choose(due, taken_hosts=taken, now_s=self.now_s)
        self.begun += chosen
        return [fetched.url.host for fetched, _ in chosen]

    def end(self, *, took_s: float, is_failure: bool = False) -> None:
        self.now_s += took_s
        for fetched, owners in self.begun:
            self.shares.ended(
                fetched, owners, took_s=took_s, is_failure=is_failure, now_s=self.now_s
            )
        self.begun.clear()


def many(owners: Owners, count: int, name: str = "evil") -> list[CrlSource]:
    return [source(f"{name}{number}.example", owners) for number in range(count)]


def test_one_anchor_has_half_and_one_endpoint_a_quarter() -> None:
    assert len(Sharing().begin(*many(EVIL, 9))) == 1
    endpoints = [source(f"h{n}.example", ("ANCHOR evil", f"e{n}.example")) for n in range(9)]
    assert Sharing().begin(*endpoints) == ["h0.example", "h1.example"]
    assert Sharing().begin(*endpoints, source("good.example", GOOD)) == [
        "h0.example",
        "h1.example",
        "good.example",
    ]
    assert len(Sharing(16).begin(*endpoints)) == 8
    assert len(Sharing(1).begin(*endpoints, source("good.example", GOOD))) == 1


def test_what_is_under_way_counts_until_it_ends() -> None:
    sharing, evil = Sharing(), many(EVIL, 3)
    sharing.begin(evil[0])
    assert sharing.begin(*evil[1:]) == []
    assert sharing.begin(source("good.example", GOOD)) == ["good.example"]
    sharing.end(took_s=1.0)
    assert sharing.begin(*evil[1:]) == ["evil1.example"]


def test_who_used_the_least_goes_first() -> None:
    sharing, evil, good = Sharing(1), many(EVIL, 3), many(GOOD, 3, "good")
    assert sharing.begin(*evil, *good) == ["evil0.example"]
    sharing.end(took_s=20.0)
    for host in ("good0.example", "good1.example", "good2.example"):
        due = [each for each in (*evil[1:], *good) if each.url.host >= host or each in evil]
        assert sharing.begin(*due) == [host]
        sharing.end(took_s=1.0)
    assert sharing.begin(*evil[1:]) == ["evil1.example"]


def test_endpoints_below_one_anchor_take_turns() -> None:
    sharing = Sharing(1)
    silent, other = ("ANCHOR", "silent.example"), ("ANCHOR", "other.example")
    due = [*many(silent, 3), source("other.example", other)]
    assert sharing.begin(*due) == ["evil0.example"]
    sharing.end(took_s=20.0)
    assert sharing.begin(*due[1:]) == ["other.example"]


def test_a_host_that_failed_goes_behind_others_of_the_same_owners() -> None:
    sharing, due = Sharing(1), many(EVIL, 2)
    assert sharing.begin(*due) == ["evil0.example"]
    sharing.end(took_s=0.0, is_failure=True)
    assert sharing.begin(*due) == ["evil1.example"]


def test_failures_without_delay_count_too_and_are_forgotten_in_time() -> None:
    sharing = Sharing(1)
    evil, good = source("evil.example", EVIL), source("good.example", GOOD)
    sharing.begin(evil)
    sharing.end(took_s=0.0, is_failure=True)
    assert sharing.begin(evil, good) == ["good.example"]
    sharing.end(took_s=1.0)
    assert sharing.begin(good, evil) == ["good.example"]
    sharing.end(took_s=1.0)
    sharing.now_s += 86_400.0
    sharing.begin(good)
    sharing.end(took_s=0.01)
    assert sharing.begin(good, evil) == ["evil.example"]


def test_a_list_that_others_need_as_well_waits_for_none_of_its_owners() -> None:
    sharing = Sharing(1)
    sharing.begin(source("evil.example", EVIL))
    sharing.end(took_s=100.0)
    shared = source("shared.example", EVIL, GOOD)
    busy = source("busy.example", ("ANCHOR busy", "busy.example"))
    assert sharing.begin(busy) == ["busy.example"]
    sharing.end(took_s=1.0)
    assert sharing.begin(busy, shared) == ["shared.example"]


def test_a_host_gets_one_fetch_at_a_time() -> None:
    sharing = Sharing()
    first, second = source("a.example", EVIL), source("a.example", GOOD)
    assert sharing.begin(first, second) == ["a.example"]
    assert sharing.begin(second) == []


def test_unknown_owners_share_by_host_alone() -> None:
    sharing = Sharing(2)
    due = [source(f"{name}.example") for name in ("a", "a", "b", "c")]
    assert sharing.begin(*due) == ["a.example", "b.example"]
    sharing.end(took_s=1.0)
    assert sharing.begin(*due) == ["c.example", "a.example"]
