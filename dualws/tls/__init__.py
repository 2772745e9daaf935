"""TLS, as bytes in and bytes out: the same on every backend.

Law: *who does not switch it on does not pay for it.* Nothing here is imported, and no code of
the plain path asks, unless a certificate is configured. A backend reads and writes its
sockets as ever; an :class:`dualws.tls.engine.Engine` stands between.
"""
