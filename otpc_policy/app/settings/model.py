"""Every setting: its type, its default, its bounds and what it is for."""

import difflib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from otpc_policy.app.settings.audit import AuditSettings
from otpc_policy.app.settings.fleet import FleetSettings
from otpc_policy.app.settings.perspectives import (
    NameOrNone,
    PerspectiveName,
    PerspectiveSettings,
)
from otpc_policy.app.settings.shares import ShareSettings
from otpc_policy.app.settings.sources import Layer, read_layers
from otpc_policy.app.settings.tracing import TracingSettings
from otpc_policy.app.settings.values import (
    AddressFamilies,
    AdminCaller,
    ClientProfiles,
    DeepCommands,
    EngineAddress,
    EngineCount,
    HostName,
    IpLiteral,
    IsolationLevel,
    ListenAddress,
    LogFormat,
    LogLevel,
    NameServer,
    Nat64Prefix,
    Network,
    PartnerHosts,
    ProxyUrl,
    ProxyUser,
    is_loopback,
)
from otpc_policy.app.settings.watch import WatchSettings
from otpc_policy.app.settings.webhook import WebhookSettings
from otpc_policy.catalog.problems import Problem, problems_of, unknown_key
from otpc_policy.catalog.schemas.tables import OneOrMany
from otpc_policy.catalog.schemas.trust import TrustTable
from otpc_policy.catalog.toml_lines import KeyPath
from otpc_policy.core.client_names import CLIENT_NAMES, MOST_CLIENT_PROFILES
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.core.facts import DeepCommand
from otpc_policy.core.perspective import DEFAULT_PERSPECTIVE, MOST_PERSPECTIVES

_TABLE = ConfigDict(extra="forbid", frozen=True)
Seconds = Annotated[float, Field(ge=0, le=86400 * 30, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Field(gt=0, le=86400 * 30, allow_inf_nan=False)]


class ClientCertificateSettings(BaseModel):
    """The client certificate for one partner. Engines read the files; the service never does."""

    model_config = _TABLE
    hosts: PartnerHosts = Field(
        description='The partner\'s host names, "*.name" for one more label, or IP addresses: '
        "whoever is asked by another name is not shown the certificate."
    )
    certificate_file: Path = Field(description="PEM chain, leaf first; read again on change.")
    key_file: Path = Field(description="PEM private key of that leaf, not encrypted.")


class LifetimeSettings(BaseModel):
    """How long cached facts are used, by decision; each lifetime varies by up to a tenth."""

    model_config = _TABLE
    allow_s: PositiveSeconds = Field(default=3600.0, description="After ALLOW.")
    deny_s: PositiveSeconds = Field(default=300.0, description="After DENY.")
    unknown_s: PositiveSeconds = Field(
        default=30.0, description="After INDETERMINATE, or with any fact unknown."
    )


class ScanSettings(BaseModel):
    """How endpoints are measured."""

    model_config = _TABLE
    workers: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Processes kept ready to complete TLS handshakes; each serves one address.",
    )
    connections_per_address: int = Field(
        default=20, ge=1, le=64, description="Connections open at a time to one address."
    )
    connections_per_scan: int = Field(
        default=480,
        ge=64,
        le=4096,
        description="Connections that one measurement of an address may make.",
    )
    scan_deadline_s: PositiveSeconds = Field(
        default=20.0, description="Longest time to measure one address."
    )
    connection_deadline_s: PositiveSeconds = Field(
        default=4.0, description="Longest time of one connection."
    )
    connection_bytes: int = Field(
        default=262_144, ge=16_384, description="Most bytes read from one connection."
    )
    concurrent_scans: int = Field(
        default=32, ge=1, le=1024, description="Addresses measured at the same time."
    )
    queue_limit: int = Field(
        default=512,
        ge=1,
        description="Measurements that may wait; more are refused with RESOURCE_EXHAUSTED. One "
        "caller alone gets two thirds of them.",
    )
    recycle_after_handshakes: int = Field(
        default=4000,
        ge=1,
        description="No longer used: every address gets a worker of its own.",
    )
    deep_commands: DeepCommands = Field(
        default=tuple(DeepCommand),
        description="sslyze's scan commands of a DEEP measurement; what is left out stays unknown.",
    )
    deep_deadline_s: PositiveSeconds = Field(
        default=60.0,
        description="Longest time of the DEEP part of a measurement, after the STANDARD part.",
    )
    deep_connections: int = Field(
        default=8,
        ge=1,
        le=64,
        description="Connections open at a time in the DEEP part, within connections_per_address.",
    )
    concurrent_deep_scans: int = Field(
        default=2,
        ge=1,
        le=64,
        description="DEEP parts at the same time; each is a process of about 50 MiB.",
    )
    isolation: IsolationLevel = Field(
        default=IsolationLevel.PREFER,
        description="Confinement of the processes that measure: prefer (log what the kernel "
        "lacks), require (refuse to start then) or off.",
    )


