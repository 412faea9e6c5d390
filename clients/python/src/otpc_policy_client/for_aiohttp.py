"""A connector of aiohttp whose connections are as judged (pip install otpc-policy-client[aiohttp]).

    async with AsyncPolicyClient("policy.internal:443") as policy_client:
        async with aiohttp.ClientSession(connector=JudgedConnector(policy_client)) as session:
            await session.post("https://partner.example/payments", json=payment)

It takes the place of resolver, dialling and TLS: names are not resolved here. Only https and wss
are spoken, and no proxy is used. A kept connection is not used again once its answer has expired.
What connect raises about policy passes through: TrafficNotPermitted, NotAsJudged, CallError. The
time-out sock_connect of aiohttp bounds the question, too.
"""

from typing import Any, Unpack

import aiohttp
from aiohttp.client_proto import ResponseHandler

from otpc_policy_client.errors import PolicyClientError
from otpc_policy_client.for_asyncio import AsyncPolicyClient
from otpc_policy_client.judged import JudgedEndpoint
from otpc_policy_client.keeping_terms import MakeContext, client_context, stands
from otpc_policy_client.questions import CheckFields, with_port


class JudgedConnector(aiohttp.BaseConnector):
    """A connector for aiohttp.ClientSession. It does not close the policy client.

    make_context, dangerously_permit_report_only, fields: as of AsyncPolicyClient.connect; not port.
    limit, limit_per_host: of connections at a time. The arguments ssl and server_hostname of a
    request have no effect: the verdict says what to offer and which leaf to accept.
    """

    allowed_protocol_schema_set = frozenset({"https", "wss"})

    def __init__(
        self,
        policy_client: AsyncPolicyClient,
        *,
        make_context: MakeContext = client_context,
        dangerously_permit_report_only: bool = False,
        limit: int = 100,
        limit_per_host: int = 0,
        **fields: Unpack[CheckFields],
    ) -> None:
        super().__init__(limit=limit, limit_per_host=limit_per_host)
        self._policy_client = policy_client
        self._make_context = make_context
        self._permit_report_only = dangerously_permit_report_only
        self._fields = fields

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
        """Return a connection whose answer stands, a kept one or another."""
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if isinstance(protocol, _Handler) and protocol.judged and stands(protocol.judged):
                return connection
            connection.close()

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> ResponseHandler:
        """Open a connection. aiohttp's own connectors are made by this method, too."""
        if req.proxy:
            raise ValueError("no verdict covers a proxy")
        try:
            opened = await self._policy_client.connect_protocol(
                lambda: _Handler(loop=self._loop),
                req.url.raw_host,
                timeout_s=timeout.sock_connect,
                make_context=self._make_context,
                dangerously_permit_report_only=self._permit_report_only,
                **with_port(self._fields, req.url.port),
            )
        except PolicyClientError:
            raise
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(str(error)) from error
        except OSError as error:
            raise aiohttp.ClientConnectionError(str(error)) from error
        opened.protocol.judged = opened.judged
        return opened.protocol


class _Handler(ResponseHandler):
    """aiohttp's protocol, with what its connection was held to."""

    judged: JudgedEndpoint | None = None
