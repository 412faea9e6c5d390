"""Surveys of a model server, driven by bytes, and what is concluded from them."""

import random
from dataclasses import dataclass
from functools import cached_property

from otpc_policy.core.facts import Evidence, Support, TlsVersion
from otpc_policy.engine.facts.measured import Measured
from otpc_policy.engine.facts.offers import cipher_suite_facts, version_facts
from otpc_policy.engine.facts.remarks import remarks
from otpc_policy.engine.survey.client_survey import ClientSurvey
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.offers import NO_VARIANTS, Variants, suites_at
from otpc_policy.engine.survey.probe import Ending, Outcome, Probe
from otpc_policy.engine.survey.survey import Survey
from otpc_policy.tls.answer import Alert, Incomplete, parse_answer
from otpc_policy.tls.client_hello import ENTROPY_BYTES, ClientHello, encode_client_hello
from tests.engine.survey.fixed_cast import FIXED_CAST
from tests.engine.survey.model_server import Model, Said, Server

NAME = "gateway.partner.example"


@dataclass
class Surveyed:
    """One survey, and what is concluded from it; read it when the survey is over."""

    planner: Survey
    waves: list[tuple[Probe[ClientHello], ...]]

    @property
    def journal(self) -> Journal:
        return self.planner.journal

    @property
    def hellos(self) -> int:
        return sum(map(len, self.waves))

    @cached_property
    def measured(self) -> Measured:
        return Measured(surveys=(self.journal,), clients=ClientSurvey(NAME, FIXED_CAST))

    @cached_property
    def versions(self) -> dict[TlsVersion, tuple[Support, Evidence]]:
        return {
            fact.version: (fact.support, fact.evidence) for fact in version_facts(self.measured)
        }

    def supports(self, support: Support) -> set[TlsVersion]:
        return {version for version, (found, _) in self.versions.items() if found is support}

    @cached_property
    def _suite_facts(self) -> dict[tuple[TlsVersion, Support], set[int]]:
        facts: dict[tuple[TlsVersion, Support], set[int]] = {}
        for fact in cipher_suite_facts(self.measured):
            facts.setdefault((fact.version, fact.support), set()).add(fact.code_point)
        return facts

    def suites(self, support: Support, version: TlsVersion) -> set[int]:
        return self._suite_facts.get((version, support), set())

    @property
    def known(self) -> dict[TlsVersion, set[int]]:
        """Suites that are accepted, of the versions that are."""
        return {
            version: self.suites(Support.YES, version) for version in self.supports(Support.YES)
        }

    @property
    def remarks(self) -> tuple[str, ...]:
        return remarks(
            self.measured, version_facts(self.measured), cipher_suite_facts(self.measured)
        )


def survey(
    server: Server, server_name: str | None = NAME, variants: Variants = NO_VARIANTS
) -> Surveyed:
    """Drive a survey with bytes, as the prober does: last probes after the others are answered."""
    planner = Survey(server_name, variants)
    done, number = Surveyed(planner, []), 0
    while probes := planner.next_wave():
        outcomes: dict[int, Outcome] = {}
        for place in sorted(range(len(probes)), key=lambda place: probes[place].is_last):
            outcomes[place] = asked(server, probes[place], number)
            number += 1
        planner.take(probes, [outcomes[place] for place in range(len(probes))])
        done.waves.append(probes)
        assert len(done.waves) < 100
    return done


def asked(server: Server, probe: Probe[ClientHello], number: int) -> Outcome:
    """Return what comes of one probe. number: of the connection."""
    return outcome_of(server(encode_client_hello(probe.hello, bytes(range(ENTROPY_BYTES))), number))


def outcome_of(said: Said) -> Outcome:
    answer = parse_answer(said.content)
    whole = not isinstance(answer, Incomplete) and not (
        isinstance(answer, Alert) and answer.level == 1
    )
    return Outcome(ending=Ending.ANSWERED if whole else said.ending, connected=True, answer=answer)


def falsehoods(model: Model, surveyed: Surveyed) -> list[str]:
    """Return what is concluded and is not so."""
    found = []
    for version, (support, _) in surveyed.versions.items():
        accepted = set(model.suites.get(version, ()))
        if support is (Support.NO if version in model.suites else Support.YES):
            found.append(f"{version.label} is {support.value}")
        found += [
            f"{version.label} 0x{suite:04X} is YES"
            for suite in surveyed.suites(Support.YES, version) - accepted
        ]
        found += [
            f"{version.label} 0x{suite:04X} is NO"
            for suite in surveyed.suites(Support.NO, version) & accepted
        ]
    return found


def gaps(model: Model, surveyed: Surveyed) -> list[str]:
    """Return what is UNKNOWN, except kinds of SSL 2: its only answer contains all that exist."""
    found = [version.label for version in surveyed.supports(Support.UNKNOWN)]
    for version, accepted in model.suites.items():
        unknown = (
            surveyed.suites(Support.UNKNOWN, version)
            if version is not TlsVersion.SSL_2_0
            else set()
        )
        if unknown or surveyed.suites(Support.YES, version) != set(accepted):
            found.append(f"{len(unknown)} of {len(suites_at(version))} suites of {version.label}")
    return found


def limited(server: Server, *, after: int, into: Said) -> Server:
    """Serve so many connections, then none."""
    return lambda sent, number: server(sent, number) if number < after else into


def random_refusals(server: Server, *, seed: int, one_in: int, into: Said) -> Server:
    """Refuse by chance."""
    chance = random.Random(seed)
    return lambda sent, number: into if chance.randrange(one_in) == 0 else server(sent, number)
