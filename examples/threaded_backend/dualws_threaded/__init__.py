"""A backend for dualws from the standard library alone."""
