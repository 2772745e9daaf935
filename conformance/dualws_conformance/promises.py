"""What dualws promises beside the RFCs: the page that does so, and its heading.

Law: *every case proves something written*. What no RFC and no PEP has is written in dualws's own
documentation, at one of these places, which are there.
"""

from __future__ import annotations

BACKEND = "docs/architecture.md, Writing a backend"
END = "docs/architecture.md, The end of a websocket"
ENVIRON = "docs/guide/compatibility.md, In the environ"
LIMITS = "docs/guide/limits.md, Limits"
SERVER_END = "docs/guide/processes.md, The end of a server"
SESSIONS = "docs/guide/sessions.md, Sessions"
REQUEST = "docs/guide/urls.md, What the request tells"
RECEIVING = "docs/guide/websocket.md, Receiving"
SENDING = "docs/guide/websocket.md, Sending"
CLOSING = "docs/guide/websocket.md, Refusing and closing"
EXCEPTIONS = "docs/guide/websocket.md, Exceptions"
STOPPING = "docs/deployment/security.md, Those who want it to stop"
