"""The programs whose hellos are recorded, and how each is made to connect.

Each is run as its users run it: with its defaults, unless the entry says otherwise. Gateways
(Caddy, Envoy, nginx, HAProxy) connect as clients of their upstream.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from otpc_policy.engine.profiles.recorded_clients import ClientKind
from tests.recording.listener import NAME
from tests.support.loopback import Listener, own_listener
from tests.support.servers.offer import openssl_configuration
from tests.support.servers.program import program as running

_WITHIN_S = 30.0
# Java sends no server name without a dot.
_DOTTED = "partner.test"
_HELLO_CLIENT = Path(__file__).with_name("HelloClient.java")
_PLACES = os.pathsep.join(
    (str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin")
)
RECORDED = "recorded from the program itself"

# Connects once.
Connect = Callable[[], None]


class NotInstalled(Exception):
    """The program is not on this machine. The text names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientProgram:
    """One client.

    command: as it is written down, with HOST and PORT. version_of: what tells its version.
    connecting: makes it ready to connect to a listener. source: see RecordedClient.
    """

    name: str
    program: str
    command: str
    version_of: Callable[[], str]
    connecting: Callable[[Listener], AbstractContextManager[Connect]]
    kind: ClientKind = ClientKind.CURRENT
    source: str = RECORDED


def _find(name: str) -> str:
    path = shutil.which(name, path=_PLACES)
    if path is None:
        raise NotInstalled(name)
    return path


def _printed(*command: str, pattern: str = r".*") -> Callable[[], str]:
    """Return what a command prints about its version: the first match of a pattern."""

    def version_of() -> str:
        done = subprocess.run(
            [_find(command[0]), *command[1:]],
            capture_output=True,
            timeout=_WITHIN_S,
            check=False,
            text=True,
        )
        found = re.search(pattern, done.stdout + done.stderr)
        return " ".join((found[0] if found else "unknown").split())

    return version_of


def _package(name: str, library: str) -> Callable[[], str]:
    def version_of() -> str:
        try:
            return f"{name} {version(name)}, {library}"
        except PackageNotFoundError:
            raise NotInstalled(name) from None

    return version_of


def _command(
    name: str,
    command: str,
    *,
    program: str,
    version_of: Callable[[], str],
    kind: ClientKind = ClientKind.CURRENT,
    is_any_level: bool = False,
    source: str = RECORDED,
) -> ClientProgram:
    """Return a client that is one command, run once for each hello.

    is_any_level: OpenSSL's security level is lowered, as for old versions.
    """

    def connecting(listener: Listener) -> AbstractContextManager[Connect]:
        written = command.replace("HOST", NAME).replace("PORT", str(listener.port))
        path, *arguments = shlex.split(written)
        path = sys.executable if path == "python" else _find(path)

        def connect() -> None:
            with (
                TemporaryDirectory(prefix="otpc-client-") as directory,
                suppress(subprocess.TimeoutExpired),
            ):
                variables = openssl_configuration(Path(directory)) if is_any_level else {}
                subprocess.run(
                    [path, *arguments],
                    input=b"",
                    capture_output=True,
                    timeout=_WITHIN_S,
                    check=False,
                    env={**os.environ, **variables},
                )

        return nullcontext(connect)

    return ClientProgram(
        name=name,
        program=program,
        command=command,
        version_of=version_of,
        connecting=connecting,
        kind=kind,
        source=source,
    )


def _gateway(
    name: str,
    command: str,
    *,
    program: str,
    version_of: Callable[[], str],
    configuration: Callable[[Listener, Listener, Path], Sequence[str]],
) -> ClientProgram:
    """Return a client that is a server: it connects when it is asked.

    configuration: of its own listener, its upstream, and a directory to write in; returns the
    command line.
    """

    @contextmanager
    def connecting(listener: Listener) -> Iterator[Connect]:
        front = own_listener()
        with running(front, lambda directory: configuration(front, listener, directory)):

            def connect() -> None:
                with suppress(OSError), urlopen(f"http://{front}/", timeout=_WITHIN_S) as answer:
                    answer.read()

            yield connect

    return ClientProgram(
        name=name, program=program, command=command, version_of=version_of, connecting=connecting
    )


