"""The current state of every watched endpoint, as this replica knows it.

Nothing here waits or measures.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.partners.deadlines import DeadlineKind
from otpc_policy.check import NO_RESULT, WatchedEndpoint, WatchedState
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.perspective import DEFAULT_PERSPECTIVE
from otpc_policy.fleet.watch_looks import Looks
from otpc_policy.fleet.watched import Watched, WatchedUnder
from otpc_policy.ops.metrics.watch import WatchedPartner
from otpc_policy.policy.finding import Decision

_SHOWN_ENDS = (DeadlineKind.WAIVER, DeadlineKind.PIN)
# So long before a verdict expires.
_EXPIRING = timedelta(seconds=5)
_NOTHING_KNOWN = (Decision.INDETERMINATE, (NO_RESULT,))


class WatchTable:
    """States by name of endpoint ("host:port"). Satisfies check.WatchedEndpoints.

    now: the wall clock. perspective: from where the endpoints are measured.

    under: what is watched; follow() changes it. behind_s: for how long the most overdue endpoint
    has waited.
    """

    def __init__(
        self,
        generation: Catalog,
        *,
        with_partners: bool,
        endpoints: Sequence[Endpoint],
        now: Callable[[], datetime],
        perspective: str = DEFAULT_PERSPECTIVE,
    ) -> None:
        self._perspective = perspective
        self._with_partners, self._endpoints, self._now = with_partners, endpoints, now
        self._states: dict[str, WatchedState] = {}
        self._due_at: dict[str, datetime] = {}
        # Made once, and again when a state has changed or time alone changes something.
        self._together: dict[str, tuple[WatchedPartner, datetime | None]] = {}
        self._looks = Looks()
        # Names whose states nobody has published yet, and whether each is confirmed.
        self._changed: dict[str, bool] = {}
        self.under = self.under_of(generation)
        self.behind_s = 0.0

    def __len__(self) -> int:
        return len(self.under.by_name)

    def under_of(self, generation: Catalog) -> WatchedUnder:
        """Return what is watched under a generation. May be called on another thread."""
        return WatchedUnder(
            generation, with_partners=self._with_partners, endpoints=self._endpoints
        )

    def follow(self, under: WatchedUnder) -> tuple[Collection[str], Collection[str]]:
        """Watch what another generation names; return the names that are new, and those gone."""
        before, self.under = self.under, under
        self._together.clear()
        gone = before.by_name.keys() - self.under.by_name.keys()
        for name in gone:
            self._states.pop(name, None)
            self._due_at.pop(name, None)
            self._looks.forget(name)
            self._changed.pop(name, None)
        return self.under.by_name.keys() - before.by_name.keys(), gone

    def get(self, name: str) -> Watched | None:
        """Return what is watched under a name."""
        return self.under.by_name.get(name)

    def stands(self, name: str) -> WatchedState | None:
        """Return the state of an endpoint that is allowed or denied now."""
        state = self._states.get(name)
        if state is None or not self.stood(name):
            return None
        return state if self._now() < state.expires_at else None

    def stood(self, name: str) -> bool:
        """Tell whether an endpoint was allowed or denied when it was last looked at."""
        state = self._states.get(name)
        return state is not None and state.decision is not Decision.INDETERMINATE

    def state(self, name: str) -> WatchedState | None:
        """Return the state of an endpoint as it was last looked at."""
        return self._states.get(name)

    def take_changed(self) -> tuple[str, bool] | None:
        """Return a name whose state is to be published, and whether it is confirmed; or None."""
        if not self._changed:
            return None
        name = next(iter(self._changed))
        return name, self._changed.pop(name)

    def put_back(self, name: str, *, is_confirmed: bool) -> None:
        """Have a name taken again, unless it has changed since."""
        self._changed.setdefault(name, is_confirmed)

    def record(self, name: str, state: WatchedState, *, is_confirmed: bool = True) -> None:
        """Keep a state. What is found without facts does not replace why there are none.

        is_confirmed: it is more than one failure of this replica's.
        """
        watched, present = self.get(name), self._states.get(name)
        if watched is None or present == state:
            return
        says_why = present is not None and present.decision is Decision.INDETERMINATE
        if says_why and state.codes == (NO_RESULT,):
            return
        self._states[name] = state
        self._changed[name] = is_confirmed
        self._together.pop(watched.partner_id, None)
        if state.decision is not Decision.INDETERMINATE:
            self._looks.at(name, state.expires_at - _EXPIRING)

    def to_look_at(self, most: int) -> Sequence[str]:
        """Return names that another replica may have measured, and whose verdicts expire here."""
        return self._looks.take(self._now(), most)

    def will_check(self, dues: Mapping[str, float]) -> None:
        """Keep when endpoints will be measured: seconds from now, by name."""
        now = self._now()
        for name, seconds in dues.items():
            if name in self.under.by_name:
                self._due_at[name] = now + timedelta(seconds=max(0.0, seconds))

    def names(self, partner_id: str = "") -> Sequence[str]:
        """Return the names in order, those of one partner if its id is given."""
        if partner_id:
            return self.under.by_partner.get(partner_id, ())
        return self.under.ordered

    def endpoint_of(self, name: str) -> tuple[Endpoint, str] | None:
        """Return an endpoint and the id of its partner."""
        watched = self.get(name)
        return None if watched is None else (watched.endpoint, watched.partner_id)

    def describe(self, name: str) -> WatchedEndpoint | None:
        """Return what is known of an endpoint now."""
        watched = self.get(name)
        if watched is None:
            return None
        now, state = self._now(), self._states.get(name)
        decision, codes = _now_of(state, now)
        return WatchedEndpoint(
            endpoint=watched.endpoint,
            partner_id=watched.partner_id,
            decision=decision,
            codes=codes,
            state=state,
            next_check_at=self._due_at.get(name),
            waiver_ends_at=self.under.next_end(watched.partner_id, DeadlineKind.WAIVER, now),
            pin_ends_at=self.under.next_end(watched.partner_id, DeadlineKind.PIN, now),
            perspective=self._perspective,
        )

    def summarise(self, names: Iterable[str]) -> None:
        """Make ready what is known of the partners of some endpoints."""
        now = self._now()
        for partner_id in {watched.partner_id for watched in map(self.get, names) if watched}:
            self._partner(partner_id, now)

    def partners(self) -> Sequence[WatchedPartner]:
        """Return what is known of each partner's endpoints together."""
        now = self._now()
        return [self._partner(partner_id, now) for partner_id in self.under.by_partner]

    def _partner(self, partner_id: str, now: datetime) -> WatchedPartner:
        made = self._together.get(partner_id)
        if made is not None and (made[1] is None or now < made[1]):
            return made[0]
        states = [self._states.get(name) for name in self.under.by_partner[partner_id]]
        known = [state for state in states if state is not None]
        ends = [self.under.next_end(partner_id, kind, now) for kind in _SHOWN_ENDS]
        changes = [*ends, *(state.expires_at for state in known if now < state.expires_at)]
        together = WatchedPartner(
            partner=partner_id,
            decisions=Counter(_now_of(state, now)[0].name for state in states),
            oldest_observation=_first(state.observed_at for state in known),
            certificate_end=_first(state.certificate_ends_at for state in known),
            waiver_end=_first(ends[:1]),
            pin_end=_first(ends[1:]),
        )
        until = min((at for at in changes if at is not None), default=None)
        self._together[partner_id] = together, until
        return together


def _now_of(state: WatchedState | None, now: datetime) -> tuple[Decision, tuple[str, ...]]:
    """Return what holds at an instant: nothing that has expired, but why nothing could be said."""
    if state is None:
        return _NOTHING_KNOWN
    if state.decision is not Decision.INDETERMINATE and now >= state.expires_at:
        return _NOTHING_KNOWN
    return state.decision, state.codes


def _first(instants: Iterable[datetime | None]) -> float | None:
    return min((at.timestamp() for at in instants if at is not None), default=None)
