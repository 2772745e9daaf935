"""Every address of the test project."""

from __future__ import annotations

from django.urls import include, path

from support.project import (
    addresses,
    compression,
    draining,
    ends,
    leftovers,
    members,
    observing,
    queries,
    slow,
    sockets,
    together,
    views,
)

urlpatterns = [
    path("echo/", views.echo),
    path("echo/<path:rest>", views.echo),
    path("notes/", views.notes),
    path("release/", views.release),
    path("upload/", views.upload),
    path("form/", views.form),
    path("status/<int:code>/", views.status),
    path("cookies/", views.cookies),
    path("large/", views.large),
    path("stream/", views.stream),
    path("endless/", views.endless),
    path("crash-in-stream/", views.crash_in_stream),
    path("crash/", views.crash),
    path("file/", views.file),
    path("context/", views.context),
    path("session/", views.session),
    path("sign-in/", views.sign_in),
    path("users/", views.users),
    path("finished/", views.finished),
    path("async/users/", views.async_users),
    path("async/meet/", views.async_meet),
    path("async/stream/", views.async_stream),
    path("ws/compression/", include(compression)),
    path("ws/ends/", include(ends)),
    path("ws/slow/", include(slow)),
    path("drain/", include(draining)),
    path("ws/", include(sockets)),
    path("db/", include(queries)),
    path("members/", include(members)),
    path("observing/", include(observing)),
    path("addresses/", include(addresses)),
    path("together/", include(together)),
    path("leftovers/", include(leftovers)),
]