# ---- Gateways.


def _nginx(front: Listener, upstream: Listener, directory: Path) -> Sequence[str]:
    text = f"""
        daemon off; pid {directory}/pid; error_log stderr; events {{}}
        http {{ access_log off; client_body_temp_path {directory}/b; proxy_temp_path {directory}/p;
          fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u;
          scgi_temp_path {directory}/s;
          server {{ listen {front}; location / {{ proxy_pass https://{NAME}:{upstream.port};
            proxy_ssl_server_name on; proxy_ssl_session_reuse off; }} }} }}"""
    (directory / "nginx.conf").write_text(text)
    return (_find("nginx"), "-e", "stderr", "-c", str(directory / "nginx.conf"))


def _haproxy(front: Listener, upstream: Listener, directory: Path) -> Sequence[str]:
    text = f"""
global
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
    retries 0
frontend one
    bind {front}
    default_backend two
backend two
    server partner {upstream} ssl verify none sni str({NAME}) no-ssl-reuse
"""
    (directory / "haproxy.cfg").write_text(text)
    return (_find("haproxy"), "-db", "-f", str(directory / "haproxy.cfg"))


def _caddy(front: Listener, upstream: Listener, directory: Path) -> Sequence[str]:
    text = f"""{{
    admin off
    auto_https off
    storage file_system {directory}
}}
http://{front} {{
    reverse_proxy https://{NAME}:{upstream.port}
}}
"""
    (directory / "Caddyfile").write_text(text)
    return (_find("caddy"), "run", "--config", str(directory / "Caddyfile"))


_ENVOY = "type.googleapis.com/envoy.extensions"


def _envoy(front: Listener, upstream: Listener, directory: Path) -> Sequence[str]:
    def address(at: Listener) -> object:
        return {"socket_address": {"address": at.address, "port_value": at.port}}

    manager = {
        "@type": f"{_ENVOY}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "partner"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_ENVOY}.filters.http.router.v3.Router"},
            }
        ],
    }
    tls = {
        "@type": f"{_ENVOY}.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": NAME,
        "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"]},
    }
    cluster = {
        "name": "partner",
        "load_assignment": {
            "cluster_name": "partner",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}],
        },
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
    }
    listener = {
        "name": "front",
        "address": address(front),
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }
    (directory / "envoy.json").write_text(
        json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}})
    )
    return (
        *(_find("envoy"), "-c", str(directory / "envoy.json"), "--concurrency", "1"),
        *("--disable-hot-restart", "--log-level", "error"),
    )


# ---- Commands.

_OPENSSL = _printed("openssl", "version", pattern=r"OpenSSL \S+ [^(]*")
_JAVA = _printed("java", "-version", pattern=r"openjdk version \S+")
_GNUTLS = _printed("gnutls-cli", "--version", pattern=r"gnutls-cli \S+")
_NASSL = _package("nassl", "OpenSSL 1.0.2e")
_NASSL_MODERN = _package("nassl", "OpenSSL 1.1.1w")


def _nassl(client: str, chosen: str, ciphers: str = "", *, is_named: bool = True) -> str:
    """Return a command that connects with one of nassl's two OpenSSL libraries."""
    module = "legacy_ssl_client" if client == "LegacySslClient" else "ssl_client"
    suites = f"client.set_cipher_list('{ciphers}'); " if ciphers else ""
    named = "client.set_tlsext_host_name('HOST'); " if is_named else ""
    return (
        f'python -c "import socket; from nassl.{module} import {client}; '
        f"from nassl.ssl_client import OpenSslVersionEnum, OpenSslVerifyEnum; "
        f"s = socket.create_connection(('HOST', PORT)); "
        f"client = {client}(underlying_socket=s, ssl_version=OpenSslVersionEnum.{chosen}, "
        f"ssl_verify=OpenSslVerifyEnum.NONE); {suites}{named}"
        f'client.do_handshake()"'
    )


