"""Rule `pin`: ask the hub which commit each repository of a study stands at, and write it to resources/pins.json.

In: the study's settings and the pins so far. A revision that is there already stays: to move one, set it to null first.
Out: the same file, with every repository of the study.

    python -m workflow_scripts.hub.pin --study '{...}' --pins resources/pins.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from workflow_scripts.hub import pins as pinning
from workflow_scripts.hub.client import Hub
from workflow_scripts.settings import InputError, StudySettings, cli


def pin(study: StudySettings, pins: pinning.Pins, hub: Hub) -> tuple[pinning.Pins, list[str], list[str]]:
    """The pins with the study's repositories resolved; lines that say what was, and why what was not."""
    found = {"datasets": dict(pins.datasets), "models": dict(pins.models)}
    resolved, faults = [], []
    for repository in pinning.repositories(study):
        entry = pins.of(repository.kind, repository.name)
        found[repository.kind][repository.name] = entry
        if entry.revision is not None:
            continue
        try:
            commit = hub.commit(repository.type, repository.name, entry.reference)
            found[repository.kind][repository.name] = pinning.Pin(reference=entry.reference, revision=commit)
        except (InputError, ValueError) as error:
            faults.append(str(error))
            continue
        resolved.append(f"{repository.name} {entry.reference}: {commit}")
    return pinning.Pins(datasets=found["datasets"], models=found["models"]), resolved, faults


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=cli.json_of(StudySettings), required=True, help="the configuration, as JSON")
    parser.add_argument("--pins", type=Path, default=pinning.PATH, help="file to complete")
    arguments = parser.parse_args()
    before = pinning.read(arguments.pins)
    after, resolved, faults = pin(arguments.study, before, Hub(arguments.study.hub.endpoint))
    if after != before:
        pinning.write(after, arguments.pins)
    print("\n".join(resolved) or "no repository was resolved")
    if faults:
        raise InputError("; ".join(faults))


if __name__ == "__main__":
    cli.run(main)
