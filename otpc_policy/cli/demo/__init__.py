"""The demo: partners of every kind on loopback, and a service that judges them."""
