"""HTTP over a bare socket, for clients that misbehave: half requests, stalls, resets."""

import json
import socket
import struct


class Wire:
    """One connection. Reads are blocking with a time limit."""

    def __init__(self, port, seconds=120, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(seconds)
        self.socket.connect(("127.0.0.1", port))
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def request(self, method, path, body=None, headers=()):
        text = b"" if body is None else body if isinstance(body, bytes) else \
            json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(text)}"]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + text)

    def _more(self):
        data = self.socket.recv(65536)
        self.received += data
        return data

    def until(self, mark):
        """Everything up to and with `mark`; what follows stays for the next read."""
        while mark not in self.received:
            if not self._more():
                raise EOFError(f"closed before {mark!r}: {self.received[-2000:]!r}")
        head, self.received = self.received.split(mark, 1)
        return head + mark

    def exactly(self, size):
        while len(self.received) < size:
            if not self._more():
                raise EOFError(f"closed with {len(self.received)} of {size} bytes")
        data, self.received = self.received[:size], self.received[size:]
        return data

    def head(self):
        """Status and headers (names in lower case) of the next response."""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), {k.lower(): v for k, v in headers.items()}

    def response(self):
        status, headers = self.head()
        return status, headers, self.exactly(int(headers.get("content-length", 0)))

    def events(self):
        """The event stream of a chunked response, line by line, until its end."""
        text = b""
        while True:
            size = int(self.until(b"\r\n").split(b";")[0], 16)
            chunk = self.exactly(size)
            self.exactly(2)
            if size == 0:
                assert not text, f"the stream ends within a line: {text!r}"
                return
            text += chunk
            while b"\n" in text:
                line, text = text.split(b"\n", 1)
                if line:
                    yield line.decode()

    def reset(self):
        """Closes so that the other side gets RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
