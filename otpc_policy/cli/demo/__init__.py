"""The demo: partners of every kind on loopback, and the service that judges them. Nothing here serves production."""
