"""What a server may be told: every setting, its default and its help.

Law: *one list*. A field here is a setting (``DUALWS_`` and its name in capitals) and an option of
``dualws serve``; what is said of it here is its help (:mod:`dualws.conf`).
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """What a server needs to know. Sizes are in bytes, times in seconds.

    :param bind: addresses to listen on, each ``HOST:PORT`` or ``[IPV6]:PORT``, port 0
        takes a free one; ``unix:PATH``; or ``fd://N``, a descriptor that the server was
        started with
    :param unix_socket_mode: permission bits, in octal digits, of the files of unix sockets
    :param certfile: PEM file with the server's certificate and those between it and the
        authority's: the server speaks TLS, and nothing else, on all its addresses
    :param keyfile: PEM file with the certificate's key, where that is a file of its own
    :param keyfile_password_file: file whose first line is the password of encrypted keys
    :param sni_certificates: certificates for other names: ``NAME=CERTFILE[,KEYFILE]``, NAME may
        be ``*.example.com``
    :param client_certificates: ``none``, ``optional`` or ``required``; what a client proves
        is in the environ, ``SSL_CLIENT_S_DN`` and others
    :param ca_certs: PEM file with the certificates of the authorities that clients' come from
    :param ciphers: ciphers of TLS 1.2, in OpenSSL's notation; empty for OpenSSL's own choice
    :param tls_timeout: how long a TLS handshake, and a PROXY preamble, may take
    :param trusted_proxies: addresses and networks (``10.0.0.0/8``) of the proxies whose word
        counts; ``unix`` for whoever connects through a unix socket
    :param trusted_headers: which headers those proxies set, of ``x-forwarded-for``,
        ``x-forwarded-proto``, ``x-forwarded-host`` and ``x-forwarded-port``, or ``forwarded``
        alone
    :param proxy_protocol: connections begin with the PROXY protocol, version 1 or 2, and come
        from ``trusted_proxies``; all others are closed
    :param max_message_size: largest message a peer may send, counted after
        decompression; a larger one ends the connection with 1009
    :param max_queued_messages: reading from a peer pauses while this many messages wait
        for the handler
    :param send_buffer_size: a blocking ``send`` waits while more than this waits for the
        peer; an event or broadcast send that would pass it ends the connection
    :param send_timeout: how long a blocking ``send`` waits before it ends the connection
        with 1008
    :param ping_interval: a ping is sent after this much silence; 0 switches pings off
    :param ping_timeout: without any byte for this long after the ping: closed with 1011
    :param close_timeout: how long the peer may take to answer a close frame, and to read
        what is still queued for it
    :param compression: agree on permessage-deflate (RFC 7692) with clients that offer it
    :param compression_threshold: messages under this many bytes are sent uncompressed
    :param compression_window_bits: base-2 logarithm of the largest window for either
        side, 8 to 15: more compresses better and takes more memory
    :param compression_context_takeover: keep the windows from message to message: small
        messages compress much better, and each connection holds them while it is idle
    :param allowed_origins: origins allowed beside the request's own: ``scheme://host[:port]``,
        ``scheme://*.domain``, or ``*``
    :param auth_recheck: how often the users of open websockets are checked: who signed out,
        or was deactivated, in another process is closed with 4401 that much later; 0
        switches the check off
    :param threads: threads that serve HTTP requests (backends without greenlets)
    :param max_blocking_handlers: blocking websocket handlers at a time (backends that
        need a thread for each); when all are taken a handshake is refused with 503
    :param drain_window: a server that is told to end takes up to this long to close its
        websockets (1012), so that their clients do not all come back at the same moment
    :param workers: processes that serve, under one that replaces those that end; 0 serves in a
        single process
    :param spool_size: request bodies that must be held are kept in memory up to this,
        on disk past it
    :param max_header_size: largest request line and headers together; a larger one is refused
        with 431, or 414 when the request line alone is over it
    :param max_headers: most header lines of a request; one with more is refused with 431; 0: any
    :param max_body_size: largest request body; a larger one is refused with 413; 0: any
    :param header_timeout: how long a client may take for the request line and headers together,
        from their first byte; then 408; 0: any time
    :param body_timeout: how long nothing may come of a request body; then 408; 0: any time
    :param body_min_rate: bytes a second that a request body must come with on the average, after
        body_timeout seconds; below that 408; 0: any
    :param http_idle_timeout: how long an HTTP connection may be idle before it is closed, before
        its first request and between requests; 0: any time
    :param response_timeout: how long a client may take nothing of a response before its connection
        is cut; one that reads slowly may take any time; 0: any time
    :param max_connections: connections at a time, HTTP and websockets together; further ones are
        refused with 503; 0: any number
    :param max_connections_per_address: the same for each client address; 429; 0: any number
    :param max_handshakes: websocket handshakes at a time that the project has not yet answered;
        further ones are refused with 503; 0: any number
    :param max_buffered: bytes that may wait, in all websockets together, for peers to read and for
        handlers to take; over that new requests are refused with 503, and websockets whose peers
        are slow are closed with 1008 when more is sent to them; 0: any number
    :param websocket_idle_timeout: a websocket without a message, either way, for this long is
        closed with 4408; 0: never
    :param max_message_rate: messages a second that a peer may send on the average, with bursts
        of as many; more wait, and after rate_patience seconds the websocket is closed with 1008;
        0: any
    :param max_byte_rate: the same for bytes; 0: any
    :param rate_patience: how long a peer may go on sending more than the two rates
    :param access_log: log a line for each request, and for each websocket at its beginning and
        its end, to the logger ``dualws.access``
    :param access_log_format: form of those lines: ``common``, ``combined``, ``json``, or
        ``django`` (as runserver prints them)
    :param metrics_bind: addresses, each ``HOST:PORT``, on which figures for Prometheus and the
        answers to health checks are served, apart from the project
    :param metrics_path: path of the figures on ``metrics_bind``
    :param metrics_folder: folder in which several workers add their figures up; by itself one
        is made for the workers of one start
    :param live_path: path that answers 200 while the server's loop turns, 503 once it is stuck
    :param ready_path: path that answers 200 while new connections are served, 503 before that
        and once the server is ending
    :param health_checks: answer ``live_path`` and ``ready_path`` on ``bind`` too, before the
        project sees them
    :param live_timeout: seconds for which the loop may stand still before ``live_path`` answers 503
    :param blocked_warning: when code blocks the loop, and with it everybody, for longer than this,
        log a warning with its stack; 0 switches it off
    :param tracing: make a span for each request and each websocket where OpenTelemetry is
        installed
    """

    bind: tuple[str, ...] = ("127.0.0.1:8000",)
    unix_socket_mode: str = "660"
    certfile: str = ""
    keyfile: str = ""
    keyfile_password_file: str = ""
    sni_certificates: tuple[str, ...] = ()
    client_certificates: str = "none"
    ca_certs: str = ""
    ciphers: str = ""
    tls_timeout: float = 10.0
    trusted_proxies: tuple[str, ...] = ()
    trusted_headers: tuple[str, ...] = ("x-forwarded-for", "x-forwarded-proto")
    proxy_protocol: bool = False
    max_message_size: int = 1024 * 1024
    max_queued_messages: int = 32
    send_buffer_size: int = 1024 * 1024
    send_timeout: float = 30.0
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    close_timeout: float = 5.0
    compression: bool = True
    compression_threshold: int = 1024
    compression_window_bits: int = 12
    compression_context_takeover: bool = False
    allowed_origins: tuple[str, ...] = ()
    auth_recheck: float = 60.0
    threads: int = 16
    max_blocking_handlers: int = 1000
    drain_window: float = 20.0
    workers: int = 0
    spool_size: int = 1024 * 1024
    max_header_size: int = 64 * 1024
    max_headers: int = 100
    max_body_size: int = 1024 * 1024 * 1024
    header_timeout: float = 30.0
    body_timeout: float = 30.0
    body_min_rate: int = 240
    http_idle_timeout: float = 75.0
    response_timeout: float = 60.0
    max_connections: int = 0
    max_connections_per_address: int = 0
    max_handshakes: int = 0
    max_buffered: int = 256 * 1024 * 1024
    websocket_idle_timeout: float = 0.0
    max_message_rate: int = 0
    max_byte_rate: int = 0
    rate_patience: float = 10.0
    access_log: bool = False
    access_log_format: str = "combined"
    metrics_bind: tuple[str, ...] = ()
    metrics_path: str = "/metrics"
    metrics_folder: str = ""
    live_path: str = "/live"
    ready_path: str = "/ready"
    health_checks: bool = False
    live_timeout: float = 30.0
    blocked_warning: float = 0.25
    tracing: bool = True
