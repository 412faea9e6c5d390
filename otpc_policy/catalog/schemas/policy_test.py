"""Documents of policy tests: TOML with one table [[case]] for each test, read strictly, every problem with its line.

[[case]]
name = "the card partner is allowed"
facts = "card-partner.facts.json"       # written by: otpc-policy check HOST --save-facts FILE
policy = "acme-payments"                # without it, the default policy
at = 2026-03-02T12:00:00Z               # without it, the instant at which the facts were measured
anchor_files = ["card-partner-ca.pem"]  # trusted for the server name of these facts; also certificate_sha256, spki_sha256
client_auth = "required"                # what was agreed: "required" or "none"
expect.decision = "ALLOW"               # ALLOW, DENY or INDETERMINATE; expect.evaluated_decision likewise
expect.codes = []                       # all finding codes, whatever their effect; or expect.codes_at_least: these and perhaps others
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from otpc_policy.catalog.policy_tests import PolicyCase
from otpc_policy.catalog.toml_lines import KeyPath, TomlDocument, read_toml
from otpc_policy.endpoint import parse_endpoint
from otpc_policy.errors import (
    ConfigurationError,
    InvalidRequest,
    MalformedCertificate,
    MalformedFacts,
)
from otpc_policy.facts import ClientAuth, EndpointFacts
from otpc_policy.facts_codec import load_facts
from otpc_policy.pki.anchors import problem_with_anchor
from otpc_policy.pki.pem import read_pem_bundle
from otpc_policy.pki.trust import TrustEntry
from otpc_policy.policy.finding import Decision
from otpc_policy.policy.registry import FINDING_CODES

_KEYS = (
    "name",
    "facts",
    "policy",
    "at",
    "anchor_files",
    "certificate_sha256",
    "spki_sha256",
    "client_auth",
    "expect",
)
_EXPECT_KEYS = ("decision", "evaluated_decision", "codes", "codes_at_least")
_CLIENT_AUTHS = {"required": ClientAuth.REQUIRED, "none": ClientAuth.NONE}
_DECISIONS = {decision.value: decision for decision in Decision}

Table = Mapping[str, Any]


def parse_cases(text: str, place: str, read: Callable[[str], str]) -> tuple[PolicyCase, ...]:
    """Return the tests of a document, at least one.

    place: the document's name in problems. read: returns the text of a file that the document names, and raises OSError or
    UnicodeDecodeError. Raises ConfigurationError with every problem, each as "place:line: key: what is wrong".
    """
    reader = _Reader(read_toml(text, place), read)
    cases = reader.cases()
    if reader.problems:
        raise ConfigurationError(reader.problems)
    return cases


class _Reader:
    def __init__(self, document: TomlDocument, read: Callable[[str], str]) -> None:
        self._document = document
        self._read = read
        self.problems: list[str] = []

    def cases(self) -> tuple[PolicyCase, ...]:
        table = self._document.table
        self._refuse_unknown((), table, ("case",))
        tables = table.get("case")
        if (
            not isinstance(tables, list)
            or not tables
            or not all(isinstance(one, dict) for one in tables)
        ):
            self._problem(("case",), "must be at least one table [[case]]")
            return ()
        return tuple(
            case
            for index, one in enumerate(tables)
            if (case := self._case(("case", index), one)) is not None
        )

    def _case(self, path: KeyPath, table: Table) -> PolicyCase | None:
        before = len(self.problems)
        self._refuse_unknown(path, table, _KEYS)
        expect = table.get("expect", {})
        if not isinstance(expect, dict):
            self._problem((*path, "expect"), "must be a table")
            expect = {}
        self._refuse_unknown((*path, "expect"), expect, _EXPECT_KEYS)
        expected = (*path, "expect")
        name, facts = self._text(path, table, "name"), self._facts(path, table)
        policy_name = self._text(path, table, "policy") if "policy" in table else ""
        client_auth = (
            self._word(path, table, "client_auth", _CLIENT_AUTHS)
            if "client_auth" in table
            else None
        )
        decision = self._word(expected, expect, "decision", _DECISIONS)
        evaluated = (
            self._word(expected, expect, "evaluated_decision", _DECISIONS)
            if "evaluated_decision" in expect
            else None
        )
        codes, at_least = (
            self._codes(expected, expect, "codes"),
            self._codes(expected, expect, "codes_at_least"),
        )
        if codes is not None and at_least is not None:
            self._problem(
                (*expected, "codes_at_least"),
                "contradicts codes, which must be all; leave one of them out",
            )
        at = self._at(path, table, facts)
        trust = self._trust(path, table, facts)
        if len(self.problems) > before or facts is None or decision is None or at is None:
            return None
        return PolicyCase(
            name=name,
            place=self._document.at(path),
            facts=facts,
            policy_name=policy_name,
            at=at,
            trust=trust,
            expected_client_auth=client_auth,
            decision=decision,
            evaluated_decision=evaluated,
            codes=codes,
            codes_at_least=at_least,
        )

    def _facts(self, path: KeyPath, table: Table) -> EndpointFacts | None:
        text = self._file((*path, "facts"), self._text(path, table, "facts"))
        if text is None:
            return None
        try:
            facts = load_facts(text, EndpointFacts)
            parse_endpoint(facts.host, facts.port, facts.server_name)
        except (MalformedFacts, InvalidRequest) as error:
            self._problem((*path, "facts"), f"{table['facts']}: {error}")
            return None
        return facts

    def _at(self, path: KeyPath, table: Table, facts: EndpointFacts | None) -> datetime | None:
        if "at" in table:
            if isinstance(table["at"], datetime) and table["at"].tzinfo is not None:
                return table["at"]
            self._problem(
                (*path, "at"),
                "must be an instant with an offset, such as 2026-03-02T12:00:00Z, without quotes",
            )
        elif facts is not None:
            if facts.addresses:
                return max(one.observed_at for one in facts.addresses)
            self._problem((*path, "at"), "is missing, and these facts were measured at no instant")
        return None

    def _trust(
        self, path: KeyPath, table: Table, facts: EndpointFacts | None
    ) -> tuple[TrustEntry, ...]:
        anchors: list[bytes] = []
        for index, file in enumerate(self._texts(path, table, "anchor_files")):
            place = (*path, "anchor_files", index)
            text = self._file(place, file)
            try:
                found = read_pem_bundle(text) if text is not None else ()
            except (ValueError, MalformedCertificate) as error:
                self._problem(place, f"{file}: {error}")
                continue
            for der in found:
                if complaint := problem_with_anchor(der):
                    self._problem(place, f"{file}: {complaint}")
            anchors += found
        certificates, spkis = (
            [one.replace(":", "").lower() for one in self._texts(path, table, key)]
            for key in ("certificate_sha256", "spki_sha256")
        )
        if facts is None or not (anchors or certificates or spkis):
            return ()
        note = "from the policy test"
        try:
            hosts = (facts.server_name,)
            return (
                TrustEntry(
                    hosts=hosts,
                    anchors=tuple(anchors),
                    certificate_pins=frozenset(certificates),
                    spki_pins=frozenset(spkis),
                    note=note,
                ),
            )
        except ConfigurationError as error:
            for problem in error.problems:
                self._problem(path, problem)
            return ()

    def _codes(self, path: KeyPath, table: Table, key: str) -> frozenset[str] | None:
        codes = self._texts(path, table, key)
        for code in codes:
            if code not in FINDING_CODES:
                self._problem((*path, key), f"{code!r} is no finding code")
        return frozenset(codes) if key in table else None

    def _file(self, path: KeyPath, name: str) -> str | None:
        if not name:
            return None
        try:
            return self._read(name)
        except OSError as error:
            self._problem(path, f"{name}: {error.strerror or 'cannot be read'}")
        except UnicodeDecodeError:
            self._problem(path, f"{name}: is not UTF-8")
        return None

    def _text(self, path: KeyPath, table: Table, key: str) -> str:
        value = table.get(key)
        if isinstance(value, str) and value.strip():
            return value
        self._problem((*path, key), f"{value!r} is not a text" if key in table else "is missing")
        return ""

    def _texts(self, path: KeyPath, table: Table, key: str) -> list[str]:
        value = table.get(key, [])
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return value
        self._problem((*path, key), f"{value!r} is not a list of texts")
        return []

    def _word(self, path: KeyPath, table: Table, key: str, words: Mapping[str, Any]) -> Any:
        value = table.get(key)
        if isinstance(value, str) and value in words:
            return words[value]
        self._problem(
            (*path, key),
            f"{value!r} is not one of {', '.join(words)}"
            if key in table
            else f"is missing: one of {', '.join(words)}",
        )
        return None

    def _refuse_unknown(self, path: KeyPath, table: Table, known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                self._problem((*path, key), f"is no key here; there are {', '.join(known)}")

    def _problem(self, path: KeyPath, text: str) -> None:
        # Positions in arrays mean little to people; the line says which one it is.
        key = ".".join(step for step in path if isinstance(step, str))
        self.problems.append(f"{self._document.at(path)}: {key}: {text}")
