"""The websocket protocol without any input or output: bytes in, messages and bytes out."""
