"""How many files and connections this process may have open (RLIMIT_NOFILE)."""

import resource

from otpc_policy.core.errors import ConfigurationError

# Enough for every caller; beyond it, programs that walk all descriptors there might be take long.
_ENOUGH = 65_536


def open_files_limit(*, at_least: int) -> int:
    """Raise the limit as far as this process may and needs, and return it.

    at_least: with fewer nothing could be served. Raises ConfigurationError if no more are allowed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if 0 <= soft < highest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
        soft = highest
    allowed = _ENOUGH if soft == resource.RLIM_INFINITY else soft
    if allowed < at_least:
        raise ConfigurationError(
            [f"only {allowed} files may be open here (ulimit -n); at least {at_least} are needed"]
        )
    return allowed
