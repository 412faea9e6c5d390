"""Send a payment to a partner, if policy permits it: router.py SERVICE PARTNER PORT."""

import sys
from http.client import HTTPConnection

from otpc_policy_client import CallError, NotAsJudged, PolicyClient, TrafficNotPermitted


def send(client: PolicyClient, partner: str, port: int, payment: bytes) -> int:
    """Return the partner's HTTP status. Whatever connect raises, nothing has been sent."""
    with client.connect(partner, port=port, timeout_s=10.0) as connection:
        http = HTTPConnection(partner)
        http.sock = connection.socket  # it leads to a judged address, and met a judged leaf
        http.request("POST", "/payments", body=payment)
        return http.getresponse().status


service, partner, port = sys.argv[1:]
with PolicyClient(service) as client:
    try:
        print("sent:", send(client, partner, int(port), b"100 EUR"))
    except TrafficNotPermitted as refusal:
        sys.exit(f"not sent, policy: {refusal}")
    except NotAsJudged as difference:
        sys.exit(f"not sent, ALERT, the partner shows us another certificate: {difference}")
    except (CallError, OSError) as error:
        sys.exit(f"not sent, try later: {error}")
