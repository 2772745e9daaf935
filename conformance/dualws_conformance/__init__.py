"""The conformance kit: what every backend of dualws must do, proved on a live server.

Law: the kit needs a backend's name and nothing else. It starts ``dualws serve`` with a
Django project of its own, talks to it over plain sockets, and shares no code with what it
judges: a client that borrowed the server's parser would borrow its mistakes.

::

    dualws conformance --backend gevent --backend tornado
    python -m dualws_conformance --backend mine --group framing
    pytest -p dualws_conformance.plugin --pyargs dualws_conformance --backend mine
"""
