"""ws4py's own server on gevent: ``python -m ws4py_echo PORT``."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402
from typing import Any  # noqa: E402

from room import READY, members  # noqa: E402
from ws4py.server.geventserver import WSGIServer  # noqa: E402
from ws4py.server.wsgiutils import WebSocketWSGIApplication  # noqa: E402
from ws4py.websocket import WebSocket  # noqa: E402


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
