"""Prepare the process: patch the standard library once, and each driver when it is imported.

Law: *nothing is imported that the project does not import itself*. A finder on
``sys.meta_path`` waits for the few modules that need more than a patched standard
library, and acts at the end of their import. What had to be imported after the patch and
was not is refused by name: it would work alone and fail under load.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import warnings
from collections.abc import Callable, Container, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import gevent
import gevent.monkey

from dualws.errors import PreparedTooLate

_logger = logging.getLogger("dualws.server")

#: Modules that keep something unpatched for good when they are imported first, and what
#: becomes of them. The tests try each; modules that look up what they need when they need it
#: (PyMySQL, redis, aiohttp, concurrent.futures, asyncio …) may come early.
TOO_EARLY = {
    "django.db": "all greenlets would share one database connection",
    "asgiref.sync": "async code of one greenlet would run in the loop of another",
    "psycopg": "every query would stop all greenlets",
    "urllib3": "every https request would end in a RecursionError",
}


def prepare() -> None:
    """Make the standard library cooperative, exactly once, and drivers as they are imported.

    :raises PreparedTooLate: a module of :data:`TOO_EARLY` is already imported
    """
    if any(isinstance(finder, DriverFinder) for finder in sys.meta_path):
        return
    # A process that was patched by its starter (gunicorn's gevent worker) is as good.
    if not gevent.monkey.is_module_patched("threading"):
        refuse_early(sys.modules)
        with warnings.catch_warnings():
            # gevent warns of every early ssl; which of its users break is known above.
            warnings.simplefilter("ignore", gevent.monkey.MonkeyPatchWarning)
            gevent.monkey.patch_all()
    sys.meta_path.insert(0, DriverFinder())
    for name, adapt in ADAPTERS.items():
        if name in sys.modules:
            adapt(sys.modules[name])


def refuse_early(imported: Container[str]) -> None:
    """Check that nothing came before its time.

    :param imported: names of the imported modules
    :raises PreparedTooLate: something did
    """
    early = {name: harm for name, harm in TOO_EARLY.items() if name in imported}
    if not early:
        return
    reasons = "; ".join(f"{name} ({harm})" for name, harm in early.items())
    raise PreparedTooLate(
        "The process cannot be prepared for gevent, because these modules are already "
        f"imported: {reasons}. Start with `dualws serve`, or another script with "
        "`python -m dualws.bootstrap --backend gevent SCRIPT`; where the script itself prepares, "
        "import them after that."
    )


class DriverFinder(MetaPathFinder):
    """Adapts modules when the project imports them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module that is to be adapted; None for all others."""
        if fullname == "MySQLdb":
            return self._mysql()
        adapt = ADAPTERS.get(fullname)
        if adapt is None:
            return None
        spec = self._next(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _AdaptingLoader(spec.loader, adapt)
        return spec

    def _next(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        """What the import system would find without this finder."""
        for finder in sys.meta_path:
            if finder is not self and (find := getattr(finder, "find_spec", None)):
                spec: ModuleSpec | None = find(fullname, path, target)
                if spec is not None:
                    return spec
        return None

    def _mysql(self) -> ModuleSpec | None:
        """PyMySQL in the place of mysqlclient, whose C code would stop all greenlets."""
        if importlib.util.find_spec("pymysql") is not None:
            return ModuleSpec("MySQLdb", _PyMySQLLoader())
        if self._next("MySQLdb", None, None) is not None:
            _logger.warning(
                "mysqlclient stops all greenlets while a query runs. "
                'Install PyMySQL beside it, and dualws will use that: pip install "PyMySQL>=1.1.3"'
            )
        return None


class _AdaptingLoader(Loader):
    """Loads a module as *loader* does, then adapts it."""

    def __init__(self, loader: Loader, adapt: Callable[[ModuleType], object]) -> None:
        self._loader = loader
        self._adapt = adapt

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The module is to look as if it had been found without the finder.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._adapt(module)


class _PyMySQLLoader(Loader):
    """Loads PyMySQL under the name MySQLdb."""

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        import pymysql

        # Puts pymysql into sys.modules, from where the import system takes it.
        pymysql.install_as_MySQLdb()


def adapt_psycopg2(module: ModuleType) -> None:
    """Let psycopg2 wait for its server in gevent."""
    if importlib.util.find_spec("psycogreen") is None:
        _logger.warning(
            "psycopg2 stops all greenlets while a query runs. Install psycogreen, and dualws "
            "will use it: pip install psycogreen; or move to psycopg 3, which needs nothing"
        )
        return
    from psycogreen.gevent import patch_psycopg

    patch_psycopg()


def adapt_asgiref(module: ModuleType) -> None:
    """Let ``async_to_sync``, and so async views, run their loops in real threads.

    Blocking code that has no greenlet to return to (an async websocket handler's) runs in
    greenlets of the hub.
    """
    import asyncio

    from dualws_gevent.coroutines import (
        HubExecutor,
        LoopPolicy,
        RealThreadExecutor,
        submit_in_hub,
    )

    hub = gevent.get_hub()
    vars(module)["ThreadPoolExecutor"] = RealThreadExecutor
    module.SyncToAsync.single_thread_executor = HubExecutor(hub, serial=True)
    executor = module.CurrentThreadExecutor
    executor.submit = submit_in_hub(hub, executor.submit)
    asyncio.set_event_loop_policy(LoopPolicy(HubExecutor(hub, serial=False)))


#: What to do at the end of a module's import.
ADAPTERS: dict[str, Callable[[ModuleType], object]] = {
    "asgiref.sync": adapt_asgiref,
    "psycopg2": adapt_psycopg2,
}
