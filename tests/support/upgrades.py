"""An upgrade that is none of websockets: the core leaves it to the application."""

#: What the application answers.
HEAD = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: bytes\r\n\r\n"
#: Header of a request for it.
ASK = (("Host", "a"), ("Connection", "Upgrade"), ("Upgrade", "bytes"))
