"""Rule `fetch_images`: bring the files that conversations about images are drawn from.

In: the study's settings and the pins. Out: of the repository's files that match `images.pattern` as many as
`images.files` says, below `images.root` as they lie in the repository, each checked against its checksum.

    python -m workflow_scripts.curation.fetch_images --study '{...}' --pins resources/pins.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from workflow_scripts.curation.draw_images import choose_files
from workflow_scripts.hub import pins as pinning
from workflow_scripts.hub.client import Hub, RemoteFile
from workflow_scripts.hub.download import alone, download_all
from workflow_scripts.settings import ImagesSettings, InputError, StudySettings, cli


def wanted(hub: Hub, settings: ImagesSettings, revision: str) -> list[RemoteFile]:
    """The files to draw from. Raises InputError where the repository has fewer."""
    listing = hub.files("dataset", settings.repository, revision, (settings.pattern,))
    return [listing[name] for name in choose_files(list(listing), settings)]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=cli.json_of(StudySettings), required=True, help="the configuration, as JSON")
    parser.add_argument("--pins", type=Path, default=pinning.PATH, help="commits of the repositories")
    arguments = parser.parse_args()
    study: StudySettings = arguments.study
    repository = pinning.images(study)
    if study.images is None or repository is None:
        told = "null" if study.images is None else f"of {study.images.repository!r}"
        raise InputError(f"images is {told}; expected images.repository <owner>/<name> on the hub to fetch from")
    root, revision = Path(study.images.root), pinning.required(repository, pinning.read(arguments.pins))
    with alone(root):
        files = wanted(Hub(study.hub.endpoint), study.images, revision)
        brought = download_all(
            [(file, root / file.path) for file in files], connections=study.hub.connections, label="images"
        )
    size = sum(file.size for file in files) / 1e9
    print(f"{len(files)} files, {size:.1f} GB, in {root}; {brought / 1e9:.1f} GB came over the network")


if __name__ == "__main__":
    cli.run(main)
