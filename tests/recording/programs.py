"""The programs whose hellos are recorded.

Each is run as its users run it: with its defaults, unless the entry says otherwise. Gateways
(Caddy, Envoy, nginx, HAProxy) connect as clients of their upstream.
"""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from otpc_policy.engine.profiles.recorded_clients import ClientKind
from tests.recording.client_program import (
    ClientProgram,
    Connect,
    command,
    find,
    gateway,
    package,
    printed,
)
from tests.recording.gateways import (
    caddy_configuration,
    envoy_configuration,
    haproxy_configuration,
    nginx_configuration,
)
from tests.support.loopback import Listener

# Java sends no server name without a dot.
_DOTTED = "partner.test"
_HELLO_CLIENT = Path(__file__).with_name("HelloClient.java")
_OPENSSL = printed("openssl", "version", pattern=r"OpenSSL \S+ [^(]*")
_JAVA = printed("java", "-version", pattern=r"openjdk version \S+")
_GNUTLS = printed("gnutls-cli", "--version", pattern=r"gnutls-cli \S+")
_NSS = printed("dpkg-query", "-W", "libnss3-tools", pattern=r"libnss3-tools\s+\S+")
_CURL = printed("curl", "--version", pattern=r"curl \S+ .*?OpenSSL/\S+")
_PYTHON = printed(
    "python3",
    "-c",
    "import platform, ssl; print('Python', platform.python_version() + ',', ssl.OPENSSL_VERSION)",
)
_NASSL = package("nassl", "OpenSSL 1.0.2e")
_NASSL_MODERN = package("nassl", "OpenSSL 1.1.1w")


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
            command = [find("java"), "-Xshare:auto", resolving, *allowed, *options]
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
    command(
        "openssl-3",
        "openssl s_client -connect HOST:PORT -servername HOST",
        program="openssl s_client",
        version_of=_OPENSSL,
    ),
    command(
        "python",
        f"python -c \"import urllib.request as r; r.urlopen('{_URL}')\"",
        program="Python's urllib",
        version_of=_PYTHON,
    ),
    command(
        "python-ssl",
        f'python -c "{_PYTHON_TLS.format(extra="")}"',
        program="Python's ssl without ALPN",
        version_of=_PYTHON,
    ),
    command(
        "curl",
        f"curl --silent {_URL}",
        program="curl",
        version_of=_CURL,
    ),
    command(
        "gnutls",
        "gnutls-cli --port PORT HOST",
        program="gnutls-cli",
        version_of=_GNUTLS,
    ),
    command(
        "wget",
        f"wget --quiet --tries 1 -O /dev/null {_URL}",
        program="GNU Wget with GnuTLS",
        version_of=printed("wget", "--version", pattern=r"GNU Wget \S+"),
    ),
    command(
        "git",
        f"git -c http.sslVerify=false ls-remote {_URL}",
        program="git with libcurl-gnutls",
        version_of=printed("git", "--version", pattern=r"git version \S+"),
    ),
    command(
        "nss",
        "tstclnt -D -o -4 -h HOST -p PORT",
        program="NSS, tstclnt",
        version_of=_NSS,
    ),
    command(
        "node",
        f"node -e \"require('https').get('{_URL}').on('error', () => 0)\"",
        program="Node.js, https",
        version_of=printed(
            "node", "-p", "'node ' + process.version + ', OpenSSL ' + process.versions.openssl"
        ),
    ),
    command(
        "grpc",
        "python -c \"import grpc; grpc.channel_ready_future(grpc.secure_channel('HOST:PORT', "
        'grpc.ssl_channel_credentials())).result(timeout=2)"',
        program="gRPC for Python (BoringSSL)",
        version_of=package("grpcio", "BoringSSL"),
    ),
    command(
        "openssl-1.0.2",
        _nassl("LegacySslClient", "SSLV23"),
        program="OpenSSL 1.0.2 in nassl",
        version_of=_NASSL,
    ),
    command(
        "openssl-1.1.1",
        _nassl("SslClient", "SSLV23"),
        program="OpenSSL 1.1.1 in nassl",
        version_of=_NASSL_MODERN,
    ),
    command(
        "rustls",
        "env UV_HTTP_RETRIES=0 uv pip install --dry-run --no-cache --system"
        f" --index-url {_URL} some-package",
        program="uv: reqwest with rustls",
        version_of=printed("uv", "--version", pattern=r"uv \S+"),
    ),
    _java_client("java-17", "client", "Java's HttpClient"),
    _java_client("java-17-url", "url", "Java's HttpsURLConnection, without ALPN"),
    gateway(
        "go",
        "caddy run: reverse_proxy https://HOST:PORT",
        program="Go's net/http, as Caddy's upstream client",
        version_of=printed("caddy", "version"),
        configuration=caddy_configuration,
    ),
    gateway(
        "envoy",
        "envoy: a cluster with UpstreamTlsContext, sni and alpn_protocols h2, http/1.1",
        program="Envoy (BoringSSL)",
        version_of=printed("envoy", "--version", pattern=r"\d+\.\d+\.\d+/\S+"),
        configuration=envoy_configuration,
    ),
    gateway(
        "nginx",
        "nginx: proxy_pass https://HOST:PORT; proxy_ssl_server_name on",
        program="nginx as a proxy",
        version_of=printed("nginx", "-v", pattern=r"nginx/\S+"),
        configuration=nginx_configuration,
    ),
    gateway(
        "haproxy",
        "haproxy: server partner HOST:PORT ssl sni str(HOST)",
        program="HAProxy as a proxy",
        version_of=printed("haproxy", "-v", pattern=r"HAProxy version \S+"),
        configuration=haproxy_configuration,
    ),
)


