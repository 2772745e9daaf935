"""What the tests stand on: servers in processes of their own, byte-level clients, test projects.

Law: nothing here is imported from dualws, apart from what the applications of a server process
import, as a user's would. A client that shared code with the server would share its mistakes.
"""
