"""Fuzz targets: ``python -m fuzz.stream`` (see that module for its options)."""
