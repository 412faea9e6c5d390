"""node: OpenSSL, as its `https` module sets it up."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.loopback import Listener
from tests.support.requirements import require
from tests.support.servers.offer import TlsOffer
from tests.support.servers.program import program

_PROGRAM = """
const [chain, key, curves, address, port] = process.argv.slice(1);
const options = { cert: fs.readFileSync(chain), key: fs.readFileSync(key), ecdhCurve: curves };
require('https')
  .createServer(options, (_, response) => response.end('accepted'))
  .listen(port, address);
"""


@contextmanager
def node(listener: Listener, offer: TlsOffer, *, curves: str = "auto") -> Iterator[Listener]:
    """Serve HTTPS with the first certificate of the offer, in node's versions and suites.

    curves: by OpenSSL's names, with colons between them.
    """

    def written(directory: Path) -> Sequence[str]:
        ((chain, key), *_) = offer.write_certificates(directory)
        place = listener.address, str(listener.port)
        return (require("node"), "-e", _PROGRAM, str(chain), str(key), curves, *place)

    with program(listener, written) as running:
        yield running
