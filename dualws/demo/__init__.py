"""The application behind ``dualws demo``: a chat with rooms, in an ordinary Django project.

Its law: *nothing here is special to the demo*. It is laid out as ``startproject`` and
``startapp`` would, keeps to documented Django and to the public names of dualws, and may
be copied as the beginning of a project. Read it in this order::

    settings.py            INSTALLED_APPS has "dualws"; SQLite in WAL mode
    urls.py                one URL for the page of a room, one for its websocket
    chat/models.py         Room and Message
    chat/forms.py          what a message must be, for the form and for the websocket alike
    chat/views.py          the views: sign-in required, 404 for an unknown room, @websocket
    chat/services.py       storing a message and publishing it
    chat/presence.py       who is in which room
    chat/static/chat/      three small modules of JavaScript and one style sheet

Only ``command.py`` is about the command: it makes the temporary folder, the tables, the
two people and the rooms, and serves until Ctrl-C.
"""
