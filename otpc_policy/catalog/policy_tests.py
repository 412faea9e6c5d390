"""Policy tests: saved facts, a fixed clock, and what a policy must make of them.

A test is judged as a check would be, by everything in the catalog: both policies, and the trust,
agreements and waivers of the partner whose endpoint the facts describe.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.files import POLICY_TEST_SUFFIX, files_in, read_text
from otpc_policy.catalog.problems import problems_of, refusal
from otpc_policy.catalog.schemas.policy_test import PolicyTestDocument, PolicyTestTable, ReadFile
from otpc_policy.catalog.toml_lines import TomlLines, decode_toml
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import ConfigurationError, UnknownPolicy
from otpc_policy.core.facts import ClientAuth, EndpointFacts
from otpc_policy.pki.trust import TrustEntry
from otpc_policy.policy.finding import Decision, Finding, Verdict
from otpc_policy.policy.model import Policy
from otpc_policy.policy.service_findings import denied


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTest:
    """One policy test.

    place: "file:line", for people.
    policy_name: "" for the default policy.
    at: the clock.
    trust: entries of this test, in addition to those of the catalog.
    expected_client_auth: the agreement, instead of the one in the partner's entry; None for that.
    decision, evaluated_decision: expected; None is not compared.
    codes: of all findings, exactly these, whatever their effect; None is not compared.
    codes_at_least: these and perhaps others; None is not compared.
    """

    name: str
    place: str
    facts: EndpointFacts
    policy_name: str
    at: datetime
    trust: tuple[TrustEntry, ...] = ()
    expected_client_auth: ClientAuth | None = None
    decision: Decision
    evaluated_decision: Decision | None = None
    codes: frozenset[str] | None = None
    codes_at_least: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTestOutcome:
    """How a policy test ended.

    policy: None if none has the name. differences: for people; none if the test passed.
    """

    test: PolicyTest
    policy: Policy | None
    differences: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """The verdict is the expected one."""
        return not self.differences


def parse_policy_tests(text: str, place: str, read: ReadFile) -> tuple[PolicyTest, ...]:
    """Return the tests of a document, at least one.

    place: the document's name in problems.
    read: returns the text of a file that the document names; raises ConfigurationError.
    Raises ConfigurationError with every problem as "place:line: key: what is wrong".
    """
    table, lines = decode_toml(text, place), TomlLines(text, place)
    try:
        document = PolicyTestDocument.model_validate(table, context={"read": read})
    except ValidationError as error:
        raise refusal(problems_of(error, PolicyTestDocument), lines) from None
    return tuple(_test(case, lines.at(("case", at))) for at, case in enumerate(document.case))


def read_policy_tests(places: Iterable[str]) -> tuple[PolicyTest, ...]:
    """Return the tests of these documents. Files that they name are relative to their folder.

    Raises ConfigurationError with the problems of every document.
    """
    tests: list[PolicyTest] = []
    problems: list[str] = []
    for place in places:
        try:
            tests += parse_policy_tests(read_text(place), place, _reader(Path(place).parent))
        except ConfigurationError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigurationError(problems)
    return tuple(tests)


def policy_test_places(policy_places: Iterable[str]) -> tuple[str, ...]:
    """Return the paths of the test documents in the folders of these policy documents.

    Raises ConfigurationError if a folder cannot be read.
    """
    folders = dict.fromkeys(Path(place).parent for place in policy_places)
    return tuple(
        place
        for folder in folders
        if folder.is_dir()
        for place in files_in(folder, POLICY_TEST_SUFFIX, "policy tests")
    )


def run_policy_tests(tests: Sequence[PolicyTest], catalog: Catalog) -> Iterator[PolicyTestOutcome]:
    """Judge every test under the catalog and compare."""
    for test in tests:
        try:
            policy = catalog.policies.get(test.policy_name)
        except UnknownPolicy:
            names = ", ".join(sorted(catalog.policies.policies))
            difference = f"policy: no policy is named {test.policy_name!r}; expected one of {names}"
            yield PolicyTestOutcome(test=test, policy=None, differences=(difference,))
        else:
            differences = tuple(_differences(test, policy.name, _verdict(test, catalog)))
            yield PolicyTestOutcome(test=test, policy=policy, differences=differences)


def require_policy_tests(tests: Sequence[PolicyTest], catalog: Catalog) -> None:
    """Raise ConfigurationError with every test that does not pass."""
    problems = [
        f"{outcome.test.place}: policy test {outcome.test.name!r}: {difference}"
        for outcome in run_policy_tests(tests, catalog)
        for difference in outcome.differences
    ]
    if problems:
        raise ConfigurationError(problems)


def _reader(folder: Path) -> ReadFile:
    return lambda name: read_text(str(folder / name))


def _test(case: PolicyTestTable, place: str) -> PolicyTest:
    if case.at is None:
        raise AssertionError("the schema takes the instant from the facts")
    expect = case.expect
    return PolicyTest(
        name=case.name,
        place=place,
        facts=case.facts,
        policy_name=case.policy,
        at=case.at,
        trust=_trust(case),
        expected_client_auth=case.client_auth,
        decision=expect.decision,
        evaluated_decision=expect.evaluated_decision,
        codes=None if expect.codes is None else frozenset(expect.codes),
        codes_at_least=None if expect.codes_at_least is None else frozenset(expect.codes_at_least),
    )


def _trust(case: PolicyTestTable) -> tuple[TrustEntry, ...]:
    if not (case.anchor_files or case.certificate_sha256 or case.spki_sha256):
        return ()
    entry = TrustEntry(
        hosts=(case.facts.server_name,),
        anchors=tuple(anchor for anchors in case.anchor_files for anchor in anchors),
        certificate_pins=frozenset(case.certificate_sha256),
        spki_pins=frozenset(case.spki_sha256),
        note="from the policy test",
    )
    return (entry,)


def _verdict(test: PolicyTest, catalog: Catalog) -> Verdict:
    endpoint = parse_endpoint(test.facts.host, test.facts.port, test.facts.server_name)
    context = catalog.context_for(endpoint, test.policy_name)
    if (refusal := context.refusal(endpoint)) is not None:
        return denied(refusal)
    trust = replace(context.trust, entries=(*test.trust, *context.trust.entries))
    in_test = test.expected_client_auth
    agreed = context.expected_client_auth if in_test is None else (in_test,)
    return replace(context, trust=trust, expected_client_auth=agreed).evaluate(test.facts, test.at)


def _differences(test: PolicyTest, policy_name: str, verdict: Verdict) -> Iterator[str]:
    if verdict.decision is not test.decision:
        yield f"decision: expected {test.decision.value}, got {verdict.decision.value}"
    if test.evaluated_decision not in (None, verdict.evaluated_decision):
        expected, got = test.evaluated_decision, verdict.evaluated_decision
        yield f"evaluated_decision: expected {expected.value}, got {got.value}"
    found = {finding.code for finding in verdict.findings}
    for code in sorted((test.codes or test.codes_at_least or frozenset()) - found):
        yield f"missing: {code}"
    for finding in verdict.findings:
        if test.codes is not None and finding.code not in test.codes:
            yield f"not expected: {_described(finding, policy_name)}"
    if verdict.decision is not test.decision and test.codes is None:
        for finding in verdict.findings:
            yield f"because of: {_described(finding, policy_name)}"


def _described(finding: Finding, policy_name: str) -> str:
    """Return a finding for people. policy_name: of the test, which need not be told."""
    by = ", ".join(finding.policies) or policy_name
    parts = (
        finding.effect.value,
        "" if by == policy_name else f"policy {by}",
        finding.rule_id and f"rule {finding.rule_id}",
        finding.address and f"at {finding.address}",
    )
    return f"{finding.code} ({', '.join(filter(None, parts))}): {finding.message}"
