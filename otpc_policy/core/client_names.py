"""The clients that can stand for an operator's routers, by name.

What each of them sends is data of the engine (`engine/profiles/recorded`). The names belong to both
programs, because the setting `client_profiles` is read where nothing measures.
"""

from typing import Final

CLIENT_NAMES: Final = (
    *("chrome", "curl", "envoy", "firefox", "git", "gnutls", "go", "grpc", "haproxy", "java-17"),
    *("java-17-url", "nginx", "node", "nss", "openssl-1.0.2", "openssl-1.1.1", "openssl-3"),
    *("python", "python-ssl", "rustls", "safari", "wget"),
)
# Every measurement asks as each of them, at one connection or more.
MOST_CLIENT_PROFILES: Final = 8
