"""dualws on Tornado: one event loop for the bytes, threads for the project's code.

Law: this package imports the core and Tornado, and uvloop where it is installed; never Django.
"""
