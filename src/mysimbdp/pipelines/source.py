"""What a tenant's code files hold, read as text: tenant code is never imported by the platform."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

#: Longer source files are not looked into.
MAX_SOURCE_BYTES = 1024 * 1024


def find_script_fault(folder: Path, script: str) -> str | None:
    """Say what is found in the place of a script, None if it is there."""
    return _file_fault(folder, folder / script)


def find_callable_fault(folder: Path, entry: str) -> str | None:
    """Say what is found in the place of `module:function`, None if it is there.

    The function has to be defined at the top level of its module, by `def`.
    """
    module, _, function = entry.partition(":")
    if module.partition(".")[0] in sys.stdlib_module_names:
        return f"{module}, which is a module of Python itself"
    path = folder / f"{module.replace('.', '/')}.py"
    fault = _file_fault(folder, path)
    if fault is not None:
        return fault
    name = path.relative_to(folder)
    try:
        tree = ast.parse(path.read_bytes(), filename=str(name))
    except SyntaxError as error:
        return f"{name} with a syntax error in line {error.lineno} ({error.msg})"
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        return f"{name} that cannot be read ({type(error).__name__})"
    return _function_fault(tree, function, str(name))


def _file_fault(folder: Path, path: Path) -> str | None:
    name = path.relative_to(folder)
    if not path.is_file():
        return f"no file {name} in the tenant's folder"
    if not path.resolve().is_relative_to(folder.resolve()):
        return f"{name} that leads out of the tenant's folder"
    if path.stat().st_size > MAX_SOURCE_BYTES:
        return f"{name} with more than {MAX_SOURCE_BYTES} bytes"
    return None


def _function_fault(tree: ast.Module, function: str, name: str) -> str | None:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return None
        if isinstance(node, ast.AsyncFunctionDef) and node.name == function:
            return f"an async function {function} in {name}"
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    public = ", ".join(name for name in names if not name.startswith("_"))
    return f"no function {function} in {name}" + (f", only {public}" if public else "")
