"""Remarks say in one sentence what a server that accepted nothing did with every connection."""

from dataclasses import replace

import pytest

from otpc_policy.core.remarks import RemarkKind, kind_of_remark
from otpc_policy.engine.facts.deployments import deployment_facts
from otpc_policy.engine.facts.offers import version_facts
from otpc_policy.engine.facts.remarks import remarks
from otpc_policy.engine.profiles.clients import ProfileHello
from otpc_policy.engine.survey.client_survey import ClientSurvey
from otpc_policy.engine.survey.probe import Probe, Purpose
from otpc_policy.tls.flight import ServerFlight
from tests.engine.facts.scans import (
    KNOWN,
    PROVEN,
    SILENT,
    TLS12,
    TLS13,
    measured,
    seen,
    surveyed,
)
from tests.engine.survey.fixed_cast import FIXED_CAST
from tests.engine.survey.model_server import CLOSE, PLAIN_HTTP, RESET, SILENCE, Said, Server, alert
from tests.engine.survey.surveying import NAME


def always(said: Said) -> Server:
    return lambda _hello, _number: said


def in_turn(*said: Said) -> Server:
    return lambda _hello, number: said[number % len(said)]


@pytest.mark.parametrize(
    ("server", "kind"),
    [
        (always(CLOSE), RemarkKind.EVERY_CLOSED),
        (in_turn(CLOSE, RESET), RemarkKind.EVERY_CLOSED),
        (always(RESET), RemarkKind.EVERY_RESET),
        (always(SILENCE), RemarkKind.EVERY_SILENT),
        (always(alert(40)), RemarkKind.EVERY_REFUSED),
        (always(alert(80)), RemarkKind.EVERY_REFUSED),
    ],
)
def test_what_every_connection_met_is_the_only_remark(server: Server, kind: RemarkKind) -> None:
    (remark,) = remarks(measured(server), (), ())
    assert remark.startswith(f"{kind.phrase}")
    assert remark.endswith(" connections)")
    assert kind_of_remark(remark) is kind


@pytest.mark.parametrize(
    "server",
    [
        in_turn(CLOSE, SILENCE),
        in_turn(alert(40), alert(70)),
        in_turn(alert(40), CLOSE),
        always(Said(b"SSH-2.0-OpenSSH_9.2\r\n")),
        always(PLAIN_HTTP),
    ],
)
def test_different_ends_are_not_called_the_same(server: Server) -> None:
    assert not any("every " in remark for remark in remarks(measured(server), (), ()))


@pytest.mark.parametrize(
    ("flaw", "said"),
    [
        (
            "a handshake message of more than 128 KiB",
            "the certificate chain over {} is too large: a handshake message of more than 128 KiB",
        ),
        ("an empty certificate", "the certificate chain over {} could not be read: an empty"),
        (None, "the server ended its flight of {} before its certificate"),
    ],
)
def test_a_chain_that_was_not_read_is_reported_with_its_reason(flaw: str | None, said: str) -> None:
    versions = ((TLS12, 0xC030), (TLS13, 0x1301))
    for version, suite in versions:
        cut = surveyed((TLS12, 0xC02F, PROVEN), (version, suite, ServerFlight(flaw=flaw)))
        found = seen(cut)
        assert deployment_facts(found, version_facts(found))
        (reason,) = (
            text for text in found.unread.values() if not text.startswith("which certificate")
        )
        assert reason.startswith(said.format(version.label))
        assert kind_of_remark(reason) in (RemarkKind.TOO_LARGE, RemarkKind.CERTIFICATE_UNSEEN, None)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "whether {0} is accepted is not known: its hello was not answered"),
        (2, "whether {0} and {1} are accepted is not known: their hellos were not answered"),
        (3, "whether {0}, {1} and {2} are accepted is not known: their hellos were not answered"),
    ],
)
def test_clients_that_were_left_without_an_answer_are_named_together(count: int, said: str) -> None:
    old = FIXED_CAST.old[1 : count + 1]
    asked = ClientSurvey(NAME, replace(FIXED_CAST, old=(), insecure=()))
    hellos = [ProfileHello(profile=profile, server_name=NAME) for profile in old]
    probes = [Probe(hello=hello, purpose=Purpose.REVEAL) for hello in hellos]
    asked.take(probes, [SILENT] * count)
    (remark,) = remarks(seen(KNOWN, asked), (), ())
    assert remark == said.format(*(profile.name for profile in old))
    assert kind_of_remark(remark) is RemarkKind.CLIENT_UNANSWERED
