"""Whether the code that a process ran is a commit's, from git's own names of contents."""

import ast
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from workflow_scripts.content.syntax import digest
from workflow_scripts.notes.job import PACKAGE, ROOT, blob


def absent(commits: Iterable[str], root: Path = ROOT) -> list[str]:
    """Those of some commits that the repository in `root` does not have; all, where it is none."""
    return [commit for commit in commits if _git(root, "cat-file", "-e", f"{commit}^{{commit}}") is None]


class History:
    """The commits of the repository in `root`, and the working tree; what was asked once is not asked again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tree = cache(self._read_tree)
        self._code = cache(self._digest)
        self._here = cache(self._blob_here)

    def changed(self, commit: str, modules: Mapping[str, str]) -> list[str] | None:
        """Files whose code is not that of a commit; None where the commit is not known.

        modules: git's names of contents, by path. Comments, docstrings and layout do not count.
        """
        tree = self._tree(commit)
        if tree is None:
            return None
        return [path for path, name in modules.items() if tree.get(path) != name and not self._same(path, tree, name)]

    def code(self, path: str, name: str) -> str | None:
        """Digest of the syntax of a file in the version that git calls `name`; None where that is nowhere to be had."""
        return self._code(path, name)

    def _same(self, path: str, tree: Mapping[str, str], name: str) -> bool:
        committed = self._code(path, tree[path]) if path in tree else None
        return committed is not None and committed == self._code(path, name)

    def _read_tree(self, commit: str) -> dict[str, str] | None:
        listed = self._git("ls-tree", "-r", "--format=%(objectname) %(path)", commit, "--", PACKAGE)
        if listed is None:
            return None
        return {path: name for name, _, path in (line.partition(" ") for line in listed.decode().splitlines())}

    def _blob_here(self, path: str) -> str | None:
        place = self.root / path
        return blob(place.read_bytes()) if place.is_file() else None

    def _digest(self, path: str, name: str) -> str | None:
        text = (self.root / path).read_bytes() if self._here(path) == name else self._git("cat-file", "blob", name)
        try:
            return None if text is None else digest(ast.parse(text))
        except SyntaxError:
            return None

    def _git(self, *arguments: str) -> bytes | None:
        return _git(self.root, *arguments)


def _git(root: Path, *arguments: str) -> bytes | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
