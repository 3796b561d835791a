"""From the tensors of a released checkpoint to ours: strict in both directions, without executing anything.

Reads the constructor string and checks keys, shapes and aliases against ``released_keys``. The caller
identifies the network.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence

import torch

from human3r.assets.conversion.released_keys import ReleasedLayout
from human3r.assets.conversion.torch_file import StoredTensor, TorchFile, find_field
from human3r.assets.weight_file import Shape
from human3r.errors import CheckpointError

_MODULE_PREFIX = "module."
_MAX_CONSTRUCTOR_LENGTH = 20_000
_MULTI_HMR_ENTRIES = ("model_state_dict", "model", "state_dict")
_INFINITY = "inf"


def stored_tensors(file: TorchFile) -> dict[str, StoredTensor]:
    """Return the state dict of an open checkpoint by released key.

    Raises:
        CheckpointError: There is no state dict.
    """
    state = find_field(file.root, "model")
    state = state if isinstance(state, dict) else file.root
    tensors = state if isinstance(state, dict) else {}
    if not tensors or not all(isinstance(key, str) for key in tensors):
        raise CheckpointError("The checkpoint holds no state dict.", "Give a Human3R checkpoint.")
    unexpected = [key for key, value in tensors.items() if not isinstance(value, StoredTensor)]
    if unexpected:
        raise CheckpointError(f"The checkpoint's state dict holds {len(unexpected)} entries that are not tensors.")
    if all(key.startswith(_MODULE_PREFIX) for key in tensors):
        return {key.removeprefix(_MODULE_PREFIX): value for key, value in tensors.items()}
    return dict(tensors)


def multi_hmr_tensors(file: TorchFile) -> dict[str, StoredTensor]:
    """Return the tensors of an open checkpoint of Multi-HMR by its own keys.

    Raises:
        CheckpointError: There is no state dict.
    """
    for entry in _MULTI_HMR_ENTRIES:
        state = find_field(file.root, entry)
        if isinstance(state, dict):
            return {str(key): value for key, value in state.items() if isinstance(value, StoredTensor)}
    raise CheckpointError("The checkpoint of Multi-HMR holds no state dict.")


def constructor_arguments(file: TorchFile) -> dict[str, object]:
    """Return the network's constructor arguments from ``args.model`` of an open checkpoint.

    Raises:
        CheckpointError: There is no such string, or it is not a constructor call with literal arguments.
    """
    text = find_field(find_field(file.root, "args"), "model")
    if not isinstance(text, str):
        raise CheckpointError("The checkpoint does not say which network it was saved from (no args.model).")
    return parse_constructor(text)


def parse_constructor(text: str) -> dict[str, object]:
    """Read the keyword arguments of the innermost call of ``Outer(Inner(key=literal, ...))``.

    The text is parsed, not evaluated: numbers, strings, booleans, None, tuples, lists and the bare names ``inf`` and
    ``-inf`` are values, anything else is an error.

    Raises:
        CheckpointError: Another form.
    """
    if len(text) > _MAX_CONSTRUCTOR_LENGTH:
        raise CheckpointError(f"args.model has {len(text)} characters, the limit is {_MAX_CONSTRUCTOR_LENGTH}.")
    try:
        node: ast.AST = ast.parse(text.strip(), mode="eval").body
        while isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
            node = node.args[0]
        if not isinstance(node, ast.Call) or node.args:
            raise ValueError("not a call with keyword arguments")
        return {str(keyword.arg): _literal(keyword.value) for keyword in node.keywords}
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CheckpointError(f"args.model of the checkpoint cannot be read ({error}).") from error


def _literal(node: ast.AST) -> object:
    """Return the value of a literal."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str, bool, type(None))):
        return node.value
    if isinstance(node, ast.Name) and node.id == _INFINITY:
        return math.inf
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _literal(node.operand)
        if isinstance(value, (int, float)):
            return -value
    if isinstance(node, (ast.Tuple, ast.List)):
        return tuple(_literal(item) for item in node.elts)
    raise ValueError(f"{type(node).__name__} is not a literal")


def match_keys(stored: Mapping[str, Shape], layout: ReleasedLayout, shapes: Mapping[str, Shape]) -> dict[str, str]:
    """Return the released key of each of our parameters, after checking every key and every shape.

    Args:
        stored: Released key to shape, as found.
        shapes: Our parameter name to shape.

    Raises:
        CheckpointError: A key is left over on either side, or a shape differs.
    """
    expected: dict[str, Shape] = {key: shapes[name] for key, name in layout.mapped.items()}
    known = expected | layout.ignored | {alias: expected[key] for alias, key in layout.aliases.items()}
    check_shapes(stored, expected, known)
    return {name: key for key, name in layout.mapped.items()}


def check_shapes(found: Mapping[str, Shape], expected: Mapping[str, Shape], known: Mapping[str, Shape]) -> None:
    """Check that tensors are those of a network.

    Args:
        found: Name and shape of each tensor.
        expected: Required tensors.
        known: Allowed tensors, including ``expected``.

    Raises:
        CheckpointError: A name is left over on either side, or a shape differs.
    """
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - known.keys())
    wrong = sorted(key for key, shape in found.items() if key in known and tuple(shape) != tuple(known[key]))
    if problems := key_problems(missing, unknown, wrong):
        raise CheckpointError(f"The weights do not fit the network: {problems}.")


def key_problems(missing: Sequence[str], unknown: Sequence[str], wrong: Sequence[str]) -> str:
    """Return how many keys are missing, unknown or of wrong shape, with the first of each; empty where none are."""
    named = ((missing, "missing"), (unknown, "unknown"), (wrong, "of wrong shape"))
    return ", ".join(f"{len(keys)} {what} (first: {keys[0]})" for keys, what in named if keys)


def check_aliases(file: TorchFile, stored: Mapping[str, StoredTensor], layout: ReleasedLayout) -> None:
    """Check that aliases of one tensor agree.

    Raises:
        CheckpointError: They do not.
    """
    for alias, key in layout.aliases.items():
        if alias in stored and stored[alias] != stored[key] and not torch.equal(
            file.load(stored[alias]), file.load(stored[key])
        ):  # fmt: skip
            raise CheckpointError(f"The checkpoint's keys {alias} and {key} should hold one tensor, and differ.")
