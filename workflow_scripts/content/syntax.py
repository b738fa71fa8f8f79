"""What a module of code says, without how it says it: comments, docstrings and layout do not count."""

import ast
import hashlib


def digest(tree: ast.Module) -> str:
    """SHA-256 of a syntax tree without docstrings; positions are no part of it. The tree loses its docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [one for one in node.body if not is_text(one)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a string alone: a docstring, or one below a constant."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
