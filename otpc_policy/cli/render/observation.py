"""Measured facts, by address: versions, suites, certificates, client authentication, HTTP."""

from collections.abc import Iterable, Iterator

from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from otpc_policy.cli.render.words import (
    SUPPORT_STYLES,
    comma_list,
    day_words,
    enum_word,
    length_words,
    one_line,
    support_word,
    to_datetime,
    version_word,
)
from otpc_policy.v1 import policy_pb2 as pb


def observation_view(
    observation: pb.EndpointObservation, judged_at: Timestamp
) -> Iterator[RenderableType]:
    """Yield one block for each address."""
    for address in observation.addresses:
        yield Padding(Text.assemble("Measured at ", (_named(address), "bold")), (1, 0, 0, 0))
        yield Padding(_address_table(address), (0, 0, 0, 2))
        for deployment, certificates in _deployments(address.certificate_deployments):
            yield Padding(Text.assemble("Certificates ", (deployment, "bold")), (1, 0, 0, 2))
            yield Padding(certificates_table(certificates, judged_at), (0, 0, 0, 2))


def trace_view(observation: pb.EndpointObservation) -> Iterator[RenderableType]:
    """Yield every connection of every address: its time, offer, answer, and what that proves."""
    for address in observation.addresses:
        yield Padding(Text.assemble("Connections to ", (_named(address), "bold")), (1, 0, 0, 0))
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, justify="right", style="dim")
        table.add_column(no_wrap=True, style="dim")
        table.add_column(overflow="fold")
        for step in address.trace:
            began_ms, took_ms = (
                round(span.ToMilliseconds()) for span in (step.start_offset, step.duration)
            )
            table.add_row(f"{began_ms} ms", "for", Text(one_line(step.purpose), style="bold"))
            table.add_row("", "offered", Text(one_line(step.offered)))
            table.add_row("", "answer", Text(f"{one_line(step.answer)} (after {took_ms} ms)"))
            table.add_row("", "proves", Text(one_line(step.proves)))
        yield Padding(table, (0, 0, 0, 2))


