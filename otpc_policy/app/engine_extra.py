"""Whether this installation can measure: the engine is an extra, otpc-policy[engine]."""

from importlib.util import find_spec

from otpc_policy.core.errors import ConfigurationError

_PACKAGES = ("sslyze", "nassl", "aiodns", "pqcrypto", "brotli")


def require_engine(otherwise: str = "") -> None:
    """Raise ConfigurationError if the engine is not installed.

    otherwise: an alternative that needs no engine, worded to follow "or"; empty if there is none.
    """
    missing = [package for package in _PACKAGES if find_spec(package) is None]
    if missing:
        remedy = "install it with pip install 'otpc-policy[engine]'"
        if otherwise:
            remedy = f"{remedy}, or {otherwise}"
        raise ConfigurationError(
            [f"the engine is not installed ({', '.join(missing)} missing): {remedy}"]
        )
