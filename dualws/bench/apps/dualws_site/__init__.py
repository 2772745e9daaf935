"""A Django project with a websocket view, as a user writes it."""
