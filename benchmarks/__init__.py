"""dualws beside its peers: ``python -m benchmarks`` from a checkout (see docs/benchmarks.md).

Law: *what measures is* ``dualws.bench``; here is only who else takes part, and where it runs.
"""