def _browser(name: str, program: str) -> ClientProgram:
    return command(
        name,
        f"python -c \"import curl_cffi; curl_cffi.get('{_URL}', impersonate='{name}')\"",
        program=f"{program}, as curl_cffi sends it",
        version_of=package("curl_cffi", program),
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
    command(
        "openssl-3-tls10",
        f"openssl s_client -connect HOST:PORT -servername HOST {_TLS10}",
        program="openssl s_client at TLS 1.0",
        version_of=_OPENSSL,
        kind=ClientKind.OLD,
        is_any_level=True,
    ),
    command(
        "curl-tls10",
        f"curl --silent --tls-max 1.0 --tlsv1.0 --ciphers DEFAULT:@SECLEVEL=0 {_URL}",
        program="curl at TLS 1.0",
        version_of=_CURL,
        kind=ClientKind.OLD,
        is_any_level=True,
    ),
    command(
        "gnutls-tls10",
        "gnutls-cli --port PORT --priority NORMAL:-VERS-ALL:+VERS-TLS1.0 HOST",
        program="gnutls-cli at TLS 1.0",
        version_of=_GNUTLS,
        kind=ClientKind.OLD,
    ),
    command(
        "gnutls-tls11",
        "gnutls-cli --port PORT --priority NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0 HOST",
        program="gnutls-cli at TLS 1.1",
        version_of=_GNUTLS,
        kind=ClientKind.OLD,
    ),
    command(
        "nss-tls10",
        "tstclnt -D -o -V tls1.0:tls1.0 -4 -h HOST -p PORT",
        program="NSS, tstclnt at TLS 1.0",
        version_of=_NSS,
        kind=ClientKind.OLD,
    ),
    command(
        "openssl-1.0.2-tls10",
        _nassl("LegacySslClient", "TLSV1"),
        program="OpenSSL 1.0.2 in nassl at TLS 1.0",
        version_of=_NASSL,
        kind=ClientKind.OLD,
    ),
    command(
        "openssl-1.0.2-tls11",
        _nassl("LegacySslClient", "TLSV1_1"),
        program="OpenSSL 1.0.2 in nassl at TLS 1.1",
        version_of=_NASSL,
        kind=ClientKind.OLD,
    ),
    command(
        "openssl-1.0.2-ssl3",
        _nassl("LegacySslClient", "SSLV3"),
        program="OpenSSL 1.0.2 in nassl at SSL 3",
        version_of=_NASSL,
        kind=ClientKind.OLD,
    ),
)

_INSECURE = (
    command(
        "openssl-1.0.2-ssl2-form",
        _nassl("LegacySslClient", "SSLV23", "ALL", is_named=False),
        program="OpenSSL 1.0.2 in nassl with SSL 2 allowed: all suites in a hello of that form",
        version_of=_NASSL,
        kind=ClientKind.INSECURE,
    ),
    command(
        "openssl-3-null",
        "openssl s_client -connect HOST:PORT -servername HOST -cipher NULL:@SECLEVEL=0 -tls1_2",
        program="openssl s_client with suites without encryption",
        version_of=_OPENSSL,
        kind=ClientKind.INSECURE,
    ),
    command(
        "openssl-1.0.2-null",
        _nassl("LegacySslClient", "TLSV1_2", "NULL"),
        program="OpenSSL 1.0.2 in nassl with suites without encryption",
        version_of=_NASSL,
        kind=ClientKind.INSECURE,
    ),
    command(
        "openssl-1.0.2-low",
        _nassl("LegacySslClient", "TLSV1_2", "EXP:LOW:aNULL:eNULL"),
        program="OpenSSL 1.0.2 in nassl with export, anonymous and NULL suites",
        version_of=_NASSL,
        kind=ClientKind.INSECURE,
    ),
    command(
        "gnutls-null",
        "gnutls-cli --port PORT --priority NONE:+VERS-TLS1.2:+NULL:+MAC-ALL:+RSA:+ECDHE-RSA:"
        "+SIGN-ALL:+GROUP-ALL:+COMP-NULL HOST",
        program="gnutls-cli with suites without encryption",
        version_of=_GNUTLS,
        kind=ClientKind.INSECURE,
    ),
    command(
        "nss-null",
        "tstclnt -D -o -V tls1.2:tls1.2 -c :003B:0002:C010:C006 -4 -h HOST -p PORT",
        program="NSS, tstclnt with suites without encryption",
        version_of=_NSS,
        kind=ClientKind.INSECURE,
    ),
)
PROGRAMS: tuple[ClientProgram, ...] = (*_CURRENT, *_BROWSERS, *_OLD, *_INSECURE)
