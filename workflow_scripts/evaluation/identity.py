"""What, beside a question, decides an answer: the weights by their content, the settings, and the code.

The path of a model says nothing about it: training again writes other weights to the same place. Local weights are
known by the SHA-256 of the folder's files, a repository of the hub by its commit.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

from workflow_scripts.settings import InputError, ModelSettings

# What transformers and peft may read of a model's folder.
READ = {".safetensors", ".json", ".jinja", ".txt", ".model"}
LIBRARIES = ("torch", "torchvision", "transformers", "tokenizers", "pillow", "peft")
# Settings that say where a model is and what it is called, not what it answers.
NAMES = {"name", "source", "revision", "size_b"}
COMMIT = re.compile(r"[0-9a-f]{40}")
# A file system's clock may stand still this long: within it a file can change and keep its times.
SETTLED_S = 2.0


def identity(
    model: ModelSettings, adapter: Path | None, how: Mapping[str, Any], device: str, checksums: Path | None
) -> dict[str, Any]:
    """All that decides a model's answer to a question, as a JSON object.

    Args:
        model: the model's settings.
        adapter: folder of a LoRA adapter on top of it, or None.
        how: what else `vlm.load` is told, such as the temporal positions of video tokens.
        device: cpu or cuda; their roundings differ.
        checksums: folder where checksums of files are remembered; None: nowhere.

    Raises:
        InputError: the model is neither a folder nor in the hub's cache.
    """
    return {
        "weights": weights(model, checksums),
        "adapter": None if adapter is None else folder_checksums(adapter, checksums),
        "settings": {key: value for key, value in model.model_dump(mode="json").items() if key not in NAMES},
        "how": dict(how),
        "device": device.partition(":")[0],
        "code": code_sha256(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def digest(value: Any) -> str:
    """SHA-256 of a JSON value; the order of keys does not count."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def weights(model: ModelSettings, checksums: Path | None) -> dict[str, str]:
    """Checksums of a local folder's files, or the commit of a repository of the hub."""
    if os.path.isdir(model.source):
        return folder_checksums(Path(model.source), checksums)
    if model.revision is not None and COMMIT.fullmatch(model.revision):
        return {"repository": model.source, "commit": model.revision}
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model.source, "config.json", revision=model.revision)
    except HFValidationError:
        found = None
    if not isinstance(found, str):
        raise InputError(
            f"model {model.name}: source {model.source} is neither a folder nor, at revision "
            f"{model.revision or 'main'}, in the hub's cache on this machine; expected one of them"
        )
    return {"repository": model.source, "commit": Path(found).parent.name}


def folder_checksums(folder: Path, checksums: Path | None) -> dict[str, str]:
    """SHA-256 by name of the files that a model is loaded from.

    A file is read again only where its size, its times or its place on the disk differ from when it last was; the time
    of its inode's change is among them, which no copying or touching sets back.
    """
    began = time.time()
    memory = None if checksums is None else checksums / f"{digest(str(folder.resolve()))[:16]}.json"
    known = {} if memory is None else _read(memory)
    found: dict[str, str] = {}
    stamps: dict[str, Any] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix not in READ or not path.is_file():
            continue
        stamp = _stamp(path)
        entry = known.get(path.name)
        if entry and entry["stamp"] == stamp:
            found[path.name] = entry["sha256"]
        else:
            with path.open("rb") as handle:
                found[path.name] = hashlib.file_digest(handle, "sha256").hexdigest()
        if _stamp(path) != stamp:
            raise InputError(f"file {path} changed while it was read; expected weights that nobody writes to")
        if began - max(stamp[1], stamp[2]) / 1e9 > SETTLED_S:
            stamps[path.name] = {"stamp": stamp, "sha256": found[path.name]}
    if memory is not None and stamps != known:
        _write(stamps, memory)
    return found


def code_sha256() -> str:
    """Checksum of the code between a question and its answer. Comments, docstrings and layout do not count."""
    package = Path(__file__).parents[1]
    files = [*sorted((package / "vlm").rglob("*.py")), package / "evaluation" / "model.py"]
    found = hashlib.sha256()
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found.update(f"{path.relative_to(package)}\0{ast.dump(_without_docstrings(tree))}\0".encode())
    return found.hexdigest()


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:]
    return tree


def _stamp(path: Path) -> list[int]:
    """What tells, without reading it, that a file is another than before: size, times, inode, device."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]


def _read(memory: Path) -> dict[str, Any]:
    """What is remembered of a folder; nothing, where it is not readable."""
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(known: Mapping[str, Any], memory: Path) -> None:
    """Remember. Several jobs may do so at once for the same model: the last of them stays, whole."""
    memory.parent.mkdir(parents=True, exist_ok=True)
    partial = memory.parent / f"{memory.name}.{uuid4().hex}"
    partial.write_text(json.dumps(known, indent=1), encoding="utf-8")
    os.replace(partial, memory)
