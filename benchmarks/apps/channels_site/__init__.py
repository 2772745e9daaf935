"""The same Django project with Channels."""
