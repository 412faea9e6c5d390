"""What is asked in addition to hellos: completed handshakes and HTTP."""
