"""Apache httpd."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.loopback import Listener
from tests.support.requirements import require
from tests.support.servers.offer import TlsOffer, openssl_versions
from tests.support.servers.program import program

_MODULES = Path("/usr/lib/apache2/modules")
_CONFIGURATION = """\
ServerRoot {directory}
DefaultRuntimeDir {directory}
PidFile {directory}/apache.pid
ErrorLog {directory}/error.log
ServerName localhost
Listen {listener}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule socache_shmcb_module {modules}/mod_socache_shmcb.so
LoadModule ssl_module {modules}/mod_ssl.so
{identity}
StartServers 1
<VirtualHost {listener}>
    SSLEngine on
    SSLProtocol -all {versions}
    SSLCipherSuite {ciphers}
    {directives}
</VirtualHost>
"""


@contextmanager
def apache(
    listener: Listener, offer: TlsOffer, *, directives: Sequence[str] = ()
) -> Iterator[Listener]:
    """Serve HTTPS; every path returns 404 or 403, which is HTTP too.

    directives: for the virtual host, in addition to those from the offer.
    """

    def written(directory: Path) -> Sequence[str]:
        lines = [
            f"SSLCertificateFile {chain}\nSSLCertificateKeyFile {key}"
            for chain, key in offer.write_certificates(directory)
        ]
        client_ca = offer.write_client_ca(directory)
        lines += [f"SSLVerifyClient require\nSSLCACertificateFile {client_ca}"] if client_ca else []
        configuration = directory / "apache.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                directory=directory,
                listener=listener,
                modules=_MODULES,
                # Apache refuses to serve as root.
                identity="User nobody\nGroup nogroup" if os.geteuid() == 0 else "",
                versions=" ".join(f"+{version}" for version in openssl_versions(offer)),
                ciphers=offer.ciphers,
                directives="\n    ".join([*lines, *directives]),
            )
        )
        return (
            require("apache2"),
            "-DFOREGROUND",
            "-f",
            str(configuration),
            "-E",
            str(directory / "startup.log"),
        )

    with program(listener, written) as running:
        yield running
