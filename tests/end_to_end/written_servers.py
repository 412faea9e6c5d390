"""nginx, Apache, HAProxy and Envoy from pieces of configuration, where remedies can be inserted.

A piece may name the files of the remedies (/etc/nginx/tls/fullchain.pem) and the port 443; both are
replaced by those of the test.
"""

import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.support.loopback import Listener
from tests.support.requirements import require
from tests.support.servers.nginx import FRAME
from tests.support.servers.program import program

_NGINX = FRAME % "{listen}\n{site}\n        return 200 accepted;"
_APACHE = """\
ServerRoot {directory}
DefaultRuntimeDir {directory}
PidFile {directory}/apache.pid
ErrorLog {directory}/error.log
ServerName localhost
Listen {listener}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
{identity}
StartServers 1
{everywhere}
<VirtualHost {listener}>
{listen}
{site}
</VirtualHost>
"""
_HAPROXY = """\
global
    maxconn 200
{everywhere}
defaults
    mode http
    timeout client 5s
    timeout connect 5s
    timeout server 5s
frontend partner
{listen}
    http-request return status 200 content-type text/plain string accepted
"""
_ENVOY = """\
static_resources:
  listeners:
  - name: partner
    address: {{ socket_address: {{ address: {address}, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network\
.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: partner
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{ prefix: "/" }}
                direct_response: {{ status: 200, body: {{ inline_string: accepted }} }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
{listen}
{site}
{everywhere}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """Pieces of a configuration, by place.

    listen: turns TLS on. site: for this server alone. everywhere: for the whole program. files: by
    name, in one directory. For Envoy, listen is the transport socket up to its common_tls_context,
    site goes into that, everywhere into the DownstreamTlsContext.
    """

    listen: str = ""
    site: str = ""
    everywhere: str = ""
    files: Mapping[str, bytes]


Serve = Callable[[Listener, Pieces], AbstractContextManager[Listener]]


def nginx(listener: Listener, pieces: Pieces) -> AbstractContextManager[Listener]:
    """Serve HTTPS, or HTTP if no piece turns TLS on."""

    def written(directory: Path) -> Sequence[str]:
        path = _configuration(
            directory, listener, _NGINX, pieces, listen=pieces.listen or "listen 443;"
        )
        return (require("nginx"), "-e", "stderr", "-p", str(directory), "-c", str(path))

    return program(listener, written)


def apache(listener: Listener, pieces: Pieces) -> AbstractContextManager[Listener]:
    """Serve HTTPS, or HTTP if no piece turns TLS on."""

    def written(directory: Path) -> Sequence[str]:
        identity = "User nobody\nGroup nogroup" if os.geteuid() == 0 else ""
        path = _configuration(directory, listener, _APACHE, pieces, identity=identity)
        return (
            require("apache2"),
            "-DFOREGROUND",
            "-f",
            str(path),
            "-E",
            str(directory / "startup.log"),
        )

    return program(listener, written)


def haproxy(listener: Listener, pieces: Pieces) -> AbstractContextManager[Listener]:
    """Serve HTTPS, or HTTP if no piece turns TLS on."""

    def written(directory: Path) -> Sequence[str]:
        return (
            require("haproxy"),
            "-db",
            "-f",
            str(
                _configuration(
                    directory, listener, _HAPROXY, pieces, listen=pieces.listen or "bind :443"
                )
            ),
        )

    return program(listener, written)


def envoy(listener: Listener, pieces: Pieces) -> AbstractContextManager[Listener]:
    """Serve HTTPS, or HTTP if no piece turns TLS on."""

    def written(directory: Path) -> Sequence[str]:
        path = _configuration(
            directory,
            listener,
            _ENVOY,
            pieces,
            listen=textwrap.indent(pieces.listen, " " * 6),
            site=textwrap.indent(pieces.site, " " * 12),
            everywhere=textwrap.indent(pieces.everywhere, " " * 10),
        )
        return (
            require("envoy"),
            "-c",
            str(path.rename(path.with_suffix(".yaml"))),
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "warning",
        )

    return program(listener, written)


def _configuration(
    directory: Path, listener: Listener, template: str, pieces: Pieces, **slots: str
) -> Path:
    tls = directory / "tls"
    tls.mkdir()
    for name, content in pieces.files.items():
        (tls / name).write_bytes(content)
    filled = {
        "listen": pieces.listen,
        "site": pieces.site,
        "everywhere": pieces.everywhere,
        **slots,
    }
    for slot, text in filled.items():
        for server in ("nginx", "apache2", "haproxy", "envoy"):
            text = text.replace(f"/etc/{server}/tls", str(tls))  # noqa: PLW2901
        filled[slot] = text.replace("listen 443", f"listen {listener}").replace(
            "bind :443", f"bind {listener}"
        )
    path = directory / "server.conf"
    path.write_text(
        template.format(
            directory=directory,
            listener=listener,
            address=listener.address,
            port=listener.port,
            **filled,
        )
    )
    return path
