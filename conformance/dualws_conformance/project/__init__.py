"""The Django project that the kit's live servers run: it echoes, and tells what it saw.

Law: nothing here is imported by the kit's clients, and nothing here knows which backend
carries it. What a case must know of the server's inside it asks for over HTTP.
"""
