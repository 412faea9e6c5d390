"""What is asked beside hellos: completed handshakes, HTTP, and the commands of a DEEP measurement."""