def _java(way: str, *options: str) -> str:
    words = " ".join(("java", "-Xshare:auto", *options))
    return f"{words} {_HELLO_CLIENT.name} {way} https://{_DOTTED}:PORT/ 1"


def _java_client(
    name: str, way: str, program: str, *, versions: str = "", kind: ClientKind = ClientKind.CURRENT
) -> ClientProgram:
    options = (f"-Djdk.tls.client.protocols={versions}",) if versions else ()
    shown = _java(way, *options)

    @contextmanager
    def connecting(listener: Listener) -> Iterator[Connect]:
        with TemporaryDirectory(prefix="otpc-client-") as directory:
            security = Path(directory) / "java.security"
            security.write_text("jdk.tls.disabledAlgorithms=\n")
            hosts = Path(directory) / "hosts"
            hosts.write_text(f"{listener.address} {_DOTTED}\n")
            allowed = (f"-Djava.security.properties={security}",) if versions else ()
            resolving = f"-Djdk.net.hosts.file={hosts}"
            command = [_find("java"), "-Xshare:auto", resolving, *allowed, *options]
            url = f"https://{_DOTTED}:{listener.port}/"

            def connect() -> None:
                subprocess.run(
                    [*command, str(_HELLO_CLIENT), way, url, "1"],
                    capture_output=True,
                    timeout=60,
                    check=False,
                )

            yield connect

    return ClientProgram(
        name=name,
        program=program,
        command=shown,
        version_of=_JAVA,
        connecting=connecting,
        kind=kind,
    )


_URL = "https://HOST:PORT/"
_PYTHON_TLS = (
    "import socket, ssl; c = ssl.create_default_context(); {extra}"
    "c.wrap_socket(socket.create_connection(('HOST', PORT)), server_hostname='HOST')"
)
_CURRENT = (
    _command(
        "openssl-3",
        "openssl s_client -connect HOST:PORT -servername HOST",
        program="openssl s_client",
        version_of=_OPENSSL,
    ),
    _command(
        "python",
        f"python -c \"import urllib.request as r; r.urlopen('{_URL}')\"",
        program="Python's urllib",
        version_of=_printed(
            "python3",
            "-c",
            "import platform, ssl; print('Python', platform.python_version() + ',',"
            " ssl.OPENSSL_VERSION)",
        ),
    ),
    _command(
        "python-ssl",
        f'python -c "{_PYTHON_TLS.format(extra="")}"',
        program="Python's ssl without ALPN",
        version_of=_printed(
            "python3",
            "-c",
            "import platform, ssl; print('Python', platform.python_version() + ',',"
            " ssl.OPENSSL_VERSION)",
        ),
    ),
    _command(
        "curl",
        f"curl --silent {_URL}",
        program="curl",
        version_of=_printed("curl", "--version", pattern=r"curl \S+ .*?OpenSSL/\S+"),
    ),
    _command(
        "gnutls",
        "gnutls-cli --port PORT HOST",
        program="gnutls-cli",
        version_of=_GNUTLS,
    ),
    _command(
        "wget",
        f"wget --quiet --tries 1 -O /dev/null {_URL}",
        program="GNU Wget with GnuTLS",
        version_of=_printed("wget", "--version", pattern=r"GNU Wget \S+"),
    ),
    _command(
        "git",
        f"git -c http.sslVerify=false ls-remote {_URL}",
        program="git with libcurl-gnutls",
        version_of=_printed("git", "--version", pattern=r"git version \S+"),
    ),
    _command(
        "nss",
        "tstclnt -D -o -4 -h HOST -p PORT",
        program="NSS, tstclnt",
        version_of=_printed("dpkg-query", "-W", "libnss3-tools", pattern=r"libnss3-tools\s+\S+"),
    ),
    _command(
        "node",
        f"node -e \"require('https').get('{_URL}').on('error', () => 0)\"",
        program="Node.js, https",
        version_of=_printed(
            "node", "-p", "'node ' + process.version + ', OpenSSL ' + process.versions.openssl"
        ),
    ),
    _command(
        "grpc",
        "python -c \"import grpc; grpc.channel_ready_future(grpc.secure_channel('HOST:PORT', "
        'grpc.ssl_channel_credentials())).result(timeout=2)"',
        program="gRPC for Python (BoringSSL)",
        version_of=_package("grpcio", "BoringSSL"),
    ),
    _command(
        "openssl-1.0.2",
        _nassl("LegacySslClient", "SSLV23"),
        program="OpenSSL 1.0.2 in nassl",
        version_of=_NASSL,
    ),
    _command(
        "openssl-1.1.1",
        _nassl("SslClient", "SSLV23"),
        program="OpenSSL 1.1.1 in nassl",
        version_of=_NASSL_MODERN,
    ),
    _command(
        "rustls",
        "env UV_HTTP_RETRIES=0 uv pip install --dry-run --no-cache --system"
        f" --index-url {_URL} some-package",
        program="uv: reqwest with rustls",
        version_of=_printed("uv", "--version", pattern=r"uv \S+"),
    ),
    _java_client("java-17", "client", "Java's HttpClient"),
    _java_client("java-17-url", "url", "Java's HttpsURLConnection, without ALPN"),
    _gateway(
        "go",
        "caddy run: reverse_proxy https://HOST:PORT",
        program="Go's net/http, as Caddy's upstream client",
        version_of=_printed("caddy", "version"),
        configuration=_caddy,
    ),
    _gateway(
        "envoy",
        "envoy: a cluster with UpstreamTlsContext, sni and alpn_protocols h2, http/1.1",
        program="Envoy (BoringSSL)",
        version_of=_printed("envoy", "--version", pattern=r"\d+\.\d+\.\d+/\S+"),
        configuration=_envoy,
    ),
    _gateway(
        "nginx",
        "nginx: proxy_pass https://HOST:PORT; proxy_ssl_server_name on",
        program="nginx as a proxy",
        version_of=_printed("nginx", "-v", pattern=r"nginx/\S+"),
        configuration=_nginx,
    ),
    _gateway(
        "haproxy",
        "haproxy: server partner HOST:PORT ssl sni str(HOST)",
        program="HAProxy as a proxy",
        version_of=_printed("haproxy", "-v", pattern=r"HAProxy version \S+"),
        configuration=_haproxy,
    ),
)


