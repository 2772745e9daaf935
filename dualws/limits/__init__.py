"""What one client, and all together, may take of the server: ``docs/guide/limits.md``.

Law: *a limit that is off costs nothing, and none costs a timer for each connection*. What a message
passes through is chosen when its connection begins; the rest is counted where something is slow,
or looked at by one timer for all.
"""
