"""Who may call a service with these settings, in words for its log."""

from collections.abc import Iterator

from otpc_policy.app.settings import Settings, is_loopback


def debug_page_warnings(settings: Settings, ops_listen: str) -> Iterator[str]:
    """Yield what the debug page tells beyond this machine. ops_listen: "host:port"."""
    if settings.debug_page and not is_loopback(ops_listen):
        yield (
            f"debug_page on {ops_listen}, beyond loopback: whoever can reach that port can read "
            "which endpoints are measured, and the settings without their secrets"
        )


def admission_warnings(settings: Settings) -> Iterator[str]:
    """Yield what is open to more callers than a security team would expect.

    A listener that only this machine can reach is not among it, but callers' choice of policy is.
    """
    if settings.dangerously_without_minimum_policy:
        yield (
            "dangerously_without_minimum_policy: callers choose how lenient their verdicts are, by "
            "the policy that they name"
        )
    yield from debug_page_warnings(settings, settings.ops_listen)
    if is_loopback(settings.listen) and settings.tls_client_ca_file is None:
        return
    if settings.tls_certificate_file is None:
        yield (
            "dangerously_listen_without_tls: anyone on the path can read and forge verdicts, and "
            "every caller may do everything but administer"
        )
    elif settings.tls_client_ca_file is None:
        yield (
            "dangerously_admit_anyone_over_tls: anyone who can reach the port may do everything "
            "but administer"
        )
    elif settings.roles_file is None:
        yield (
            "tls_client_ca_file without roles_file: every caller with a certificate of these "
            "authorities may do everything but administer; roles_file says who may do what"
        )
