"""What the tests stand on: servers in processes of their own, byte-level clients, test projects.

Law: nothing here is imported from dualws, apart from ``launch`` and the applications that a
server process runs. A client that shared code with the server would share its mistakes.
"""
