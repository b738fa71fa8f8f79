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
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from workflow_scripts.content import syntax
from workflow_scripts.content.cache import cached_snapshot
from workflow_scripts.content.checksums import Checksums
from workflow_scripts.settings import InputError, ModelSettings

LIBRARIES = ("torch", "torchvision", "transformers", "tokenizers", "pillow", "peft")
# Settings that say where a model is and what it is called, not what it answers.
NAMES = {"name", "source", "revision", "size_b"}
COMMIT = re.compile(r"[0-9a-f]{40}")


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
    snapshot = cached_snapshot(model.source, model.revision)
    if snapshot is None:
        raise InputError(
            f"model {model.name}: source {model.source} is neither a folder nor, at revision "
            f"{model.revision or 'main'}, in the hub's cache on this machine; expected one of them"
        )
    return {"repository": model.source, "commit": snapshot.name}


def folder_checksums(folder: Path, checksums: Path | None) -> dict[str, str]:
    """SHA-256 by name of the files that a model is loaded from; each is read once as long as it stays the same.

    checksums: folder where they are remembered. Several jobs may do so at once for the same model: the last stays.
    """
    known = Checksums(None if checksums is None else checksums / f"{digest(str(folder.resolve()))[:16]}.json")
    found = known.of_folder(folder)
    known.remember()
    return found


def code_sha256() -> str:
    """Checksum of the code between a question and its answer. Comments, docstrings and layout do not count."""
    package = Path(__file__).parents[1]
    files = [*sorted((package / "vlm").rglob("*.py")), package / "evaluation" / "model.py"]
    found = hashlib.sha256()
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found.update(f"{path.relative_to(package)}\0{syntax.digest(tree)}\0".encode())
    return found.hexdigest()
