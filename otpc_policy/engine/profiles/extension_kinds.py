"""Extensions of a hello by number. Source: IANA, TLS ExtensionType Values."""

from typing import Final

SERVER_NAME: Final = 0
STATUS_REQUEST: Final = 5
GROUPS: Final = 10
POINT_FORMATS: Final = 11
SCHEMES: Final = 13
HEARTBEAT: Final = 15
ALPN: Final = 16
TIMESTAMPS: Final = 18
PADDING: Final = 21
ENCRYPT_THEN_MAC: Final = 22
EXTENDED_MASTER_SECRET: Final = 23
COMPRESS_CERTIFICATE: Final = 27
RECORD_SIZE: Final = 28
TICKET: Final = 35
VERSIONS: Final = 43
COOKIE: Final = 44
PSK_MODES: Final = 45
SCHEMES_CERT: Final = 50
KEY_SHARE: Final = 51
# Not registered: draft-ietf-tls-trust-anchor-ids, as Chrome sends it.
TRUST_ANCHORS: Final = 51764
ENCRYPTED_CLIENT_HELLO: Final = 65037
RENEGOTIATION: Final = 0xFF01
