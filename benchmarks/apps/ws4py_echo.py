"""ws4py's own server on gevent: ``python -m ws4py_echo PORT``."""

# ruff: noqa: E402  (patched before all else)

from gevent import monkey

monkey.patch_all()

import sys
from typing import Any

from room import READY, members
from ws4py.server.geventserver import WSGIServer
from ws4py.server.wsgiutils import WebSocketWSGIApplication
from ws4py.websocket import WebSocket


class Echo(WebSocket):
    def opened(self) -> None:
        self.shared = self.environ["PATH_INFO"] == "/fan-out/"
        if self.shared:
            members.add(self)
            self.send(READY)

    def received_message(self, message: Any) -> None:
        for peer in tuple(members) if self.shared else (self,):
            peer.send(message.data, message.is_binary)

    def closed(self, code: int, reason: str | None = None) -> None:
        members.discard(self)


if __name__ == "__main__":
    application = WebSocketWSGIApplication(handler_cls=Echo)
    WSGIServer(("127.0.0.1", int(sys.argv[1])), application, log=None).serve_forever()