class CrlSettings(BaseModel):
    """How certificate revocation lists (CRLs) are fetched, away from checks."""

    model_config = _TABLE
    fetch: bool = Field(
        default=True,
        description="Fetch the CRLs that leaf certificates under trusted authorities name, over "
        "plain http. Without them, revocation is known from stapled OCSP responses alone.",
    )
    refresh_s: PositiveSeconds = Field(
        default=3600.0,
        ge=60,
        description="How long a CRL is used before it is fetched again; never past its nextUpdate.",
    )
    max_bytes: int = Field(
        default=4_194_304,
        ge=65_536,
        le=10_485_760,
        description="Longest CRL. To read it holds up answers for up to 2 ms per MiB.",
    )
    cache_bytes: int = Field(
        default=67_108_864, ge=16_777_216, description="Memory for CRLs, in bytes."
    )
    fetch_deadline_s: PositiveSeconds = Field(
        default=20.0, le=120, description="Longest time to fetch a CRL."
    )
    concurrent_fetches: int = Field(
        default=4,
        ge=1,
        le=16,
        description="CRLs fetched at the same time: one from each host, no more than half for "
        "leaves under one root or anchor, no more than a quarter for one endpoint.",
    )


class Settings(BaseSettings):
    """All settings, valid and immutable.

    Raises ConfigurationError with every problem and its place.

    config: the TOML file (default: the variable OTPC_POLICY_CONFIG, else none). Other arguments are
    settings by name; they take precedence over all sources.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, validate_default=True)
    tls_certificate_file: Path | None = Field(
        default=None,
        description="PEM chain of this service, leaf first; read again when it changes.",
    )
    tls_key_file: Path | None = Field(
        default=None, description="PEM private key of that leaf; read again when it changes."
    )
    tls_client_ca_file: Path | None = Field(
        default=None,
        description="PEM CAs of callers. If set, callers must present a certificate under these.",
    )
    dangerously_admit_anyone_over_tls: bool = Field(
        default=False,
        description="Serve TLS beyond loopback without tls_client_ca_file: anyone who can reach the"
        " port may ask, and nobody knows who did.",
    )
    dangerously_listen_without_tls: bool = Field(
        default=False,
        description="Listen in plain text beyond loopback: anyone on the path can read and forge "
        "verdicts.",
    )
    listen: ListenAddress = Field(
        default="127.0.0.1:50051",
        description="Address and port of the gRPC server; port 0 takes any free port.",
    )
    ops_listen: ListenAddress = Field(
        "127.0.0.1:9464",
        description="Address and port for /metrics, /livez, /readyz, /startupz: plain HTTP without "
        "secrets. Beyond loopback it is open to everyone who can reach it.",
    )
    debug_page: bool = Field(
        default=False,
        description="Serve /debug on the operations port: settings without secrets, measurements "
        "under way, queues, engines, cached endpoints. Whoever reaches that port can read it.",
    )
    reflection: bool = Field(default=True, description="Serve gRPC server reflection.")
    max_connection_age_s: PositiveSeconds = Field(
        default=1800.0,
        description="Callers reconnect after this time, to spread load and pick up rotated "
        "certificates.",
    )
    max_connections: int = Field(
        default=4096,
        ge=1,
        le=65_536,
        description="Connections of callers at a time, never more than half of the files that may "
        "be open (ulimit -n). Another one is closed at once.",
    )
    drain_delay_s: Seconds = Field(
        default=2.0,
        le=300,
        description="After SIGTERM: how long calls are still served while readiness and health are "
        "negative, until load balancers have noticed. Ctrl-C skips it.",
    )
    drain_grace_s: Seconds = Field(
        default=20.0, description="Longest wait for calls in flight after drain_delay_s."
    )

    default_policy: str = Field(
        default="otpc-2024-12",
        min_length=1,
        description="The policy used when a request names none.",
    )
    minimum_policy: str = Field(
        default="",
        description="The policy below which no verdict falls: it judges in addition to the policy "
        "that a request names, and the worse verdict wins. Empty: default_policy.",
    )
    dangerously_without_minimum_policy: bool = Field(
        default=False,
        description="No minimum: whoever asks may name any loaded policy, lax and report-only ones "
        "included, and is answered by that one.",
    )
    policy_files: tuple[Path, ...] = Field(
        default=(), description="Policy documents (TOML) in addition to the built-in policies."
    )
    policies_dir: Path | None = Field(
        default=None,
        description="Folder of policy documents (*.toml), and of their tests (*.test.toml).",
    )
    partners_dir: Path | None = Field(
        default=None,
        description="Folder of partner entries (*.toml): endpoints, trust, expectations, waivers. "
        "See the README, Partners.",
    )
    roles_file: Path | None = Field(
        default=None,
        description="Which callers may do what (TOML, see docs/callers.md); what it does not permit"
        " is denied. Without it every caller may do everything but administer.",
    )
    catalog_signing_key: Path | None = Field(
        default=None,
        description="PEM public keys (Ed25519 or ECDSA), read at the start. If set, every policy "
        "and partner document needs a signature by one of them in FILE.toml.sig. See "
        "docs/signatures.md.",
    )
    trust: tuple[TrustTable, ...] = Field(
        default=(),
        description="Anchors and pins for server names, in addition to the Mozilla roots and the "
        "partners' entries.",
    )
    reload_poll_s: Seconds = Field(
        default=5.0,
        description="How often the files of policies, partners, trust and roles are checked for "
        "changes; 0 for never. SIGHUP reloads at once.",
    )
    allow_request_anchors: bool = Field(
        default=False, description="ValidateCertificate accepts trust anchors from the request."
    )

    admin_service: bool = Field(
        default=False, description="Serve PolicyAdminService: reload policies, forget results."
    )
    admin_callers: tuple[AdminCaller, ...] = Field(
        default=(),
        description="Who may call it: a spiffe://... or uri:... or DNS name of the client"
        " certificate, in addition to the roles. Empty, and without roles: everyone who can reach a"
        " loopback listener.",
    )

    allow_networks: tuple[Network, ...] = Field(
        default=(),
        description="Private ranges that may be measured. Metadata addresses stay forbidden.",
    )
    nat64_prefixes: tuple[Nat64Prefix, ...] = Field(
        default=(),
        description="Prefixes of NAT64 translators that can be reached from here, as "
        '"2001:db8:64::/96". An address under one is measured only if the IPv4 address in it may '
        "be; 64:ff9b::/96 and 64:ff9b:1::/48 are known anyway.",
    )
    egress_proxy: ProxyUrl | None = Field(
        default=None,
        description="HTTP proxy for all connections of engines to partners and for CRLs, as "
        "http://host:port: CONNECT to the vetted address. Engines still resolve names themselves.",
    )
    egress_proxy_user: ProxyUser = Field(default="", description="User name for that proxy.")
    egress_proxy_password_file: Path | None = Field(
        default=None,
        description="File with the password, mode 0600; read by engines, and again every minute.",
    )
    address_families: AddressFamilies = Field(
        default=AddressFamilies.ROUTED,
        description="Addresses to measure: routed, both, ipv4 or ipv6.",
    )
    static_hosts: dict[HostName, OneOrMany[IpLiteral]] = Field(
        default={}, description="Addresses by host name, instead of DNS; vetted like any others."
    )
    dns_servers: tuple[NameServer, ...] = Field(
        default=(),
        description="Name servers, as address or address:port. Empty: those of /etc/resolv.conf.",
    )
    dns_ttl_s: Seconds = Field(
        default=60.0,
        le=60,
        description="Longest use of a DNS answer; its own time to live may be shorter.",
    )
    dns_timeout_s: PositiveSeconds = Field(
        default=5.0, description="Longest time to resolve one name."
    )

    client_certificates: dict[str, ClientCertificateSettings] = Field(
        default={},
        description="Client certificates by partner, for servers that refuse clients without one. "
        "Held by engines; keep each key in a folder of its own, with mode 0600.",
    )
    client_profiles: ClientProfiles = Field(
        default=(),
        description="Recorded clients that stand for your own routers; every measurement asks as "
        f"each of them. At most {MOST_CLIENT_PROFILES} of {', '.join(CLIENT_NAMES)}. Empty: one of "
        "these is drawn for each measurement.",
    )

    lifetimes: LifetimeSettings = Field(
        default_factory=LifetimeSettings, description="How long cached facts are used."
    )
    max_stale_s: Seconds = Field(
        default=3600.0, description="Upper bound on a request's max_stale."
    )
    minimum_refresh_interval_s: Seconds = Field(
        default=10.0,
        description="A REFRESH sooner after the last measurement gets that measurement. Reports of"
        " another leaf (observed_leaf_sha256) cause one measurement of an endpoint in this time.",
    )
    cache_entries: int = Field(
        default=20_000,
        ge=1,
        description="Measurements kept in memory, per address of an endpoint.",
    )
    cache_bytes: int = Field(
        default=67_108_864, ge=1_048_576, description="Memory for cached measurements, in bytes."
    )
    fleet: FleetSettings = Field(
        default_factory=FleetSettings, description="What several replicas share."
    )
    watch: WatchSettings = Field(
        default_factory=WatchSettings,
        description="Which endpoints are measured again before their verdicts expire.",
    )
    webhook: WebhookSettings = Field(
        default_factory=WebhookSettings, description="Where changes of their verdicts are posted."
    )
    deadline_reserve_s: Seconds = Field(
        default=0.075,
        description="Time kept back to answer CHECK_IN_PROGRESS before the caller's deadline.",
    )
    default_wait_s: PositiveSeconds = Field(
        default=30.0,
        description="Longest wait for a measurement on behalf of a caller without a deadline.",
    )
    engines: EngineCount = Field(
        default="auto",
        description="Engine processes that this service starts; auto: as many as the cgroup's CPU "
        "quota has cores, 1 to 4.",
    )
    engine_certificate_file: Path | None = Field(
        default=None,
        description="PEM chain that this service presents to remote engines, leaf first; read "
        "again when it changes.",
    )
    engine_key_file: Path | None = Field(default=None, description="PEM private key of that leaf.")
    engine_ca_file: Path | None = Field(default=None, description="PEM CAs of remote engines.")
    dangerously_use_engines_without_tls: bool = Field(
        default=False,
        description="Use engines over TCP in plain text: anyone on the path can forge "
        "measurements.",
    )
    engine_addresses: tuple[EngineAddress, ...] = Field(
        default=(),
        description="Remote engines to use instead of child processes: host:port, dns:///host:port "
        "for all addresses of a name, or unix:/path. What they may measure and how they resolve "
        "names are their own settings.",
    )
    perspective: NameOrNone = Field(
        default="",
        description="Name of the place on the network that this service's engines, or those of "
        "engine_addresses, measure from; empty: default. Set for an engine, it says so in each of "
        "its answers, and a service that names the place otherwise believes none of them.",
    )
    perspectives: dict[PerspectiveName, PerspectiveSettings] = Field(
        default={},
        max_length=MOST_PERSPECTIVES - 1,
        description="Engines at other places, by the names of these: engine_addresses of each. "
        "See docs/perspectives.md.",
    )
    default_perspective: NameOrNone = Field(
        default="",
        description="The perspective of requests that name none; empty: that of perspective.",
    )
    scan: ScanSettings = Field(
        default_factory=ScanSettings, description="How endpoints are measured."
    )
    shares: ShareSettings = Field(
        default_factory=ShareSettings, description="What one caller may use."
    )
    crl: CrlSettings = Field(
        default_factory=CrlSettings,
        description="How certificate revocation lists are fetched.",
    )

    log_format: LogFormat = Field(default=LogFormat.JSON, description="json or console.")
    log_level: LogLevel = Field(
        default=LogLevel.INFO,
        description="debug, info, warning or error. Audit lines are written at every level.",
    )
    audit: AuditSettings = Field(
        default_factory=AuditSettings,
        description="What is recorded of decisions, refusals and configuration, and where.",
    )
    tracing: TracingSettings = Field(
        default_factory=TracingSettings,
        description="Whether calls leave spans, and where these go.",
    )

    def __init__(self, *, config: Path | str | None = None, **arguments: Any) -> None:
        layers = read_layers(type(self), config, arguments)
        try:
            # pydantic's own sources ignore unknown variables and stop at the first value that is
            # not JSON.
            super().__init__(_build_sources=(layers, {}))
        except ValidationError as error:
            problems = problems_of(error, type(self), unknown=_unknown_setting)
            raise ConfigurationError([_placed(problem, layers) for problem in problems]) from None

    @field_validator("tls_key_file", "engine_key_file")
    @classmethod
    def _key_with_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        key = str(info.field_name)
        certificate = key.replace("key", "certificate")
        if certificate in info.data and (value is None) != (info.data[certificate] is None):
            raise ValueError(f"{certificate} and {key} go together: set both or neither")
        return value

    @field_validator("dangerously_without_minimum_policy")
    @classmethod
    def _minimum_or_none(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("minimum_policy"):
            raise ValueError(
                "contradicts minimum_policy, which is set as well: leave one of them out"
            )
        return value

    @field_validator("egress_proxy_password_file")
    @classmethod
    def _whole_credentials(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        user = info.data.get("egress_proxy_user", "")
        if (value is None) == bool(user):
            raise ValueError(
                "egress_proxy_user and egress_proxy_password_file go together: set both or neither"
            )
        if value is not None and info.data.get("egress_proxy", value) is None:
            raise ValueError("there is no egress_proxy that it could be for")
        return value

    @field_validator("client_certificates")
    @classmethod
    def _one_certificate_for_a_host(
        cls, value: dict[str, ClientCertificateSettings]
    ) -> dict[str, ClientCertificateSettings]:
        partners: dict[str, str] = {}
        for partner, table in value.items():
            for host in table.hosts:
                if partners.setdefault(host, partner) != partner:
                    raise ValueError(f"{partners[host]} and {partner} both name {host}")
        return value

    @field_validator("engine_addresses")
    @classmethod
    def _mutual_tls_with_engines(
        cls, value: tuple[str, ...], info: ValidationInfo
    ) -> tuple[str, ...]:
        _require_mutual_tls(value, info)
        return value

    @field_validator("perspectives")
    @classmethod
    def _perspectives_are_apart(
        cls, value: dict[str, PerspectiveSettings], info: ValidationInfo
    ) -> dict[str, PerspectiveSettings]:
        own = info.data.get("perspective") or DEFAULT_PERSPECTIVE
        if own in value:
            raise ValueError(f"{own} is the perspective of this service's own engines already")
        for each in value.values():
            _require_mutual_tls(each.engine_addresses, info)
        watch: WatchSettings | None = info.data.get("watch")
        if watch is not None and watch.perspective not in ("", own, *value):
            raise ValueError(f"has no {watch.perspective}, which watch.perspective names")
        return value

    @field_validator("default_perspective")
    @classmethod
    def _default_is_known(cls, value: str, info: ValidationInfo) -> str:
        own = info.data.get("perspective") or DEFAULT_PERSPECTIVE
        known = (own, *info.data.get("perspectives", (value,)))
        if value and value not in known:
            raise ValueError(f"{value} is not one of {', '.join(sorted(known))}")
        return value

    @property
    def own_perspective(self) -> str:
        """The name of the place that engines of this service, or of engine_addresses, are at."""
        return self.perspective or DEFAULT_PERSPECTIVE

    @property
    def asked_perspective(self) -> str:
        """The perspective that a request means which names none."""
        return self.default_perspective or self.own_perspective

    @field_validator("tls_client_ca_file")
    @classmethod
    def _client_ca_with_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("tls_certificate_file", value) is None:
            raise ValueError(
                "callers can present a certificate only over TLS: "
                "set tls_certificate_file and tls_key_file too"
            )
        return value

    @field_validator("admin_callers")
    @classmethod
    def _admin_callers_are_identified(
        cls, value: tuple[str, ...], info: ValidationInfo
    ) -> tuple[str, ...]:
        if not info.data.get("admin_service"):
            return value
        if value and info.data.get("tls_client_ca_file", value) is None:
            raise ValueError(
                "callers are identified only by their certificates: set tls_client_ca_file too"
            )
        if info.data.get("roles_file") is not None:
            return value
        if not value and "listen" in info.data and not is_loopback(info.data["listen"]):
            raise ValueError(
                "is empty, and the listener can be reached from other machines: "
                "name who may administer this service"
            )
        return value

    @field_validator("listen")
    @classmethod
    def _tls_beyond_loopback(cls, value: str, info: ValidationInfo) -> str:
        has_tls = info.data.get("tls_certificate_file", value) is not None
        if (
            not has_tls
            and not info.data.get("dangerously_listen_without_tls", True)
            and not is_loopback(value)
        ):
            raise ValueError(
                f"{value} can be reached from other machines, so it needs TLS: "
                "set tls_certificate_file and tls_key_file, "
                "or dangerously_listen_without_tls = true"
            )
        if (
            has_tls
            and info.data.get("tls_client_ca_file", value) is None
            and not info.data.get("dangerously_admit_anyone_over_tls", True)
            and not is_loopback(value)
        ):
            raise ValueError(
                f"{value} can be reached from other machines, and TLS alone does not say who calls:"
                " set tls_client_ca_file, or dangerously_admit_anyone_over_tls = true"
            )
        return value

    @field_validator("roles_file")
    @classmethod
    def _roles_are_for_identified_callers(
        cls, value: Path | None, info: ValidationInfo
    ) -> Path | None:
        if value is not None and info.data.get("tls_client_ca_file", value) is None:
            raise ValueError(
                "callers are identified only by their certificates: set tls_client_ca_file too"
            )
        return value


def _require_mutual_tls(addresses: tuple[str, ...], info: ValidationInfo) -> None:
    """Raise ValueError where engines over TCP are to be used without it."""
    names = ("engine_certificate_file", "engine_key_file", "engine_ca_file")
    has_tls = all(info.data.get(name, addresses) is not None for name in names)
    over_tcp = [address for address in addresses if not address.startswith("unix:")]
    if over_tcp and not has_tls and not info.data.get("dangerously_use_engines_without_tls", True):
        raise ValueError(
            f"{over_tcp[0]} is TCP, so it needs mutual TLS: set {', '.join(names)}, "
            "or dangerously_use_engines_without_tls = true"
        )


def _placed(problem: Problem, layers: tuple[Layer, ...]) -> str:
    """Return a problem with the place of the value, or of the nearest table set by a source."""
    for depth in range(len(problem.path), 0, -1):
        for layer in layers:
            if layer.holds(problem.path[:depth]):
                return f"{layer.place_of(problem.path)}: {problem.sentence}"
    return f"{problem.key}: {problem.sentence}"


def _unknown_setting(path: KeyPath, expected: tuple[str, ...]) -> str:
    if len(path) > 1:
        return unknown_key(path, expected)
    near = difflib.get_close_matches(str(path[0]), expected, n=1)
    hint = f"did you mean {near[0]}?" if near else "otpc-policy serve --show-settings lists them"
    return f"unknown setting; {hint}"
