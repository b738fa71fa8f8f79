"""Rule `fetch_boxes`: bring the questions with boxes that attention is measured on.

In: the study's settings and the pins. Out: the repository's files that match `attention.pattern`, below
`attention.root` as they lie in the repository, each checked against its checksum.

    python -m workflow_scripts.analysis.fetch_boxes --study '{...}' --pins resources/pins.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from workflow_scripts.hub import pins as pinning
from workflow_scripts.hub.client import Hub
from workflow_scripts.hub.download import alone, download_all
from workflow_scripts.settings import InputError, StudySettings, cli


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=cli.json_of(StudySettings), required=True, help="the configuration, as JSON")
    parser.add_argument("--pins", type=Path, default=pinning.PATH, help="commits of the repositories")
    arguments = parser.parse_args()
    study: StudySettings = arguments.study
    repository = pinning.boxes(study)
    if repository is None:
        raise InputError(
            f"attention.repository is {study.attention.repository!r}, and the figure attention "
            f"{'is' if study.shows('attention') else 'is not'} among the experiments; expected <owner>/<name> on the "
            "hub, for an experiment"
        )
    settings, root = study.attention, Path(study.attention.root)
    revision = pinning.required(repository, pinning.read(arguments.pins))
    with alone(root):
        listing = Hub(study.hub.endpoint).files("dataset", repository.name, revision, (settings.pattern,))
        if not listing:
            raise InputError(
                f"attention.pattern is {settings.pattern!r}; expected files of {repository.name} at {revision}"
            )
        files = [(file, root / file.path) for file in listing.values()]
        brought = download_all(files, connections=study.hub.connections, label="questions with boxes")
    size = sum(file.size for file, _ in files) / 1e9
    print(f"{len(files)} files, {size:.1f} GB, in {root}; {brought / 1e9:.1f} GB came over the network")


if __name__ == "__main__":
    cli.run(main)
