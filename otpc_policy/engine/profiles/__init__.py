"""Clients whose hellos are sent: recorded or written from their published form, as data."""
