"""The settings of a command: options override the environment and the file; ranges are added."""

from collections.abc import Sequence

from otpc_policy.app.settings import Settings
from otpc_policy.catalog.policies import load_policies
from otpc_policy.policy.model import PolicySet


def read_settings(
    *,
    config: str | None = None,
    allow_networks: Sequence[str] = (),
    **given: object,
) -> Settings:
    """Return the settings of this run.

    given: settings by name; None means that the option was not used.
    allow_networks: in addition to those of the environment and the file.
    Raises ConfigurationError.
    """
    arguments = {name: value for name, value in given.items() if value is not None}
    settings = Settings(config=config, **arguments)
    if not allow_networks:
        return settings
    arguments["allow_networks"] = [*map(str, settings.allow_networks), *allow_networks]
    return Settings(config=config, **arguments)


def read_policies() -> PolicySet:
    """Return the policies that a service with these settings serves. Raises ConfigurationError."""
    return load_policies(read_settings())
