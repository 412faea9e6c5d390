"""Sans-IO TLS: what to ask a server, and what its first answer says. No sockets, no clock."""