def _browser(name: str, program: str) -> ClientProgram:
    return _command(
        name,
        f"python -c \"import curl_cffi; curl_cffi.get('{_URL}', impersonate='{name}')\"",
        program=f"{program}, as curl_cffi sends it",
        version_of=_package("curl_cffi", program),
        source=f"the hello of {program} as the library curl_cffi reproduces it, recorded from that",
    )


_BROWSERS = (
    _browser("chrome", "Chrome"),
    _browser("firefox", "Firefox"),
    _browser("safari", "Safari"),
)

_TLS10 = "-tls1 -cipher DEFAULT:@SECLEVEL=0"
_OLD_JAVA: Mapping[str, str] = {"java-17-tls10": "TLSv1", "java-17-tls11": "TLSv1.1"}
_OLD = (
    *(
        _java_client(
            name,
            "url",
            f"Java's HttpsURLConnection at {chosen}",
            versions=chosen,
            kind=ClientKind.OLD,
        )
        for name, chosen in _OLD_JAVA.items()
    ),
    _command(
        "openssl-3-tls10",
        f"openssl s_client -connect HOST:PORT -servername HOST {_TLS10}",
        program="openssl s_client at TLS 1.0",
        version_of=_OPENSSL,
        kind=ClientKind.OLD,
        is_any_level=True,
    ),
    _command(
        "curl-tls10",
        f"curl --silent --tls-max 1.0 --tlsv1.0 --ciphers DEFAULT:@SECLEVEL=0 {_URL}",
        program="curl at TLS 1.0",
        version_of=_printed("curl", "--version", pattern=r"curl \S+ .*?OpenSSL/\S+"),
        kind=ClientKind.OLD,
        is_any_level=True,
    ),
    _command(
        "gnutls-tls10",
        "gnutls-cli --port PORT --priority NORMAL:-VERS-ALL:+VERS-TLS1.0 HOST",
        program="gnutls-cli at TLS 1.0",
        version_of=_GNUTLS,
        kind=ClientKind.OLD,
    ),
    _command(
        "gnutls-tls11",
        "gnutls-cli --port PORT --priority NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0 HOST",
        program="gnutls-cli at TLS 1.1",
        version_of=_GNUTLS,
        kind=ClientKind.OLD,
    ),
    _command(
        "nss-tls10",
        "tstclnt -D -o -V tls1.0:tls1.0 -4 -h HOST -p PORT",
        program="NSS, tstclnt at TLS 1.0",
        version_of=_printed("dpkg-query", "-W", "libnss3-tools", pattern=r"libnss3-tools\s+\S+"),
        kind=ClientKind.OLD,
    ),
    _command(
        "openssl-1.0.2-tls10",
        _nassl("LegacySslClient", "TLSV1"),
        program="OpenSSL 1.0.2 in nassl at TLS 1.0",
        version_of=_NASSL,
        kind=ClientKind.OLD,
    ),
    _command(
        "openssl-1.0.2-tls11",
        _nassl("LegacySslClient", "TLSV1_1"),
        program="OpenSSL 1.0.2 in nassl at TLS 1.1",
        version_of=_NASSL,
        kind=ClientKind.OLD,
    ),
    _command(
        "openssl-1.0.2-ssl3",
        _nassl("LegacySslClient", "SSLV3"),
        program="OpenSSL 1.0.2 in nassl at SSL 3",
        version_of=_NASSL,
        kind=ClientKind.OLD,
    ),
)

