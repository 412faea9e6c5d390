"""Gateways as clients of their upstream: their configurations, and the command that starts each.

Each function takes the gateway's own listener, its upstream, and a directory to write in.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from tests.recording.client_program import find
from tests.recording.listener import NAME
from tests.support.loopback import Listener


def nginx_configuration(front: Listener, upstream: Listener, directory: Path) -> Sequence[str]:
    text = f"""
        daemon off; pid {directory}/pid; error_log stderr; events {{}}
        http {{ access_log off; client_body_temp_path {directory}/b; proxy_temp_path {directory}/p;
          fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u;
          scgi_temp_path {directory}/s;
          server {{ listen {front}; location / {{ proxy_pass https://{NAME}:{upstream.port};
            proxy_ssl_server_name on; proxy_ssl_session_reuse off; }} }} }}"""
    (directory / "nginx.conf").write_text(text)
    return (find("nginx"), "-e", "stderr", "-c", str(directory / "nginx.conf"))


def haproxy_configuration(front: Listener, upstream: Listener, directory: Path) -> Sequence[str]:
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
    return (find("haproxy"), "-db", "-f", str(directory / "haproxy.cfg"))


def caddy_configuration(front: Listener, upstream: Listener, directory: Path) -> Sequence[str]:
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
    return (find("caddy"), "run", "--config", str(directory / "Caddyfile"))


_ENVOY = "type.googleapis.com/envoy.extensions"


def envoy_configuration(front: Listener, upstream: Listener, directory: Path) -> Sequence[str]:
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
        *(find("envoy"), "-c", str(directory / "envoy.json"), "--concurrency", "1"),
        *("--disable-hot-restart", "--log-level", "error"),
    )
