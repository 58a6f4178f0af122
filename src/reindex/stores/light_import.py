"""Importing LanceDB without the REST client that it never needs here.

LanceDB imports some 300 generated pydantic models of a remote catalogue: 0.9 of its 1.4 CPU seconds. In a
process of our own (a command, never a program that uses our Python API) empty classes stand in for them.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, cast

_CLIENT = "lance_namespace_urllib3_client"


class _EmptyModules:
    """A finder and loader of the client's modules, in which every capitalised name is an empty class.

    It has no base class: importing those of importlib.abc would cost more than is saved elsewhere.
    """

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == _CLIENT or name.startswith(_CLIENT + "."):
            return ModuleSpec(name, cast("Any", self), is_package=True)
        return None

    def create_module(self, _spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = _empty_class  # type: ignore[method-assign]


def _empty_class(name: str) -> type:
    if not name[:1].isupper():
        raise AttributeError(name)
    return type(name, (), {})


_stand_in: Any = _EmptyModules()


def make_light() -> None:
    """From now on LanceDB is imported without its remote client. Does nothing if that is here already."""
    if _CLIENT not in sys.modules and _stand_in not in sys.meta_path:
        sys.meta_path.insert(0, _stand_in)


def import_lancedb() -> Any:
    """LanceDB; whole, should another release of it not do with the stand-in."""
    try:
        return import_module("lancedb")
    except Exception:
        if _stand_in not in sys.meta_path:
            raise
        sys.meta_path.remove(_stand_in)
        for name in list(sys.modules):
            # the native part can be loaded only once in a process
            if name.startswith(("lancedb", "lance_namespace")) and name != "lancedb._lancedb":
                del sys.modules[name]
        return import_module("lancedb")
