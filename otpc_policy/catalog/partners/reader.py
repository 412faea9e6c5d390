"""From the tables of a document to one partner. What is wrong is collected with its path; nothing is guessed and nothing unknown is passed over."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from otpc_policy.catalog.partners.entry import Partner, Trusted, TrustKind
from otpc_policy.catalog.partners.fields import (
    read_anchors,
    read_client_auth,
    read_end,
    read_endpoint,
    read_id,
    read_server_name,
    read_sha256,
    read_suite,
    read_text,
    read_version,
)
from otpc_policy.catalog.toml_lines import KeyPath
from otpc_policy.policy.waivers import Coverage, Waiver, coverage_of, problem_with_waived_code

T = TypeVar("T")
Table = Mapping[str, Any]

_KEYS = frozenset(
    {"id", "owner", "endpoints", "policy", "server_names", "client_auth", "trusted", "waivers"}
)
_TRUST_KINDS: Mapping[str, TrustKind] = {
    "certificate_sha256": TrustKind.CERTIFICATE,
    "spki_sha256": TrustKind.SPKI,
    "ca_pem": TrustKind.CA,
}
_TRUSTED_KEYS = frozenset({*_TRUST_KINDS, "note", "ends"})
_WAIVER_KEYS = frozenset({"code", "suites", "versions", "reason", "owner", "ends"})


class EntryReader:
    """Reads one entry. path: where its table stands in the document. problems: (path, text), in the order they were met."""

    def __init__(self, path: KeyPath) -> None:
        self._path = path
        self.problems: list[tuple[KeyPath, str]] = []

    def partner(self, table: Table, number: int) -> Partner | None:
        """Return the partner, or None if anything is wrong with its entry."""
        self._refuse_unknown((), table, _KEYS)
        partner_id = self._required(table, "id", read_id)
        owner = self._required(table, "owner", read_text)
        endpoints = self._many((), table, "endpoints", read_endpoint)
        if not table.get("endpoints"):
            self._problem(
                ("endpoints",) if "endpoints" in table else (),
                "endpoints is missing or empty; an entry is for the endpoints that it names",
            )
        policy = self._optional(table, "policy", read_text)
        client_auth = self._optional(table, "client_auth", read_client_auth)
        server_names = self._many((), table, "server_names", read_server_name)
        trusted = [
            self._trusted(("trusted", at), one)
            for at, one in enumerate(self._tables(table, "trusted"))
        ]
        waivers = [
            self._waiver(("waivers", at), one)
            for at, one in enumerate(self._tables(table, "waivers"))
        ]
        if self.problems or partner_id is None or owner is None:
            return None
        return Partner(
            id=partner_id,
            owner=owner,
            endpoints=endpoints,
            policy=policy or "",
            server_names=frozenset(server_names),
            client_auth=client_auth,
            trusted=tuple([one for one in trusted if one is not None]),
            waivers=tuple([one for one in waivers if one is not None]),
            number=number,
        )

    def _trusted(self, path: KeyPath, table: Table) -> Trusted | None:
        self._refuse_unknown(path, table, _TRUSTED_KEYS)
        named = [key for key in _TRUST_KINDS if key in table]
        if len(named) != 1:
            self._problem(
                path,
                f"one of {', '.join(_TRUST_KINDS)} is needed; {' and '.join(named) if named else 'none'} is there",
            )
            return None
        kind = _TRUST_KINDS[named[0]]
        pin: str | None = ""
        anchors: tuple[bytes, ...] | None = ()
        if kind is TrustKind.CA:
            anchors = self._required(table, named[0], read_anchors, path)
        else:
            pin = self._required(table, named[0], read_sha256, path)
        note = self._required(table, "note", read_text, path)
        ends_at = self._optional(table, "ends", read_end, path)
        return (
            None
            if pin is None or anchors is None or note is None
            else Trusted(kind=kind, pin=pin, anchors=anchors, note=note, ends_at=ends_at)
        )

    def _waiver(self, path: KeyPath, table: Table) -> Waiver | None:
        self._refuse_unknown(path, table, _WAIVER_KEYS)
        code = self._required(table, "code", _read_waived_code, path)
        reason = self._required(table, "reason", read_text, path)
        owner = self._required(table, "owner", read_text, path)
        ends_at = self._required(table, "ends", read_end, path)
        suites = self._many(path, table, "suites", read_suite)
        versions = self._many(path, table, "versions", read_version)
        if code is None or reason is None or owner is None or ends_at is None:
            return None
        if problem := _problem_with_coverage(code, suites, versions):
            self._problem(path, problem)
            return None
        return Waiver(
            code=code,
            covers=frozenset((*suites, *versions)),
            reason=reason,
            owner=owner,
            ends_at=ends_at,
        )

    def _required(
        self, table: Table, key: str, read: Callable[[object], T], path: KeyPath = ()
    ) -> T | None:
        if key not in table:
            self._problem(path, f"{key} is missing")
            return None
        return self._optional(table, key, read, path)

    def _optional(
        self, table: Table, key: str, read: Callable[[object], T], path: KeyPath = ()
    ) -> T | None:
        if key not in table:
            return None
        try:
            return read(table[key])
        except ValueError as error:
            self._problem((*path, key), str(error))
            return None

    def _many(
        self, path: KeyPath, table: Table, key: str, read: Callable[[object], T]
    ) -> tuple[T, ...]:
        if key not in table:
            return ()
        values = table[key]
        if not isinstance(values, list):
            self._problem((*path, key), f"{values!r} is not a list")
            return ()
        try:
            return tuple([read(value) for value in values])
        except ValueError:
            # Nearly all are good; only of a list that is not, each is looked at by itself.
            return tuple(self._good_ones((*path, key), values, read))

    def _good_ones(
        self, path: KeyPath, values: Sequence[object], read: Callable[[object], T]
    ) -> Iterator[T]:
        for at, value in enumerate(values):
            try:
                yield read(value)
            except ValueError as error:
                self._problem((*path, at), str(error))

    def _tables(self, table: Table, key: str) -> Sequence[Table]:
        if key not in table:
            return ()
        values = table[key]
        if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
            self._problem((key,), f"is not a list of tables; each begins with [[...{key}]]")
            return ()
        return values

    def _refuse_unknown(self, path: KeyPath, table: Table, known: frozenset[str]) -> None:
        if known.issuperset(table):
            return
        for key in table:
            if key not in known:
                self._problem((*path, key), f"is no key here; there are {', '.join(sorted(known))}")

    def _problem(self, path: KeyPath, text: str) -> None:
        self.problems.append(((*self._path, *path), text))


def _read_waived_code(value: object) -> str:
    code = read_text(value)
    if problem := problem_with_waived_code(code):
        raise ValueError(problem)
    return code


def _problem_with_coverage(
    code: str, suites: tuple[str, ...], versions: tuple[str, ...]
) -> str | None:
    match coverage_of(code):
        case Coverage.NOTHING if suites or versions:
            return f"a waiver of {code} lists no suites and no versions: it covers the code"
        case Coverage.SUITES if versions or not suites:
            return f"a waiver of {code} lists the suites that it covers, and nothing else"
        case Coverage.VERSIONS if suites or not versions:
            return f"a waiver of {code} lists the versions that it covers, and nothing else"
        case Coverage.SUITES_OR_VERSIONS if not (suites or versions):
            return f"a waiver of {code} lists the suites that are accepted in place of the required ones, or the versions that are offered in place of TLS 1.2"
        case _:
            return None
