"""Extensions of a hello by number. Source: IANA, TLS ExtensionType Values."""

from typing import Final

SERVER_NAME: Final = 0
MAX_FRAGMENT_LENGTH: Final = 1
STATUS_REQUEST: Final = 5
GROUPS: Final = 10
POINT_FORMATS: Final = 11
SCHEMES: Final = 13
HEARTBEAT: Final = 15
ALPN: Final = 16
STATUS_REQUEST_V2: Final = 17
TIMESTAMPS: Final = 18
PADDING: Final = 21
ENCRYPT_THEN_MAC: Final = 22
EXTENDED_MASTER_SECRET: Final = 23
COMPRESS_CERTIFICATE: Final = 27
RECORD_SIZE: Final = 28
DELEGATED_CREDENTIAL: Final = 34
TICKET: Final = 35
PRE_SHARED_KEY: Final = 41
VERSIONS: Final = 43
COOKIE: Final = 44
PSK_MODES: Final = 45
POST_HANDSHAKE_AUTH: Final = 49
SCHEMES_CERT: Final = 50
KEY_SHARE: Final = 51
# Not registered: draft-agl-tls-nextprotoneg.
NEXT_PROTOCOL: Final = 13172
# Not registered: draft-vvv-tls-alps, as Chrome sends it.
APPLICATION_SETTINGS: Final = 17613
# Not registered: draft-ietf-tls-trust-anchor-ids, as Chrome sends it.
TRUST_ANCHORS: Final = 51764
ENCRYPTED_CLIENT_HELLO: Final = 65037
RENEGOTIATION: Final = 0xFF01
