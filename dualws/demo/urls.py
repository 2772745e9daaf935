"""URLs of the demo: websockets are routed like everything else."""

from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import path

from dualws.demo.chat import views

urlpatterns = [
    path("", views.home, name="home"),
    path("sign-in/", views.SignIn.as_view(), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("rooms/<slug:slug>/", views.room, name="room"),
    path("rooms/<slug:slug>/live/<int:since>/", views.live, name="live"),
]
