"""The bounds of every message between the two programs. Both sides hold them.

An engine cuts what it says down to them (`fitting`); a front takes what exceeds them for a lie
(`codec`). What is cut loses texts for people, or turns a fact into UNKNOWN; never into a YES or NO.
"""

from typing import Final

# The largest message of either side. gRPC refuses a longer one before it is in memory. An empty
# submessage is two bytes here and up to ninety in memory once it is parsed, so this also bounds
# what a lying engine can make of a front: less than 30 MiB for as long as it takes to look.
MAX_MESSAGE_BYTES: Final = 640 * 1024

# Certificates of a chain, and their bytes. The longest chains of public servers have 10
# certificates and 20 KiB; one connection brings 256 KiB at most (scan.connection_bytes).
MAX_CHAIN_CERTIFICATES: Final = 64
MAX_CHAIN_BYTES: Final = 256 * 1024
# An OCSPResponse with its responder's certificate has 2 to 3 KiB.
MAX_STAPLE_BYTES: Final = 64 * 1024
# All certificates and staples of one measurement.
MAX_DEPLOYMENT_BYTES: Final = 384 * 1024
# Six versions and six key types, and room for servers that give every client another chain.
MAX_DEPLOYMENTS: Final = 128

# Suites of one version: all registered ones are fewer than 400.
MAX_SUITES: Final = 1024
# Sets of suites that policies require, and their suites in all: most policies share a few.
MAX_REQUIRED_SETS: Final = 256
MAX_REQUIRED_SUITES: Final = 4096
MAX_CURVES: Final = 128
# All registered groups are fewer than 64.
MAX_GROUPS: Final = 128
# Those below TLS 1.3, at each version.
MAX_KEY_EXCHANGES: Final = 256
# A prime of a ServerKeyExchange has at most 65,535 bytes (RFC 5246 7.4.3).
MAX_PRIME_BITS: Final = 8 * 65_535

# Texts for people are printable ASCII.
MAX_TEXT_CHARACTERS: Final = 500
MAX_REMARKS: Final = 50
# A check opens at most 240 connections (DESIGN section 4), a survey done twice some more.
MAX_TRACE_STEPS: Final = 1024
MAX_TRACE_CHARACTERS: Final = 48 * 1024

# Parts of a measurement, for traces: some forty, for a survey that is done twice.
MAX_SPANS: Final = 256

MAX_CONNECTIONS: Final = 100_000
# Of one measurement and of each of its parts.
MAX_DURATION_S: Final = 86_400.0

# A CRL travels in chunks of which no two must fit into a message. Those of public authorities have
# 10 MiB at most, and most have less than 1 MiB.
MAX_CRL_BYTES: Final = 16 * 1024 * 1024
MAX_CRL_CHUNK_BYTES: Final = 256 * 1024
MAX_FETCH_S: Final = 120.0

# Addresses of a host beyond those that are measured, and those that are forbidden.
MAX_ADDRESS_NOTES: Final = 256
# How long an answer of DNS may be used (DESIGN section 5).
MAX_ADDRESS_VALIDITY_S: Final = 60.0
