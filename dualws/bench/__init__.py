"""Measures dualws, and whatever is described to it, side by side: ``dualws bench``.

Law: *only ratios within one run count*. Every server of a run is started once, rounds go
around all of them in turn, and what a round shows is kept as it was measured.
"""
