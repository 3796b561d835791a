"""Reads the object graph of a pickle without creating its objects.

A small interpreter of the opcodes, as ``pickletools`` names them: containers become containers, everything else becomes
an ``Inert`` record of what the file asked for. Nothing is imported, looked up or called, so a hostile file can describe
anything and do nothing. Python hashes, compares and prints nested values by recursion on the C stack, so the number of
opcodes, the kinds of dictionary keys and the nesting are bounded.
"""

from __future__ import annotations

import codecs
import io
import pickletools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from human3r.errors import CheckpointError


@dataclass(frozen=True)
class GlobalName:
    """The name of a class or function in the file."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Inert:
    """An object that was not created: its constructor call and state."""

    recipe: object
    """The callable, mostly a ``GlobalName``."""
    arguments: object = ()
    state: object = None
    items: list[object] = field(default_factory=list)
    """Appended values, and (key, value) pairs of item assignments."""


@dataclass(frozen=True)
class PersistentReference:
    """A reference to data outside of the pickle."""

    value: object


_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
MAX_OPCODES = 4_000_000
"""Bounds stack, memo and elements; the table of a released checkpoint has about 100,000 opcodes."""
MAX_DEPTH = 64
"""Containers and records inside each other; a checkpoint with its training configuration has about 15."""
MAX_KEY_LENGTH = 16
"""Items of a tuple that is a dictionary key."""
_MARK = object()
_STATE_ERRORS = (IndexError, KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError)

Rebuild = Callable[[GlobalName, Any], object]
"""Converts a call to plain data, given its name and arguments; returns NotImplemented if unknown."""


def read_inert_pickle(payload: bytes, rebuild: Rebuild) -> object:
    """Return the object graph of a pickle as plain containers, scalars and ``Inert`` records.

    Args:
        rebuild: Called for every call in the file, with its name and plain arguments.

    Raises:
        CheckpointError: The payload is not a well-formed pickle, uses extension codes or out-of-band buffers, or
            exceeds a bound.
    """
    machine = _Machine(rebuild)
    try:
        for number, (name, argument) in enumerate(_opcodes(payload)):
            if name == "STOP":
                root = machine.stack.pop()
                _check_depth(root)
                return root
            if number >= MAX_OPCODES:
                raise CheckpointError(f"The checkpoint's object table has more than {MAX_OPCODES} opcodes.")
            machine.run(name, argument)
    except _STATE_ERRORS as error:
        raise CheckpointError(f"The checkpoint's object table is damaged ({type(error).__name__}).") from error
    raise CheckpointError("The checkpoint's object table has no end.")


def make_dict(pairs: Iterable[Any]) -> dict[Any, Any]:
    """Build a dictionary from (key, value) pairs whose keys can be hashed without recursion.

    Raises:
        TypeError: A key is neither a scalar, a name, a record nor a short flat tuple of those.
    """
    checked = [(key, value) for key, value in pairs]
    for key, _ in checked:
        parts = key if isinstance(key, tuple) and len(key) <= MAX_KEY_LENGTH else (key,)
        if not all(isinstance(part, _KEY_TYPES) for part in parts):
            raise TypeError("a dictionary key is no scalar")
    return dict(checked)


_KEY_TYPES = (str, bytes, int, float, type(None), GlobalName, Inert)


def _check_depth(root: object) -> None:
    """Bound the longest path from the root, without recursion; a reference back to an open container ends a path."""
    depths = {id(root): 0}
    path = [(id(root), iter(_children(root)))]
    while path:
        identity, children = path[-1]
        child = next(children, _MARK)
        if child is _MARK:
            path.pop()
            if path:
                parent = path[-1][0]
                depths[parent] = max(depths[parent], depths[identity] + 1)
            continue
        if not isinstance(child, _NESTING_TYPES):
            continue
        known = depths.get(id(child))
        if len(path) + (known or 0) >= MAX_DEPTH:
            raise CheckpointError(f"The checkpoint's object table nests deeper than {MAX_DEPTH} levels.")
        if known is None:
            depths[id(child)] = 0
            path.append((id(child), iter(_children(child))))
        else:
            depths[identity] = max(depths[identity], known + 1)


_NESTING_TYPES = (dict, list, tuple, Inert, PersistentReference)


def _children(value: object) -> Iterable[object]:
    """Return what a value holds; dictionary keys are flat."""
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, (list, tuple)):
        return value
    if isinstance(value, Inert):
        return value.recipe, value.arguments, value.state, value.items
    return (value.value,) if isinstance(value, PersistentReference) else ()


def _opcodes(payload: bytes) -> Iterator[tuple[str, Any]]:
    """Yield (name, argument); texts of Python 2 in the oldest protocol are taken as Latin-1, for they may be bytes."""
    stream = io.BytesIO(payload)
    while code := stream.read(1):
        opcode = _OPCODES[code.decode("latin-1")]
        if opcode.name == "STRING":
            yield (
                opcode.name,
                codecs.escape_decode(pickletools.read_stringnl(stream, decode=False))[0].decode("latin-1"),
            )
        else:
            yield opcode.name, opcode.arg.reader(stream) if opcode.arg is not None else None


_LITERALS = frozenset(
    [
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "LONG4",
        "FLOAT",
        "BINFLOAT",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
        "BYTEARRAY8",
    ]
)
_CONSTANTS: dict[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTIES: dict[str, Callable[[], object]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": list}
_FROM_MARK: dict[str, Callable[[list[object]], object]] = {
    "LIST": list,
    "TUPLE": tuple,
    "FROZENSET": tuple,
    "DICT": lambda items: make_dict(zip(items[::2], items[1::2], strict=True)),
}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = ("PROTO", "FRAME")


class _Machine:
    """The stack and memo of one pickle."""

    def __init__(self, rebuild: Rebuild) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, object] = {}
        self.rebuild = rebuild

    def run(self, name: str, argument: Any) -> None:
        """Carry out one opcode on plain data."""
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTIES:
            self.stack.append(_EMPTIES[name]())
        elif name in _FROM_MARK:
            self.stack.append(_FROM_MARK[name](self._pop_to_mark()))
        elif name in _SHORT_TUPLES:
            self.stack.append(tuple(self._pop(_SHORT_TUPLES[name])))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name not in _IGNORED:
            self._run_on_objects(name, argument)

    def _run_on_objects(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "MARK":
                stack.append(_MARK)
            case "POP":
                stack.pop()
            case "POP_MARK":
                self._pop_to_mark()
            case "DUP":
                stack.append(stack[-1])
            case "GLOBAL":
                module, _, attribute = argument.partition(" ")
                stack.append(GlobalName(module, attribute))
            case "STACK_GLOBAL":
                module, attribute = self._pop(2)
                if not isinstance(module, str) or not isinstance(attribute, str):
                    raise TypeError(name)
                stack.append(GlobalName(module, attribute))
            case "REDUCE" | "NEWOBJ":
                stack.append(self._call(*self._pop(2)))
            case "NEWOBJ_EX":
                recipe, arguments, keywords = self._pop(3)
                stack.append(Inert(recipe, (arguments, keywords)))
            case "INST":
                module, _, attribute = argument.partition(" ")
                stack.append(Inert(GlobalName(module, attribute), tuple(self._pop_to_mark())))
            case "OBJ":
                recipe, *arguments = self._pop_to_mark()
                stack.append(Inert(recipe, tuple(arguments)))
            case "BUILD":
                state = stack.pop()
                if isinstance(stack[-1], Inert):
                    stack[-1].state = state
            case "APPEND" | "APPENDS" | "ADDITEMS":
                values = [stack.pop()] if name == "APPEND" else self._pop_to_mark()
                target = stack[-1]
                (target.items if isinstance(target, Inert) else target).extend(values)
            case "SETITEM" | "SETITEMS":
                values = self._pop(2) if name == "SETITEM" else self._pop_to_mark()
                pairs = zip(values[::2], values[1::2], strict=True)
                if isinstance(stack[-1], Inert):
                    stack[-1].items.extend(make_dict(pairs).items())
                else:
                    stack[-1].update(make_dict(pairs))
            case "PERSID":
                stack.append(PersistentReference(argument))
            case "BINPERSID":
                stack.append(PersistentReference(stack.pop()))
            case _:
                raise ValueError(name)

    def _call(self, recipe: object, arguments: object) -> object:
        """Describe a call; the checkpoint reader may know it as data."""
        known = self.rebuild(recipe, arguments) if isinstance(recipe, GlobalName) else NotImplemented
        return Inert(recipe, arguments) if known is NotImplemented else known

    def _pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def _pop_to_mark(self) -> list[Any]:
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is _MARK:
                values = self.stack[index + 1 :]
                del self.stack[index:]
                return values
        raise IndexError
