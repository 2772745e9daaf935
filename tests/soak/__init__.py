"""Mixed traffic from clients of every kind, for as long as one likes."""
