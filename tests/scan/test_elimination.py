"""The planner against invented servers: what each behaviour proves, and that nothing else is ever called NO."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpc_policy.facts import Evidence, TlsVersion
from otpc_policy.scan.elimination import KnownGood, Plan, Question
from otpc_policy.scan.evidence import Reaction, observe
from otpc_policy.scan.handshake import Ending, HandshakeOffer, HandshakeOutcome
from tests.scan.partners import offer, server_hello

TLS12 = offer(443, suites=(0x002F, 0x0035, 0xC02F, 0xC030, 0xC02B))
GOOD = KnownGood(replace(TLS12, legacy=True), 0xCCA8)
Server = Callable[[HandshakeOffer, int], HandshakeOutcome]


def hello(offered: HandshakeOffer, suite: int, version: int = 0x0303) -> HandshakeOutcome:
    first = server_hello(suite, version)
    return HandshakeOutcome(ending=Ending.COMPLETED, connected=True, offered=offered.cipher_suites, first_bytes=first, key_proven=True, chain=(b"leaf",))


def alert(offered: HandshakeOffer, description: int = 40) -> HandshakeOutcome:
    first = bytes([0x15, 3, 3, 0, 2, 2, description])
    return HandshakeOutcome(ending=Ending.FAILED, connected=True, offered=offered.cipher_suites, first_bytes=first)


def ended(offered: HandshakeOffer, ending: Ending = Ending.CLOSED) -> HandshakeOutcome:
    return HandshakeOutcome(ending=ending, connected=ending is not Ending.REFUSED, offered=offered.cipher_suites)


def taking(*suites: int, refuse: Callable[[HandshakeOffer], HandshakeOutcome] = alert) -> Server:
    """A server that prefers suites in this order."""

    def react(offered: HandshakeOffer, place: int) -> HandshakeOutcome:
        chosen = next((suite for suite in suites if suite in offered.cipher_suites), None)
        return refuse(offered) if chosen is None else hello(offered, chosen)

    return react


def drive(plan: Plan, server: Server) -> list[HandshakeOffer]:
    """Let a plan talk to a server; return what it offered."""
    offers: list[HandshakeOffer] = []
    try:
        offered = next(plan)
        while True:
            offers.append(offered)
            assert len(offers) < 60
            offered = plan.send(server(offered, len(offers)))
    except StopIteration:
        return offers


def test_elimination_lists_what_is_taken_and_proves_the_rest_refused_between_controls() -> None:
    question = Question(offer=TLS12)
    offers = drive(question.ask(), taking(0xC02B, 0xC02F))
    assert list(question.accepted) == [0xC02B, 0xC02F]
    assert question.remaining == [0x002F, 0x0035, 0xC030]
    assert question.absence is Evidence.ALERT
    assert [one.cipher_suites for one in offers] == [
        (0x002F, 0x0035, 0xC02F, 0xC030, 0xC02B),
        (0x002F, 0x0035, 0xC02F, 0xC030),
        (0x002F, 0x0035, 0xC030),
        (0x002F, 0x0035, 0xC030, 0xC02F),
    ]


def test_a_chunk_refused_from_the_start_is_controlled_before_and_after_with_the_same_chunk() -> None:
    question = Question(offer=TLS12)
    offers = drive(question.ask([GOOD]), taking(0xCCA8))
    assert (question.absence, question.accepted) == (Evidence.ALERT, {})
    control = (*TLS12.cipher_suites, 0xCCA8)
    assert [(one.cipher_suites, one.legacy) for one in offers] == [(control, True), (TLS12.cipher_suites, False), (control, True)]


def test_a_refusal_without_anything_known_to_be_good_stays_open_and_is_settled_later() -> None:
    question = Question(offer=TLS12)
    drive(question.ask(), taking(0xCCA8))
    assert (question.settled, question.absence) == (False, Evidence.NONE)
    drive(question.ask([GOOD]), taking(0xCCA8))
    assert (question.settled, question.absence) == (True, Evidence.ALERT)


@pytest.mark.parametrize("refuse", [ended, lambda one: ended(one, Ending.RESET), lambda one: alert(one, 80)])
def test_closes_resets_and_internal_errors_need_three_between_four_controls(refuse: Callable[[HandshakeOffer], HandshakeOutcome]) -> None:
    question = Question(offer=TLS12)
    offers = drive(question.ask([GOOD]), taking(0xCCA8, refuse=refuse))
    assert question.absence is Evidence.CLOSED_CONFIRMED
    assert [0xCCA8 in one.cipher_suites for one in offers] == [True, False] * 3 + [True]


@pytest.mark.parametrize("description", [0, 10, 20, 42, 49, 50, 86, 90, 109, 112, 120])
def test_every_other_alert_proves_nothing(description: int) -> None:
    question = Question(offer=TLS12)
    drive(question.ask([GOOD]), taking(0xCCA8, refuse=lambda one: alert(one, description)))
    assert (question.settled, question.absence) == (True, Evidence.NONE)
    assert question.remarks


@pytest.mark.parametrize("ending", [Ending.TIMED_OUT, Ending.BYTE_LIMIT, Ending.REFUSED, Ending.UNREACHABLE, Ending.NOT_RUN])
def test_silence_and_lost_connections_prove_nothing(ending: Ending) -> None:
    question = Question(offer=TLS12)
    drive(question.ask([GOOD]), taking(0xCCA8, refuse=lambda one: ended(one, ending)))
    assert (question.settled, question.absence) == (True, Evidence.NONE)


def test_a_close_that_is_followed_by_an_acceptance_is_no_refusal() -> None:
    question = Question(offer=TLS12)

    def flaky(offered: HandshakeOffer, place: int) -> HandshakeOutcome:
        return ended(offered) if place == 1 else taking(0xC02F)(offered, place)

    question.accepted[0xC02B] = hello(TLS12, 0xC02B)
    question.remaining.remove(0xC02B)
    drive(question.ask(), flaky)
    assert 0xC02F in question.accepted


def test_a_control_may_reveal_an_acceptance() -> None:
    question = Question(offer=TLS12)

    def hidden(offered: HandshakeOffer, place: int) -> HandshakeOutcome:
        return taking(0xC030, 0xCCA8)(offered, place) if 0xCCA8 in offered.cipher_suites else alert(offered)

    drive(question.ask([GOOD]), hidden)
    assert list(question.accepted) == [0xC030]
    assert 0xC030 not in question.remaining


def test_a_suite_that_was_not_offered_is_a_violation_and_unknown() -> None:
    question = Question(offer=TLS12)
    drive(question.ask([GOOD]), lambda offered, place: hello(offered, 0xCCA8 if place == 1 else 0x0005))
    assert question.absence is Evidence.NONE
    assert question.accepted == {}
    assert question.remarks == ["protocol violation: the server chose cipher suite TLS_RSA_WITH_RC4_128_SHA, which was not offered"]


def test_a_lower_version_proves_that_this_one_is_not_offered() -> None:
    question = Question(offer=TLS12)
    drive(question.ask(), lambda offered, place: hello(offered, 0x002F, version=0x0301))
    assert (question.absence, question.version_accepted) == (Evidence.LOWER_VERSION, False)


@pytest.mark.parametrize(("version", "suite"), [(0x0304, 0xC02F), (0x0305, 0xC02F), (0x0303, 0x1301), (0x0002, 0xC02F)])
def test_versions_beyond_the_offer_and_suites_of_another_version_are_violations(version: int, suite: int) -> None:
    offered = replace(TLS12, cipher_suites=(0xC02F, 0x1301))
    seen = observe(offered, hello(offered, suite, version=version))
    assert seen.reaction is Reaction.UNPROVEN
    assert seen.remark.startswith("protocol violation")


def test_suites_that_never_reached_the_wire_are_no_facts() -> None:
    question = Question(offer=TLS12)

    def partial(offered: HandshakeOffer, place: int) -> HandshakeOutcome:
        outcome = taking(0xC02B)(offered, place)
        return replace(outcome, offered=tuple(suite for suite in offered.cipher_suites if suite != 0x0035))

    drive(question.ask(), partial)
    assert question.remaining == [0x002F, 0xC02F, 0xC030]


def test_one_server_hello_of_ssl_2_tells_all() -> None:
    kinds = (0x010080, 0x0700C0)
    ssl2 = Question(offer=offer(443, version=TlsVersion.SSL_2_0, suites=kinds, legacy=True))
    body = bytes.fromhex("04 00 01 0002 0000 0003 0000 0700c0")
    answer = HandshakeOutcome(ending=Ending.FAILED, connected=True, offered=kinds, first_bytes=(0x8000 | len(body)).to_bytes(2, "big") + body)
    offers = drive(ssl2.ask(), lambda offered, place: answer)
    assert (len(offers), ssl2.version_accepted, list(ssl2.accepted), ssl2.remaining) == (1, True, [0x0700C0], [0x010080])


FAULTS: Sequence[Callable[[HandshakeOffer], HandshakeOutcome]] = (
    alert,
    ended,
    lambda one: alert(one, 70),
    lambda one: alert(one, 80),
    lambda one: ended(one, Ending.RESET),
    lambda one: ended(one, Ending.TIMED_OUT),
    lambda one: ended(one, Ending.REFUSED),
)


@given(
    taken=st.lists(st.sampled_from(TLS12.cipher_suites), unique=True),
    starts_at=st.integers(1, 12),
    fault=st.sampled_from(FAULTS),
    refuse=st.sampled_from(FAULTS),
)
def test_a_server_that_turns_against_us_is_never_believed_to_lack_what_it_has(
    taken: list[int], starts_at: int, fault: Callable[[HandshakeOffer], HandshakeOutcome], refuse: Callable[[HandshakeOffer], HandshakeOutcome]
) -> None:
    """Whatever it does from some connection on, and however it refuses before, nothing that it takes is called absent."""
    question = Question(offer=TLS12)
    good = taking(*taken, 0xCCA8, refuse=refuse)
    drive(question.ask([GOOD]), lambda offered, place: fault(offered) if place >= starts_at else good(offered, place))
    if question.absence in (Evidence.ALERT, Evidence.CLOSED_CONFIRMED):
        assert not set(question.remaining) & set(taken)
    assert set(question.accepted) <= set(taken)
