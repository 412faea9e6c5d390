"""One wave of hellos in the making: what is still open about a server, and the controls that its refusals need.

A server that accepts little is settled by offering it everything else at once; one that accepts much is listed by elimination in lanes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.survey.inference import Inference
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.offers import PAYMENT_SUITES, ecdsa_among, families_at, lanes_of, layout_at, suites_at, without_ecdsa
from otpc_policy.engine.survey.probe import Probe, Purpose
from otpc_policy.engine.survey.reading import PROTOCOL_VERSION, Reaction
from otpc_policy.engine.survey.suited_hellos import Hellos
from otpc_policy.tls.client_hello import ClientHello, HelloStyle

# A refusal that is a close counts when it was seen three times; one more for what was lost.
_ATTEMPTS = 4
# An answer that proves nothing, or none at all, is asked for once more.
_SILENCES = 2
# The last lanes overlap with the proof of the whole; before, each proof would hold up the wave and be void by the next choice.
_FEW_LANES = 6
_OLD_VERSIONS = (TlsVersion.TLS_1_1, TlsVersion.TLS_1_0, TlsVersion.SSL_3_0, TlsVersion.SSL_2_0)


class WavePlan:
    """What to ask a server that has accepted something, or nothing at all but may know old versions.

    _lanes: what is listed by elimination. _closing: controls that are sent behind all else.
    """

    def __init__(self, journal: Journal, server_name: str | None) -> None:
        self._journal, self._server_name = journal, server_name
        self._inference = Inference(journal)
        self._hellos = Hellos(journal, server_name)
        self._asked: dict[ClientHello, Probe[ClientHello]] = {}
        self._closing: dict[ClientHello, Probe[ClientHello]] = {}
        self._lanes = list(self._find_lanes())

    def probes(self) -> tuple[Probe[ClientHello], ...]:
        """Return everything that is still open; nothing when no more can be learned."""
        for lane in self._lanes:
            self._ask(lane, Purpose.LANE)
        for version in reversed(TlsVersion):
            if version in self._journal.versions:
                self._ask_suites(version)
            else:
                self._ask_version(version)
        return (*self._asked.values(), *self._closing.values())

    def old_versions(self) -> tuple[Probe[ClientHello], ...]:
        """Return the hellos of old versions, where nothing is known to be accepted that could be a control."""
        for version in _OLD_VERSIONS:
            for hello in self._version_hellos(version):
                self._ask(hello, Purpose.VERSION)
        return tuple(self._asked.values())

    # What a version that is offered accepts.

    def _ask_suites(self, version: TlsVersion) -> None:
        if version is TlsVersion.SSL_2_0:
            return  # its one answer lists all
        accepted = self._journal.chosen(version)
        known = {**accepted, **self._inference.absences(version)}
        if all(map(known.__contains__, suites_at(version))):
            return
        proving: list[ClientHello] = []
        for cell in layout_at(version):
            if self._is_listed(version, cell.suites) and len(self._lanes) > _FEW_LANES:
                continue
            left = tuple(suite for suite in cell.suites if suite not in accepted)
            hellos = (self._hellos.hello(version, suites, cell.groups) for suites in self._hellos.lists(version, left))
            proving += [hello for hello in hellos if not self._inference.is_refused(hello)]
        self._prove(version, proving)

    def _is_open(self, hello: ClientHello) -> bool:
        refused = self._inference.refusals(hello.version, groups=hello.groups)
        return not all(map(refused.__contains__, hello.cipher_suites))

    def _is_listed(self, version: TlsVersion, suites: Sequence[int]) -> bool:
        """The server accepts suites that few do, of ECDSA or of the rest as these are, so they are listed by elimination in lanes."""
        if version in (TlsVersion.TLS_1_3, TlsVersion.SSL_2_0):
            return False
        unusual = [suite for suite in self._journal.chosen(version) if suite not in PAYMENT_SUITES]
        ecdsa = ecdsa_among(unusual)
        return bool(ecdsa) if ecdsa_among(suites[:1]) else len(ecdsa) < len(unusual)

    def _find_lanes(self) -> Iterator[ClientHello]:
        """Yield the lanes of all versions that may hold more."""
        for version in self._journal.versions:
            accepted = self._journal.chosen(version)
            for family in families_at(version):
                for lane in lanes_of(family) if self._is_listed(version, family) else ():
                    left = tuple(suite for suite in lane if suite not in accepted)
                    if left and not self._journal.reactions(hello := self._hellos.hello(version, left)):
                        yield hello

    def _prove(self, version: TlsVersion, hellos: Sequence[ClientHello]) -> None:
        """Ask for all that is left, between two controls."""
        asked: list[tuple[int, ...]] = []
        for hello in hellos:
            if not self._inference.has_control_before(hello):
                self._ask(self._hellos.hello(version, (*hello.cipher_suites, self._good(version, hello.cipher_suites))), Purpose.CONTROL)
            elif self._ask(hello, Purpose.REMAINDER) and hello.cipher_suites not in asked:
                asked.append(hello.cipher_suites)
        if self._hellos.style is HelloStyle.FULL and not self._hellos.is_deaf_to_long_lists(version):
            # One list for all, without what would keep a server from its good suite.
            together = tuple(dict.fromkeys(chain.from_iterable(asked)))
            asked = [together if ecdsa_among(self._journal.chosen(version)) else without_ecdsa(together)] if asked else []
        for suites in asked:
            self._close_with(self._hellos.hello(version, (*suites, self._good(version, suites))))

    def _good(self, version: TlsVersion, beside: Sequence[int]) -> int:
        """Return an accepted suite that is chosen beside others: where there is an ECDSA suite among them, one of that family."""
        accepted = self._journal.chosen(version)
        ecdsa = ecdsa_among(accepted)
        is_beside_ecdsa = bool(ecdsa_among(beside))
        candidates = [suite for suite in accepted if (suite in ecdsa) is is_beside_ecdsa] or list(accepted)
        return next((suite for suite in candidates if suite in PAYMENT_SUITES), candidates[0])

    # Whether other versions are offered at all.

    def _ask_version(self, version: TlsVersion) -> None:
        if self._journal.is_passed_over(version):
            return
        for hello in self._version_hellos(version):
            if not self._is_open(hello):
                continue
            control = self._version_control(hello)
            if hello.lowest is not version:
                self._ask(hello, Purpose.VERSION)  # the choice of a lower one proves enough by itself
            elif control is not None and self._inference.has_control_before(hello):
                if self._ask(hello, Purpose.VERSION) and not self._is_closed_for(hello):
                    self._close_with(control)
            elif control is not None:
                self._ask(control, Purpose.CONTROL)

    def _version_hellos(self, version: TlsVersion) -> list[ClientHello]:
        suites = suites_at(version)
        if version is TlsVersion.TLS_1_3 and (together := self._together_with_lower()) is not None:
            return [together]
        whole = self._hellos.hello(version, suites)
        if version in (TlsVersion.TLS_1_3, TlsVersion.SSL_2_0):
            return [whole]
        # All at once, until a refusal might be about the mixture of families, or about the groups.
        refused = [record for record in self._journal.refused(version) if record.wave and record.hello.shape == whole.shape]
        is_vague = any(record.reading.alert != PROTOCOL_VERSION for record in refused)
        is_split = self._hellos.style is HelloStyle.SHORT or (is_vague and version is TlsVersion.TLS_1_2)
        families = families_at(version) if is_split else (suites,)
        hellos = [self._hellos.hello(version, some) for family in families for some in self._hellos.lists(version, family)]
        if is_vague and version is not TlsVersion.SSL_3_0:
            hellos += self._hellos.again(version, suites)
        # Clients of SSL 3 know no extensions, and routing proxies need the name.
        nameless = [replace(hello, server_name=None) for hello in hellos] if version is TlsVersion.SSL_3_0 and self._server_name is not None else []
        return [*hellos, *nameless]

    def _together_with_lower(self) -> ClientHello | None:
        """TLS 1.3 beside what is accepted, once: a server that knows TLS 1.3 must choose it (RFC 8446 4.2.1)."""
        top = max(self._journal.versions)
        if top < TlsVersion.SSL_3_0:
            return None
        suites = (*suites_at(TlsVersion.TLS_1_3), *list(self._journal.chosen(top))[: len(PAYMENT_SUITES)])
        hello = replace(self._hellos.hello(TlsVersion.TLS_1_3, suites), lowest=top)
        return None if self._journal.reactions(hello) else hello

    def _version_control(self, hello: ClientHello) -> ClientHello | None:
        """The same list with a good suite behind it, at the nearest version that is accepted; None if none has this shape."""
        versions = self._journal.versions
        if hello.style is HelloStyle.BARE or hello.version is TlsVersion.SSL_2_0:
            least = 0 if hello.version is TlsVersion.SSL_2_0 else len(hello.cipher_suites)
            highest = max(versions)
            of_highest = (good for good in self._journal.accepted if good.reading.version is highest)
            long_enough = next((good.hello for good in of_highest if len(good.offered) >= least), None)
            if long_enough is not None:
                return long_enough
        top = max((one for one in versions if TlsVersion.TLS_1_0 <= one <= TlsVersion.TLS_1_2), default=TlsVersion.TLS_1_3)
        if top not in versions:
            return None
        good = next(iter(self._journal.chosen(top)))
        others = hello.cipher_suites
        if good in others:
            others = tuple(suite for suite in others if suite != good)
        control = self._hellos.hello(top, (*others, good))
        return replace(control, lowest=TlsVersion.TLS_1_2) if top is TlsVersion.TLS_1_3 and hello.version < top else control

    def _is_closed_for(self, hello: ClientHello) -> bool:
        """A control of this wave serves for this version too."""
        if hello.version is TlsVersion.SSL_2_0:
            return bool(self._closing)
        return any(hello.style in (HelloStyle.BARE, one.style) and len(one.cipher_suites) >= len(hello.cipher_suites) for one in self._closing)

    def _ask(self, hello: ClientHello, purpose: Purpose) -> bool:
        """Add a hello, unless it was asked often enough; say whether it is asked."""
        reactions = self._journal.reactions(hello)
        if len(reactions) >= _ATTEMPTS or reactions.count(Reaction.UNPROVEN) >= _SILENCES:
            return False
        self._asked.setdefault(hello, Probe(hello=hello, purpose=purpose))
        return True

    def _close_with(self, control: ClientHello) -> None:
        self._closing[control] = Probe(hello=control, purpose=Purpose.CLOSING_CONTROL, is_last=True)
