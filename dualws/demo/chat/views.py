"""The views: three pages and one websocket."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render

from dualws import WebSocket, websocket
from dualws.demo.chat import events, services
from dualws.demo.chat.forms import BadFrame, MessageForm
from dualws.demo.chat.models import LONGEST, Room
from dualws.demo.chat.people import Person
from dualws.demo.chat.presence import EVERYONE, presence
from dualws.demo.chat.seed import PASSWORD

#: How many messages a page shows at first.
HISTORY = 50


class SignIn(LoginView):
    """Django's own sign-in, with a button for each of the people who are ready made."""

    template_name = "chat/sign_in.html"
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            people=[Person.of(user) for user in User.objects.order_by("pk")],
            password=PASSWORD,
            other_address=other_address(self.request),
            **kwargs,
        )


def other_address(request: HttpRequest) -> str | None:
    """Another address of the demo on this machine.

    Cookies belong to a host name, so one browser can be two people under two names.
    """
    name, _, port = request.get_host().rpartition(":")
    other = {"127.0.0.1": "localhost", "localhost": "127.0.0.1"}.get(name)
    return f"{other}:{port}" if other else None


def in_room(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Give *view* the room that its URL names; answer 404 when there is none.

    Around a websocket view it works as around any other: the handshake is answered with 404.
    """

    @functools.wraps(view)
    def wrapped(request: HttpRequest, slug: str, **kwargs: Any) -> HttpResponseBase:
        return view(request, room=get_object_or_404(Room, slug=slug), **kwargs)

    return wrapped


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Go to the first room."""
    return redirect(get_object_or_404(Room.objects.order_by("pk")[:1]))


@login_required
@in_room
def room(request: HttpRequest, room: Room) -> HttpResponse:
    """A room: its last messages, who is there, and a form to say something.

    The form works by itself, without JavaScript; with it, messages go over the websocket.
    """
    form = MessageForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        services.say(room, request.user, form)
        return redirect(room)
    messages = room.messages.select_related("author").order_by("-pk")[:HISTORY]
    return render(
        request,
        "chat/room.html",
        {
            "room": room,
            "rooms": Room.objects.all(),
            "form": form,
            "me": Person.of(request.user),
            "messages": [(message, Person.of(message.author)) for message in reversed(messages)],
            "longest": LONGEST,
            "other_address": other_address(request),
        },
        status=400 if form.is_bound else 200,
    )


@login_required
@in_room
@websocket(subprotocols=["chat.v1"])
def live(request: HttpRequest, ws: WebSocket, room: Room, since: int) -> None:
    """The room as it happens, from the message after *since* on.

    It subscribes before it looks for what was missed, so that nothing falls in between. What
    falls in both the client recognises by its id, and what comes early it puts aside until the
    missed ones are there.
    """
    ws.subscribe(room.topic)
    ws.subscribe(EVERYONE)
    ws.send(services.missed(room, since))
    with presence.enter(room.slug, Person.of(request.user)):
        for frame in ws:
            try:
                form = MessageForm.from_frame(frame)
            except BadFrame as error:
                ws.send(events.error(str(error)))
                continue
            if form.is_valid():
                services.say(room, request.user, form)
            else:
                ws.send(events.error(form.problem, key=form.data["key"]))
