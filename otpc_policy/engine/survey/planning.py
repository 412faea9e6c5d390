"""What to ask next: one wave of hellos for what is still open, with the controls they need. Pure.

A server that accepts little is settled by offering it everything else at once. The suites of a
server that accepts much are found by elimination in lanes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, cycle, islice

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.survey.inference import Inference
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.offers import (
    NO_VARIANTS,
    PAYMENT_SUITES,
    Variants,
    ecdsa_among,
    families_at,
    lanes_of,
    layout_at,
    suites_at,
    variants_at,
    without_ecdsa,
)
from otpc_policy.engine.survey.probe import Probe, Purpose
from otpc_policy.engine.survey.reading import PROTOCOL_VERSION, Reaction
from otpc_policy.engine.survey.suited_hellos import Hellos
from otpc_policy.tls.client_hello import ClientHello, HelloStyle, HelloVariant

# A close counts as a refusal when it was seen three times; one more attempt for lost answers.
_ATTEMPTS = 4
# A hello whose answer proves nothing, or that gets no answer, is sent once more.
_SILENCES = 2
# The last lanes overlap with the proof that the rest is refused. With more lanes open, that proof
# would delay the wave and be void as soon as another suite is chosen.
_FEW_LANES = 6
_OLD_VERSIONS = (TlsVersion.TLS_1_1, TlsVersion.TLS_1_0, TlsVersion.SSL_3_0, TlsVersion.SSL_2_0)


class WavePlan:
    """The next wave for a server, given its journal so far.

    _lanes: lists that find suites by elimination. _closing: controls that are sent last.
    """

    def __init__(
        self, journal: Journal, server_name: str | None, variants: Variants = NO_VARIANTS
    ) -> None:
        self._journal, self._server_name = journal, server_name
        self._inference = Inference(journal)
        self._hellos = Hellos(journal, server_name, variants)
        self._asked: dict[ClientHello, Probe[ClientHello]] = {}
        self._closing: dict[ClientHello, Probe[ClientHello]] = {}
        self._lanes = list(self._find_lanes())

    def probes(self) -> tuple[Probe[ClientHello], ...]:
        """Return everything that is still open; nothing when no more can be learned."""
        for lane in self._lanes:
            self._ask(lane, Purpose.LANE)
        for version in reversed(TlsVersion):
            if self._journal.has_chosen(version):
                self._ask_suites(version)
            else:
                self._ask_version(version)
        return (*self._asked.values(), *self._closing.values())

    def old_versions(self) -> tuple[Probe[ClientHello], ...]:
        """Return the hellos of old versions, for a server of which no accepted hello is known."""
        for version in _OLD_VERSIONS:
            for hello in self._version_hellos(version):
                self._ask(hello, Purpose.VERSION)
        return tuple(self._asked.values())

    # Which suites a version that is offered accepts.

    def _ask_suites(self, version: TlsVersion) -> None:
        if version is TlsVersion.SSL_2_0:
            return  # its only answer contains all
        accepted = self._journal.chosen(version)
        known = {**accepted, **self._inference.absences(version)}
        if all(map(known.__contains__, suites_at(version))):
            return
        proving: list[ClientHello] = []
        variants = variants_at(version, self._hellos.variants)
        if self._hellos.is_deaf_to_long_lists(version):
            # Of short lists there are many, and each has controls of its own.
            variants = variants[:1]
        for cell, preferred in zip(layout_at(version), cycle(variants), strict=False):
            if self._needs_lanes(version, cell.suites) and len(self._lanes) > _FEW_LANES:
                continue
            left = tuple(suite for suite in cell.suites if suite not in accepted)
            hellos = (
                self._in_a_variant(self._hellos.hello(version, suites, cell.groups, preferred))
                for suites in self._hellos.lists(version, left)
            )
            proving += [hello for hello in hellos if not self._inference.is_refused(hello)]
        self._prove(version, proving)

    def _in_a_variant(self, hello: ClientHello) -> ClientHello:
        """Return the hello in its own variant, or in another in which it has a control."""
        if hello.style is not HelloStyle.FULL or self._inference.has_control_before(hello):
            return hello
        others = (
            replace(hello, variant=variant)
            for variant in variants_at(hello.version, self._hellos.variants)
        )
        return next((other for other in others if self._inference.has_control_before(other)), hello)

    def _is_open(self, hello: ClientHello) -> bool:
        refused = self._inference.refusals(hello.version, groups=hello.groups)
        return not all(map(refused.__contains__, hello.cipher_suites))

    def _needs_lanes(self, version: TlsVersion, suites: Sequence[int]) -> bool:
        """The server accepts unusual suites of the same kind (ECDSA or other): expect more."""
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
                if not self._needs_lanes(version, family):
                    continue
                for lane in lanes_of(family):
                    left = tuple(suite for suite in lane if suite not in accepted)
                    if not left:
                        continue
                    hello = self._hellos.hello(version, left)
                    if not self._journal.reactions(hello):
                        yield hello

    def _prove(self, version: TlsVersion, hellos: Sequence[ClientHello]) -> None:
        """Offer everything that is left, between two controls."""
        asked: dict[HelloVariant, list[tuple[int, ...]]] = {}
        for hello in hellos:
            if not self._inference.has_control_before(hello):
                control = self._control(version, hello.cipher_suites, hello.variant)
                self._ask(control, Purpose.CONTROL)
            elif self._ask(hello, Purpose.REMAINDER):
                lists = asked.setdefault(hello.variant, [])
                lists += [hello.cipher_suites] if hello.cipher_suites not in lists else []
        for variant, lists in asked.items():
            for suites in self._closed_together(version, lists):
                self._close_with(self._control(version, suites, variant))

    def _closed_together(
        self, version: TlsVersion, lists: list[tuple[int, ...]]
    ) -> list[tuple[int, ...]]:
        """Return what controls offer that close these lists: all of them at once if that is read.

        Suites that would hide the good one are left out; others stand in for them, because a
        control is no shorter than what it is for.
        """
        reads_long_lists = not self._hellos.is_deaf_to_long_lists(version)
        if self._hellos.style is not HelloStyle.FULL or not reads_long_lists:
            return lists
        together = tuple(dict.fromkeys(chain.from_iterable(lists)))
        accepted = self._journal.chosen(version)
        if ecdsa_among(accepted):
            return [together]
        together = without_ecdsa(together)
        missing = max(map(len, lists)) - len(together)
        if missing > 0:
            known = {*together, *accepted}
            others = (one for one in without_ecdsa(suites_at(version)) if one not in known)
            together = (*together, *islice(others, missing))
        return [together]

    def _control(
        self, version: TlsVersion, suites: tuple[int, ...], variant: HelloVariant
    ) -> ClientHello:
        """Return the hello that offers these suites with a good suite appended."""
        good = self._good(version, suites)
        return self._hellos.hello(version, (*suites, good), variant=variant)

    def _good(self, version: TlsVersion, others: Sequence[int]) -> int:
        """Return an accepted suite to offer with others: an ECDSA suite if they include any."""
        accepted = self._journal.chosen(version)
        ecdsa = ecdsa_among(accepted)
        has_ecdsa = bool(ecdsa_among(others))
        same_kind = [suite for suite in accepted if (suite in ecdsa) is has_ecdsa]
        candidates = same_kind or list(accepted)
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
                # The choice of a lower version is proof without a control.
                self._ask(hello, Purpose.VERSION)
            elif control is not None and self._inference.has_control_before(hello):
                if self._ask(hello, Purpose.VERSION) and not self._is_closed_for(hello):
                    self._close_with(control)
            elif control is not None:
                self._ask(control, Purpose.CONTROL)

    def _version_hellos(self, version: TlsVersion) -> list[ClientHello]:
        suites = suites_at(version)
        if version is TlsVersion.TLS_1_3 and (together := self._together_with_lower()) is not None:
            return [together]
        # The versions alternate, too.
        variants = variants_at(version, self._hellos.variants)
        preferred = variants[version % len(variants)]
        whole = self._in_a_variant(self._hellos.hello(version, suites, variant=preferred))
        if version in (TlsVersion.TLS_1_3, TlsVersion.SSL_2_0):
            return [whole]
        # All at once, until a refusal may be about the mixture of families or the groups.
        refused = [
            record
            for record in self._journal.refused(version)
            if record.wave and record.hello.shape == whole.shape
        ]
        is_vague = any(record.reading.alert != PROTOCOL_VERSION for record in refused)
        is_short = self._hellos.style is HelloStyle.SHORT
        is_split = is_short or (is_vague and version is TlsVersion.TLS_1_2)
        families = families_at(version) if is_split else (suites,)
        hellos = [
            self._hellos.hello(version, listed, variant=whole.variant)
            for family in families
            for listed in self._hellos.lists(version, family)
        ]
        if is_vague and version is not TlsVersion.SSL_3_0:
            hellos += self._hellos.again(version, suites)
        if version is TlsVersion.SSL_3_0 and self._server_name is not None:
            # Clients of SSL 3 do not know extensions, but routing proxies need the name.
            hellos += [replace(hello, server_name=None) for hello in hellos]
        return hellos

    def _together_with_lower(self) -> ClientHello | None:
        """Return TLS 1.3 offered with suites that are accepted; None if that was sent before.

        A server that supports TLS 1.3 must choose it (RFC 8446 4.2.1).
        """
        top = max(self._journal.versions)
        if top < TlsVersion.SSL_3_0:
            return None
        accepted = list(self._journal.chosen(top))[: len(PAYMENT_SUITES)]
        suites = (*suites_at(TlsVersion.TLS_1_3), *accepted)
        hello = replace(self._hellos.hello(TlsVersion.TLS_1_3, suites), lowest=top)
        return None if self._journal.reactions(hello) else hello

    def _version_control(self, hello: ClientHello) -> ClientHello | None:
        """Return the same list with a good suite appended, at the nearest accepted version.

        Returns None if no accepted version can have a hello of this shape.
        """
        versions = self._journal.versions
        if hello.style is HelloStyle.BARE or hello.version is TlsVersion.SSL_2_0:
            least = 0 if hello.version is TlsVersion.SSL_2_0 else len(hello.cipher_suites)
            highest = max(versions)
            for record in self._journal.accepted:
                if record.reading.version is highest and len(record.offered) >= least:
                    return record.hello
        with_groups = [v for v in versions if TlsVersion.TLS_1_0 <= v <= TlsVersion.TLS_1_2]
        top = max(with_groups, default=TlsVersion.TLS_1_3)
        if top not in versions:
            return None
        good = next(iter(self._journal.chosen(top)))
        others = tuple(suite for suite in hello.cipher_suites if suite != good)
        control = self._hellos.hello(top, (*others, good), variant=hello.variant)
        if top is TlsVersion.TLS_1_3 and hello.version < top:
            return replace(control, lowest=TlsVersion.TLS_1_2)
        return control

    def _is_closed_for(self, hello: ClientHello) -> bool:
        """A control of this wave serves for this hello too."""
        if hello.version is TlsVersion.SSL_2_0:
            return bool(self._closing)
        return any(
            (hello.style is HelloStyle.BARE or _has_shape_of(control, hello))
            and len(control.cipher_suites) >= len(hello.cipher_suites)
            for control in self._closing
        )

    def _ask(self, hello: ClientHello, purpose: Purpose) -> bool:
        """Add a hello unless it was sent often enough; return whether it is sent."""
        reactions = self._journal.reactions(hello)
        if len(reactions) >= _ATTEMPTS or reactions.count(Reaction.UNPROVEN) >= _SILENCES:
            return False
        self._asked.setdefault(hello, Probe(hello=hello, purpose=purpose))
        return True

    def _close_with(self, control: ClientHello) -> None:
        self._closing[control] = Probe(hello=control, purpose=Purpose.CLOSING_CONTROL, is_last=True)


def _has_shape_of(control: ClientHello, hello: ClientHello) -> bool:
    return control.style is hello.style and control.variant is hello.variant
