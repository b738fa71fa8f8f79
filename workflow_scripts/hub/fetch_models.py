"""Rule `fetch_models`: bring the models of a study, at their pinned commits, to a folder of this machine.

In: the study's settings and the pins. Out: `<hub.models>/<repository>/<commit>/`, safetensors, settings and tokenizers;
weights in other formats stay where they are. Each file is checked against the repository's checksum.

    python -m workflow_scripts.hub.fetch_models --study '{...}' --pins resources/pins.json
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.hub import pins as pinning
from workflow_scripts.hub.client import Hub, RemoteFile
from workflow_scripts.hub.download import alone, download_all
from workflow_scripts.settings import InputError, StudySettings, cli

FILES = ("*.safetensors", "*.json", "*.txt", "*.jinja", "*.model", "*.md", "LICENSE*")
NOT = ("original/", "onnx/", "openvino/", "gguf/")


def wanted(hub: Hub, repository: pinning.Repository, revision: str) -> list[RemoteFile]:
    """The files of a model that loading it needs. Raises InputError where it has no settings or no safetensors."""
    files = hub.files(repository.type, repository.name, revision, FILES)
    kept = [file for path, file in files.items() if not path.startswith(NOT)]
    names = {file.path for file in kept}
    if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        raise InputError(f"repository {repository.name} at {revision} lacks config.json or safetensors")
    return kept


def fetch(repositories: Sequence[tuple[pinning.Repository, str]], hub: Hub, root: Path, connections: int) -> int:
    """Bring the models that are not there. Returns the bytes that came over the network."""
    with alone(root):
        found = [
            (file, pinning.folder(root, repository.name, revision) / file.path)
            for repository, revision in repositories
            for file in wanted(hub, repository, revision)
        ]
        return download_all(found, connections=connections, label="models")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=cli.json_of(StudySettings), required=True, help="the configuration, as JSON")
    parser.add_argument("--pins", type=Path, default=pinning.PATH, help="commits of the repositories")
    arguments = parser.parse_args()
    study, pins = arguments.study, pinning.read(arguments.pins)
    models = [entry for entry in pinning.repositories(study) if entry.kind == "models"]
    if not models:
        print("every model of this study is a folder of this machine; nothing to fetch")
        return
    chosen = [(entry, pinning.required(entry, pins)) for entry in models]
    brought = fetch(chosen, Hub(study.hub.endpoint), Path(study.hub.models), study.hub.connections)
    print(f"{len(chosen)} models in {study.hub.models}; {brought / 1e9:.1f} GB came over the network")


if __name__ == "__main__":
    cli.run(main)