_SSL2_FORM = (
    _command(
        "openssl-1.0.2-ssl2-form",
        _nassl("LegacySslClient", "SSLV23", "ALL", is_named=False),
        program="OpenSSL 1.0.2 in nassl with SSL 2 allowed: all suites in a hello of that form",
        version_of=_NASSL,
        kind=ClientKind.INSECURE,
    ),
)
_INSECURE = (
    *_SSL2_FORM,
    _command(
        "openssl-3-null",
        "openssl s_client -connect HOST:PORT -servername HOST -cipher NULL:@SECLEVEL=0 -tls1_2",
        program="openssl s_client with suites without encryption",
        version_of=_OPENSSL,
        kind=ClientKind.INSECURE,
    ),
    _command(
        "openssl-1.0.2-null",
        _nassl("LegacySslClient", "TLSV1_2", "NULL"),
        program="OpenSSL 1.0.2 in nassl with suites without encryption",
        version_of=_NASSL,
        kind=ClientKind.INSECURE,
    ),
    _command(
        "openssl-1.0.2-low",
        _nassl("LegacySslClient", "TLSV1_2", "EXP:LOW:aNULL:eNULL"),
        program="OpenSSL 1.0.2 in nassl with export, anonymous and NULL suites",
        version_of=_NASSL,
        kind=ClientKind.INSECURE,
    ),
    _command(
        "gnutls-null",
        "gnutls-cli --port PORT --priority NONE:+VERS-TLS1.2:+NULL:+MAC-ALL:+RSA:+ECDHE-RSA:"
        "+SIGN-ALL:+GROUP-ALL:+COMP-NULL HOST",
        program="gnutls-cli with suites without encryption",
        version_of=_GNUTLS,
        kind=ClientKind.INSECURE,
    ),
    _command(
        "nss-null",
        "tstclnt -D -o -V tls1.2:tls1.2 -c :003B:0002:C010:C006 -4 -h HOST -p PORT",
        program="NSS, tstclnt with suites without encryption",
        version_of=_printed("dpkg-query", "-W", "libnss3-tools", pattern=r"libnss3-tools\s+\S+"),
        kind=ClientKind.INSECURE,
    ),
)
PROGRAMS: tuple[ClientProgram, ...] = (*_CURRENT, *_BROWSERS, *_OLD, *_INSECURE)
