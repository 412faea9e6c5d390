"""Reads the fields of one message that is there as a whole. Its error stays inside the decoders: to the outside it is a value."""


class Malformed(Exception):
    """The bytes contradict themselves or the protocol. The text is for people."""


class Fields:
    """The fields of a message, taken from its start; each method raises Malformed where the message ends too soon."""

    __slots__ = ("_content", "_place")

    def __init__(self, content: bytes) -> None:
        self._content, self._place = content, 0

    @property
    def left(self) -> int:
        """Bytes that were not taken."""
        return len(self._content) - self._place

    def take(self, count: int) -> bytes:
        """Take a number of bytes."""
        end = self._place + count
        if end > len(self._content):
            raise Malformed("a field ends behind its message")
        taken, self._place = self._content[self._place : end], end
        return taken

    def since_start(self, count: int) -> bytes:
        """Return the first bytes of the message, taken or not."""
        return self._content[:count]

    def number(self, width: int) -> int:
        """Take an unsigned number of so many bytes."""
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        """Take a length of so many bytes, and what it announces."""
        return self.take(self.number(width))
