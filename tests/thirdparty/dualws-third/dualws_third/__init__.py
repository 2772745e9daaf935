"""A backend by somebody else: found by name, written against the contract alone."""
