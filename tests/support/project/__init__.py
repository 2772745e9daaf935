"""A Django project as users have it; its views tell what they saw."""
