"""nginx."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.support.loopback import Listener
from tests.support.requirements import require
from tests.support.servers.offer import BODY, TlsOffer, openssl_versions
from tests.support.servers.program import program

# A server block goes into it. Not formatted yet: braces are doubled.
FRAME = """\
daemon off;
# A single process leaves nothing behind, and no second user has to read the temporary directory.
master_process off;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
%s
    }}
}}
"""
_CONFIGURATION = (
    FRAME
    % """\
        listen {listener}{listen_options};
        {directives}
        return 200 "{body}";{others}"""
)
# For hellos that name no server, or another.
_REJECTING_OTHERS = """
    }}
    server {{
        listen {listener} ssl default_server;
        ssl_reject_handshake on;"""


@contextmanager
def nginx(
    listener: Listener,
    offer: TlsOffer,
    *,
    directives: Sequence[str] = (),
    http2: bool = True,
    only_name: str = "",
) -> Iterator[Listener]:
    """Serve HTTPS.

    directives: for the server block, in addition to those from the offer. only_name: if set, hellos
    that do not name this server are rejected.
    """

    def written(directory: Path) -> Sequence[str]:
        lines = [
            f"ssl_certificate {chain};\nssl_certificate_key {key};"
            for chain, key in offer.write_certificates(directory)
        ]
        lines += [
            f"ssl_protocols {' '.join(openssl_versions(offer))};",
            f"ssl_ciphers {offer.ciphers};",
        ]
        staple, client_ca = offer.write_staple(directory), offer.write_client_ca(directory)
        lines += [f"ssl_stapling on;\nssl_stapling_file {staple};"] if staple else []
        lines += (
            [f"ssl_verify_client on;\nssl_client_certificate {client_ca};"] if client_ca else []
        )
        lines += [f"server_name {only_name};"] if only_name else []
        others = _REJECTING_OTHERS.format(listener=listener) if only_name else ""
        return _command(
            directory,
            listener,
            " ssl http2" if http2 else " ssl",
            [*lines, *directives],
            others=others,
        )

    with program(listener, written) as running:
        yield running


def plain_nginx(listener: Listener) -> AbstractContextManager[Listener]:
    """Serve HTTP without TLS."""
    return program(listener, lambda directory: _command(directory, listener, "", ()))


def _command(
    directory: Path,
    listener: Listener,
    listen_options: str,
    directives: Sequence[str],
    *,
    others: str = "",
) -> Sequence[str]:
    configuration = directory / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            directory=directory,
            listener=listener,
            listen_options=listen_options,
            directives="\n        ".join(directives),
            body=BODY.strip() + r"\n",
            others=others,
        )
    )
    return (require("nginx"), "-e", "stderr", "-p", str(directory), "-c", str(configuration))
