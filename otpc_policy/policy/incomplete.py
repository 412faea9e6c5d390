"""What could not be determined, in one sentence for each cause.

One cause, such as a port that closes every connection, leaves most rules undecided. A finding for
each of them would bury the cause, and none could be mailed to a partner. So what is unknown about
one address is reported once, with the remark that explains it and with a remedy for that. The
effect is the same: every such finding is INDETERMINATE, whoever reports it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from otpc_policy.core.facts import AddressFacts
from otpc_policy.core.remarks import root_causes
from otpc_policy.policy.finding import FindingEvidence
from otpc_policy.policy.model import RuleSettings
from otpc_policy.policy.rule import MEASUREMENT_INCOMPLETE, Report, comma_join

# How reports begin and end that are joined: what is unknown stands in between.
_BEGINNINGS = ("could not determine ", "could not obtain ")
_INCOMPLETE = "the measurement is incomplete"


@dataclass(slots=True)
class _Unknown:
    """What has one cause at one place. rules: settings by the message of their reports."""

    addresses: tuple[str, ...]
    cause: str
    rules: dict[str, list[RuleSettings | None]] = field(default_factory=dict)


class Incomplete:
    """Collects reports of MEASUREMENT_INCOMPLETE, and joins those with one cause.

    addresses: those that were judged, whose remarks explain what is unknown about them.
    """

    def __init__(self, addresses: Sequence[AddressFacts]) -> None:
        self._remarks: Mapping[str, Sequence[str]] = {
            address.address: (
                *address.remarks,
                *(address.deep.remarks if address.deep is not None else ()),
            )
            for address in addresses
        }
        self._remarked = [address for address in addresses if address.remarks]
        self._places: dict[tuple[tuple[str, ...], str], _Unknown] = {}

    def take(self, settings: RuleSettings | None, reports: Iterable[Report]) -> Iterator[Report]:
        """Yield the other reports. settings: of the rule; None where no rule reports."""
        for report in reports:
            if report.code != MEASUREMENT_INCOMPLETE:
                yield report
                continue
            key = (report.addresses, report.cause)
            place = self._places.setdefault(key, _Unknown(*key))
            place.rules.setdefault(report.message, []).append(settings)

    def joined(self) -> Iterator[tuple[RuleSettings | None, Report]]:
        """Yield one report for each place and cause, with the rule if it is a single one.

        Remarks are reported even if all is known: they say how the server broke the protocol.
        """
        for address in self._remarked:
            key = ((address.address,), "")
            self._places.setdefault(key, _Unknown(*key))
        for place in self._places.values():
            rules = [rule for several in place.rules.values() for rule in several]
            ids = {rule.id if rule is not None else "" for rule in rules}
            yield rules[0] if len(ids) == 1 else None, self._report(place)

    def _report(self, place: _Unknown) -> Report:
        remarks: Sequence[str] = ()
        if not place.cause and len(place.addresses) == 1:
            remarks = self._remarks.get(place.addresses[0], ())
        kind, causes = root_causes(remarks)
        evidence = [
            FindingEvidence("not_determined", f"{_ids(rules)}{message}", "")
            for message, rules in place.rules.items()
        ]
        evidence += [FindingEvidence("remark", remark, "") for remark in remarks]
        return Report(
            code=MEASUREMENT_INCOMPLETE,
            message=_sentence(tuple(place.rules), causes),
            addresses=place.addresses,
            evidence=tuple(evidence) if len(evidence) > 1 else (),
            cause=place.cause or (kind.name if kind is not None else ""),
        )


def _ids(rules: Iterable[RuleSettings | None]) -> str:
    ids = comma_join(rule.id for rule in rules if rule is not None)
    return f"{ids}: " if ids else ""


def _sentence(messages: Sequence[str], causes: Sequence[str]) -> str:
    if not causes and len(messages) == 1:
        return messages[0]
    because = f"{_INCOMPLETE}: {'; '.join(causes)}" if causes else _INCOMPLETE
    # A common end, such as why a leaf cannot be read, is said once.
    ends = {message.rpartition(": ")[1:] for message in messages}
    if not causes and len(ends) == 1 and (end := "".join(ends.pop())):
        because = f"{_INCOMPLETE}{end}"
        messages = [message.removesuffix(end) for message in messages]
    unknown = "; ".join(dict.fromkeys(map(_what, messages)))
    return f"{because}; not determined: {unknown}" if unknown else because


def _what(message: str) -> str:
    """Return what a report leaves open, without what is required."""
    what = message.partition("; ")[0]
    return next(
        (what.removeprefix(beginning) for beginning in _BEGINNINGS if what.startswith(beginning)),
        what,
    )
