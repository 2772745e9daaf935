"""The trivial view."""

from __future__ import annotations

from django.urls import path
from site_views import hello

urlpatterns = [path("http/", hello)]
