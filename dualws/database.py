"""Database connections of websocket handlers.

Law: Django keeps one connection a thread (or greenlet) and gives it back when a request
ends. A handler outlives its request, so it gives back itself.
"""

from __future__ import annotations


def release_connections() -> None:
    """Close this thread's or greenlet's database connections (or return them to the pool)."""
    from django.db import connections

    connections.close_all()
