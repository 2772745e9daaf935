"""A Django project that answers HTTP, without websockets."""
