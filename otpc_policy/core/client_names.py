"""The clients in whose shape an endpoint can be measured, by name.

What each sends is data of the engine (`engine/profiles/recorded`); the names are words of both
programs, because the operator's setting `client_profiles` is read where nothing measures.
"""

from typing import Final

CLIENT_NAMES: Final = (
    *("chrome", "curl", "envoy", "firefox", "git", "gnutls", "go", "grpc", "haproxy", "java-17"),
    *("java-17-url", "nginx", "node", "nss", "openssl-1.0.2", "openssl-1.1.1", "openssl-3"),
    *("python", "python-ssl", "rustls", "safari", "wget"),
)
# One of each TLS library that payment routers are built on.
DEFAULT_CLIENT_NAMES: Final = ("curl", "envoy", "gnutls", "go", "java-17")
