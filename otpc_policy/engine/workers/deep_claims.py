"""Translates the values of sslyze's jobs and commands. It reads fields and never imports sslyze."""

from collections.abc import Sequence
from typing import Any

from otpc_policy.core.facts import DeepCommand, Support

# The field of each command's result that says yes or no.
_CLAIMS = {
    DeepCommand.HEARTBLEED: "is_vulnerable_to_heartbleed",
    DeepCommand.OPENSSL_CCS_INJECTION: "is_vulnerable_to_ccs_injection",
    DeepCommand.TLS_COMPRESSION: "supports_compression",
    DeepCommand.TLS_1_3_EARLY_DATA: "supports_early_data",
    DeepCommand.TLS_FALLBACK_SCSV: "supports_fallback_scsv",
    DeepCommand.TLS_EXTENDED_MASTER_SECRET: "supports_ems_extension",
}


def is_about_suites(command: DeepCommand) -> bool:
    """The command offers one cipher suite after another."""
    return command.name.endswith("_CIPHER_SUITES")


def claim_of_result(command: DeepCommand, result: Any) -> tuple[Support, str]:
    """Return a command's claim, if it is yes or no, and its result's word, if it has one."""
    said = str(result.robot_result.value) if command is DeepCommand.ROBOT else ""
    return (
        _support(getattr(result, _CLAIMS[command])) if command in _CLAIMS else Support.UNKNOWN
    ), said


def _support(claim: bool) -> Support:
    return Support.YES if claim else Support.NO


def claim_of_job(command: DeepCommand, value: Any) -> tuple[Support, list[str]]:
    """Return what the value of one job claims, and its words."""
    if is_about_suites(command):
        refused = getattr(value, "error_message", None)
        return _support(refused is None), [] if refused is None else [refused]
    if command is DeepCommand.ELLIPTIC_CURVES:
        return _support(value.was_accepted_by_server), []
    if command is DeepCommand.ROBOT:
        return Support.UNKNOWN, list(value.values())
    if command is DeepCommand.SESSION_RENEGOTIATION:
        accepted = value[1]
        return (
            (_support(accepted[0]), [str(accepted[1])])
            if isinstance(accepted, tuple)
            else (_support(accepted), [])
        )
    return _support(value), []


def part_name(command: DeepCommand, arguments: Sequence[Any], number: int) -> str:
    """Return the name of a job: the suite, the curve, the test, else its number."""
    if is_about_suites(command):
        return str(arguments[2].name)
    if command is DeepCommand.ELLIPTIC_CURVES and len(arguments) > 1:
        return str(arguments[1].name).lower()
    if command is DeepCommand.SESSION_RENEGOTIATION:
        return "client" if len(arguments) > 1 else "secure"
    return str(number)
