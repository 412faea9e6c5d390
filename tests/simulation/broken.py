"""Stores that are broken on purpose: the simulation must find out."""

from collections.abc import Callable, Mapping
from typing import Final

from otpc_policy.fleet.schedule_scripts import WATCH_CLAIM
from otpc_policy.fleet.scripts import ACQUIRE, DISCARD_HOST, GET, PUT, Script
from tests.simulation.store import ScriptedStore

StoreOf = Callable[[Callable[[], float]], ScriptedStore]

# By what is lost: of which scripts, what takes the place of what.
_FAULTS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "fences": {PUT.sha: ("redis.call('GET', KEYS[2]) ~= ARGV[9] or", "")},
    "epochs": {
        PUT.sha: ("or epoch ~= ARGV[10]", ""),
        GET.sha: ("not epoch or redis.call('HGET', KEYS[at], 'e') ~= epoch", "not epoch"),
    },
    "epochs of invalidations": {
        DISCARD_HOST.sha: ("redis.call('SET', KEYS[2], epoch)", ""),
    },
    "leases": {ACQUIRE.sha: ("if holder and holder ~= ARGV[1] then", "if false then")},
    "notices of invalidations": {
        DISCARD_HOST.sha: ("'h', ARGV[3]", "'x', ARGV[3]"),
    },
    "what is due": {WATCH_CLAIM.sha: ("elseif #answer <= most then", "elseif false then")},
    "numbers of leases": {
        ACQUIRE.sha: ("local fence = after(KEYS[2])", "local fence = '1'"),
    },
}
BROKEN: Final = tuple(_FAULTS)


def broken(name: str) -> StoreOf:
    """Return what makes a store without something. A text that is not found is an error."""
    changes = _FAULTS[name]

    def changed(script: Script) -> str:
        if script.sha not in changes:
            return script.text
        old, new = changes[script.sha]
        assert old in script.text, old
        return script.text.replace(old, new)

    return lambda now_s: ScriptedStore(now_s, changed=changed)