def certificates_table(
    certificates: Iterable[pb.CertificateObservation], judged_at: Timestamp
) -> Table:
    """Return the certificates as they were served, leaf first."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for index, certificate in enumerate(certificates):
        position = str(index)
        if not certificate.HasField("not_after_time"):
            table.add_row(
                position,
                Text("sha256", style="dim"),
                Text(f"{certificate.sha256} (cannot be decoded)"),
            )
            continue
        table.add_row(
            position,
            Text("subject", style="dim"),
            Text(one_line(certificate.subject) or "(empty)", style="bold"),
        )
        if certificate.subject_alt_names:
            table.add_row(
                "", Text("names", style="dim"), Text(comma_list(certificate.subject_alt_names))
            )
        table.add_row("", Text("issuer", style="dim"), Text(one_line(certificate.issuer)))
        table.add_row("", Text("valid", style="dim"), _validity(certificate, judged_at))
        table.add_row(
            "",
            Text("key", style="dim"),
            Text(
                f"{one_line(certificate.public_key)},"
                f" signed with {one_line(certificate.signature_algorithm)}"
            ),
        )
        table.add_row("", Text("sha256", style="dim"), Text(certificate.sha256))
    return table


def _named(address: pb.AddressObservation) -> str:
    return one_line(address.address) or "an address that the service does not name"


def _address_table(address: pb.AddressObservation) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    if address.reachable != pb.SUPPORT_YES:
        table.add_row("reachable", _supported(support_word(address.reachable), address.reachable))
    if address.protocols:
        table.add_row("versions", _versions(address.protocols))
    for protocol in reversed(address.protocols):
        suites = [suite for suite in address.cipher_suites if suite.version == protocol.version]
        if suites and protocol.support == pb.SUPPORT_YES:
            table.add_row(version_word(protocol.version), _suites(suites))
    _add_key_exchange(table, address)
    table.add_row("client auth", enum_word(pb.ClientAuth, address.client_auth, "CLIENT_AUTH_"))
    table.add_row("HTTP", enum_word(pb.HttpService, address.http, "HTTP_SERVICE_"))
    for intolerance in address.intolerances:
        table.add_row("intolerance", Text(one_line(intolerance)))
    if address.HasField("deep"):
        _add_deep(table, address.deep)
    for remark in address.remarks:
        table.add_row("remark", Text(one_line(remark)))
    table.add_row(
        "effort",
        f"{_counted(address.connections_used, 'connection')}, {length_words(address.duration)}",
    )
    if address.seed:
        table.add_row("seed", Text(one_line(address.seed)))
    return table


def _add_key_exchange(table: Table, address: pb.AddressObservation) -> None:
    """Add groups, what keys were exchanged over, and the extensions of TLS 1.2."""
    if address.groups:
        table.add_row("groups", _groups(address.groups))
    exchanges = [_key_exchange(exchange) for exchange in address.key_exchanges]
    if exchanges:
        table.add_row("key exchange", Text(", ".join(exchanges)))
    named = (
        ("extended master secret", address.extended_master_secret),
        ("secure renegotiation", address.secure_renegotiation),
        ("compression", address.compression),
    )
    if any(support in (pb.SUPPORT_YES, pb.SUPPORT_NO) for _, support in named):
        words = (f"{name}: {support_word(support)}" for name, support in named)
        table.add_row("extensions", Text("; ".join(words)))


def _groups(groups: Iterable[pb.GroupObservation]) -> Text:
    """Return the groups of TLS 1.3 by what is known of them."""
    by_support: dict[int, list[str]] = {}
    for group in groups:
        by_support.setdefault(group.support, []).append(one_line(group.name))
    accepted = by_support.pop(pb.SUPPORT_YES, [])
    refused = by_support.pop(pb.SUPPORT_NO, [])
    text = Text(", ".join(accepted) or "none is proven to be accepted")
    if refused:
        text.append(f"\nrefused: {', '.join(refused)}", style="dim")
    if unknown := [name for names in by_support.values() for name in names]:
        text.append(f"\nunknown: {', '.join(unknown)}", style="bold yellow")
    return text


def _key_exchange(exchange: pb.KeyExchangeObservation) -> str:
    name = one_line(exchange.group_name) or f"a finite field of {exchange.bits} bits"
    return f"{name} ({version_word(exchange.version)})"


def _add_deep(table: Table, deep: pb.DeepObservation) -> None:
    """Add what DEEP measures: vulnerabilities, properties, contradictions."""
    for word, support, style in (
        ("present", pb.SUPPORT_YES, "bold red"),
        ("unknown", pb.SUPPORT_UNKNOWN, "bold yellow"),
        ("absent", pb.SUPPORT_NO, "dim"),
    ):
        names = [
            one_line(vulnerability.name).lower().replace("_", " ")
            for vulnerability in deep.vulnerabilities
            if vulnerability.present == support
        ]
        if names:
            table.add_row(word, Text(", ".join(names), style=style))
    for name, support in (
        ("early data", deep.early_data),
        ("fallback SCSV", deep.fallback_scsv),
        ("ext. master s.", deep.extended_master_secret),
        ("RFC 5746", deep.secure_renegotiation),
        ("client reneg.", deep.client_renegotiation),
    ):
        table.add_row(name, support_word(support))
    curves = [curve.name for curve in deep.curves if curve.support == pb.SUPPORT_YES]
    if curves:
        table.add_row("curves", Text(comma_list(curves)))
    for contradiction in deep.contradictions:
        table.add_row("disputed", Text(one_line(contradiction), style="bold yellow"))
    for remark in deep.remarks:
        table.add_row("remark", Text(one_line(remark)))


def _supported(text: str, support: pb.Support.ValueType) -> Text:
    return Text(text, style=SUPPORT_STYLES.get(support, ""))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _versions(protocols: Iterable[pb.ProtocolObservation]) -> Text:
    newest_first = sorted(protocols, key=lambda protocol: -protocol.version)
    lines = []
    for support, word in (
        (pb.SUPPORT_YES, "offered"),
        (pb.SUPPORT_NO, "refused"),
        (pb.SUPPORT_UNKNOWN, "unknown"),
    ):
        versions = [
            version_word(protocol.version)
            for protocol in newest_first
            if protocol.support == support
        ]
        if versions:
            lines.append(_supported(f"{word}: {', '.join(versions)}", support))
    return Text("\n").join(lines)


def _suites(suites: list[pb.CipherSuiteObservation]) -> Text:
    offered = [_suite_name(suite) for suite in suites if suite.support == pb.SUPPORT_YES]
    unknown = sum(suite.support not in (pb.SUPPORT_YES, pb.SUPPORT_NO) for suite in suites)
    lines = (
        Text("\n").join(Text(name) for name in offered)
        if offered
        else Text("no suite is proven to be accepted")
    )
    if unknown:
        lines.append(f"\nunknown: {_counted(unknown, 'more suite')}", style="bold yellow")
    return lines


def _suite_name(suite: pb.CipherSuiteObservation) -> str:
    name = one_line(suite.openssl_name or suite.iana_name) or f"0x{suite.code_point:04X}"
    return f"{name} (handshake completed)" if suite.handshake_completed else name


def _deployments(
    deployments: Iterable[pb.CertificateDeployment],
) -> Iterator[tuple[str, tuple[pb.CertificateObservation, ...]]]:
    """Yield each distinct chain once, with the versions and key types that it was served for."""
    served: dict[tuple[str, ...], tuple[list[str], tuple[pb.CertificateObservation, ...]]] = {}
    for deployment in deployments:
        certificates = tuple(deployment.certificates)
        if certificates:
            key = tuple(certificate.sha256 for certificate in certificates)
            names, _ = served.setdefault(key, ([], certificates))
            key_type = pb.KeyType.Name(deployment.key_type).removeprefix("KEY_TYPE_")
            names.append(f"{key_type} over {version_word(deployment.version)}")
    for names, certificates in served.values():
        yield ", ".join(names), certificates


def _validity(certificate: pb.CertificateObservation, judged_at: Timestamp) -> Text:
    now, not_before, not_after = (
        to_datetime(instant)
        for instant in (judged_at, certificate.not_before_time, certificate.not_after_time)
    )
    text = Text(
        f"{day_words(certificate.not_before_time)} to {day_words(certificate.not_after_time)} "
    )
    if now < not_before:
        text.append(f"(begins in {length_words(not_before - now)})", style="bold red")
    elif now > not_after:
        text.append(f"(ended {length_words(now - not_after)} ago)", style="bold red")
    else:
        text.append(f"({length_words(not_after - now)} left)", style="green")
    return text
