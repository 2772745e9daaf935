"""Fuzz targets: ``python -m fuzz`` runs all of them, ``python -m fuzz.stream`` one with libFuzzer's
options (``-max_total_time=60``, an input that failed, a folder of inputs).
"""
