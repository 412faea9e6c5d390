"""Sans-IO TLS: cipher suites as data, the first answer of a server. No sockets, no clock."""
