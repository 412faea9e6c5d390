"""Programs that read a ClientHello and pass the connection on, TLS untouched: nginx, Envoy, sslh.

HAProxy is in proxies.py. A route's condition is in the words of each program.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from tests.support.loopback import Listener
from tests.support.requirements import require, require_file
from tests.support.servers.envoy import TLS_INSPECTOR
from tests.support.servers.program import program
from tests.support.servers.proxies import Route, routing_haproxy

_NGINX = """\
{load}
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
stream {{
    proxy_connect_timeout 5s;
{servers}
}}
"""
# Of ngx_stream_ssl_preread_module. What is no ClientHello leaves its variables empty.
_NGINX_ROUTE = """\
    map {variable} $route{number} {{ default {route.otherwise}; {pattern} {route.then}; }}
    server {{ listen {route.listener}; ssl_preread on; proxy_pass $route{number}; }}
"""
# The first entry that fits is taken; "anyprot" takes what is no ClientHello, too. Without numeric,
# sslh asks a name server about both ends of every connection.
_SSLH = """\
foreground: true;
numeric: true;
timeout: 1;
on-timeout: "anyprot";
listen: ( {{ host: "{route.listener.address}"; port: "{route.listener.port}"; }} );
protocols: (
  {{ name: "tls"; host: "{route.then.address}"; port: "{route.then.port}"; {condition} }},
  {{ name: "anyprot"; host: "{route.otherwise.address}"; port: "{route.otherwise.port}"; }}
);
"""
_TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


@contextmanager
def routing_nginx(routes: Sequence[Route]) -> Iterator[None]:
    """Run one nginx that listens for every route.

    Conditions: a variable and a pattern of map, such as "$ssl_preread_protocol TLSv1.3".
    """

    def written(directory: Path) -> Sequence[str]:
        configuration = directory / "nginx.conf"
        servers = ""
        for number, route in enumerate(routes):
            variable, pattern = route.condition.split(" ")
            servers += _NGINX_ROUTE.format(
                variable=variable, pattern=pattern, number=number, route=route
            )
        configuration.write_text(
            _NGINX.format(load=_loading_stream(), directory=directory, servers=servers)
        )
        return (require("nginx"), "-e", "stderr", "-p", str(directory), "-c", str(configuration))

    # nginx binds every port before it accepts on any of them.
    with program(routes[-1].listener, written):
        yield


def _loading_stream() -> str:
    """Return the directive that loads the module, or nothing if nginx has it built in."""
    shown = subprocess.run([require("nginx"), "-V"], capture_output=True, text=True, check=True)
    if "--with-stream=dynamic" not in shown.stderr:
        return ""
    folder = re.search(r"--modules-path=(\S+)", shown.stderr)
    assert folder is not None, "nginx does not say where its modules are"
    module = require_file(
        Path(folder[1]) / "ngx_stream_module.so", "apt-get install libnginx-mod-stream"
    )
    return f"load_module {module};"


@contextmanager
def routing_envoy(routes: Sequence[Route]) -> Iterator[None]:
    """Run one Envoy that listens for every route.

    Conditions: a field of FilterChainMatch and a value, such as "application_protocols h2".
    """
    ends = sorted({end for route in routes for end in (route.then, route.otherwise)}, key=str)

    def written(directory: Path) -> Sequence[str]:
        path = directory / "envoy.json"
        resources = {
            "listeners": list(map(_envoy_listener, routes)),
            "clusters": list(map(_envoy_cluster, ends)),
        }
        path.write_text(json.dumps({"static_resources": resources}))
        options = ("--disable-hot-restart", "--concurrency", "1", "--log-level", "warning")
        return (require("envoy"), "--config-path", str(path), *options)

    with program(routes[-1].listener, written):
        yield


def _envoy_listener(route: Route) -> Mapping[str, object]:
    field, value = route.condition.split(" ")
    return {
        "name": str(route.listener),
        "address": _envoy_address(route.listener),
        "listener_filters": [TLS_INSPECTOR],
        "filter_chains": [
            {"filter_chain_match": {field: [value]}, "filters": [_passing_on(route.then)]}
        ],
        "default_filter_chain": {"filters": [_passing_on(route.otherwise)]},
    }


def _passing_on(end: Listener) -> Mapping[str, object]:
    content = {"@type": _TCP_PROXY, "stat_prefix": "route", "cluster": str(end)}
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": content}


def _envoy_cluster(end: Listener) -> Mapping[str, object]:
    endpoints = [{"endpoint": {"address": _envoy_address(end)}}]
    assignment = {"cluster_name": str(end), "endpoints": [{"lb_endpoints": endpoints}]}
    return {"name": str(end), "type": "STATIC", "load_assignment": assignment}


def _envoy_address(listener: Listener) -> Mapping[str, object]:
    return {"socket_address": {"address": listener.address, "port_value": listener.port}}


@contextmanager
def routing_sslh(routes: Sequence[Route]) -> Iterator[None]:
    """Run an sslh for every route.

    Conditions: a setting of its probe for TLS and a value, such as "alpn_protocols h2".
    """
    with ExitStack() as running:
        for route in routes:
            running.enter_context(program(route.listener, _sslh_command(route)))
        yield


def _sslh_command(route: Route) -> Callable[[Path], Sequence[str]]:
    setting, value = route.condition.split(" ")

    def written(directory: Path) -> Sequence[str]:
        configuration = directory / "sslh.cfg"
        configuration.write_text(
            _SSLH.format(route=route, condition=f'{setting}: [ "{value}" ];'), encoding="ascii"
        )
        # One process for all connections.
        return (require("sslh-select"), f"-F{configuration}")

    return written


Routing = Callable[[Sequence[Route]], AbstractContextManager[None]]
ROUTERS: Mapping[str, Routing] = {
    "nginx": routing_nginx,
    "haproxy": routing_haproxy,
    "envoy": routing_envoy,
    "sslh": routing_sslh,
}
