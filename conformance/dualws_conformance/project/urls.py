"""Every address of the kit's project but those under ``/wsgi/``."""

from __future__ import annotations

from django.urls import path

from dualws_conformance.project import coroutines, events, handlers, views

urlpatterns = [
    path("echo/", views.echo),
    path("notes/", views.notes),
    path("release/", views.release),
    path("state/", views.state),
    path("status/<int:code>/", views.status),
    path("cookies/", views.cookies),
    path("context/", views.context),
    path("large/", views.large),
    path("stream/", views.stream),
    path("crash/", views.crash),
    path("slow/", views.slow),
    path("lasts/", views.lasts),
    path("visit/", views.visit),
    path("ordered/", views.ordered),
    path("accepts/", views.accepts),
    path("crash-before/", views.crash_before),
    path("two-accept/", views.two_accept),
    path("blocking/<slug:name>/", handlers.blocking),
    path("inside/<slug:name>/", handlers.inside),
    path("event/<slug:name>/", events.view),
    path("ws4py/<slug:name>/", events.ws4py),
    path("async/<slug:name>/", coroutines.view),
]
