"""nginx."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.loopback import Listener
from tests.support.requirements import require
from tests.support.servers.offer import BODY, TlsOffer, openssl_versions
from tests.support.servers.program import program

_ALONE = "master_process off;"
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
        lines = _as_offered(directory, offer)
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


def _as_offered(directory: Path, offer: TlsOffer) -> list[str]:
    """Return directives for certificates, versions and suites."""
    return [
        *(
            f"ssl_certificate {chain};\nssl_certificate_key {key};"
            for chain, key in offer.write_certificates(directory)
        ),
        f"ssl_protocols {' '.join(openssl_versions(offer))};",
        f"ssl_ciphers {offer.ciphers};",
    ]


@dataclass(frozen=True, slots=True)
class RenewableNginx:
    """An nginx that reads its certificates again when it is told to, as after a renewal.

    at: where it listens.
    """

    at: Listener
    _directory: Path

    def renew(self, offer: TlsOffer) -> None:
        """Replace the certificates, as many as before, and reload.

        New workers accept at once; old ones finish what they have accepted.
        """
        offer.write_certificates(self._directory)
        os.kill(int((self._directory / "nginx.pid").read_text()), signal.SIGHUP)


@contextmanager
def renewable_nginx(listener: Listener, offer: TlsOffer) -> Iterator[RenewableNginx]:
    """Serve HTTPS with a master process and workers, as distributions start it."""
    places: list[Path] = []

    def written(directory: Path) -> Sequence[str]:
        places.append(directory)
        command = _command(directory, listener, " ssl http2", _as_offered(directory, offer))
        configuration = directory / "nginx.conf"
        text = configuration.read_text()
        assert _ALONE in text
        # Workers of root may read the temporary directory.
        configuration.write_text(text.replace(_ALONE, "user root root;\nworker_processes 2;"))
        return command

    with program(listener, written) as at:
        yield RenewableNginx(at, places[0])


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
