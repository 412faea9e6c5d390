"""The program that measures. It knows DNS, sockets and TLS libraries, and no policy."""
