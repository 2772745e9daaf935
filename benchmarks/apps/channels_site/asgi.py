"""The ASGI application: an echo behind the middleware that finds session and user."""

from __future__ import annotations

import os

from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "channels_site.settings")

urlpatterns: list[object] = []


class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data, bytes_data=bytes_data)


class UserEcho(Echo):
    async def connect(self) -> None:
        # The stack has looked who asks before the consumer begins.
        if self.scope["cookies"] and not self.scope["user"].is_authenticated:
            await self.close()
        else:
            await self.accept()


class FanOut(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.channel_layer.group_add("everybody", self.channel_name)
        await self.accept()
        await self.send(text_data="ready")

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard("everybody", self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.channel_layer.group_send("everybody", {"type": "tell", "text": text_data})

    async def tell(self, event: dict[str, str]) -> None:
        await self.send(text_data=event["text"])


application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": AuthMiddlewareStack(
            URLRouter(
                [
                    path("echo/", Echo.as_asgi()),
                    path("user/", UserEcho.as_asgi()),
                    path("fan-out/", FanOut.as_asgi()),
                ]
            )
        ),
    }
)
