"""How Snakemake was last called for a study: the overlays, for commands that call it again."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError

from workflow_scripts.settings import InputError, Section
from workflow_scripts.settings.files import write_json

PLACE = Path("provenance") / "invocation.json"
Overlay = Annotated[str, StringConstraints(pattern=r"^[^-]")]
"""A file that a command line takes for no flag."""
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""A setting that a command line takes for no flag."""


class Invocation(Section):
    """What decides a study's settings."""

    configfiles: tuple[Overlay, ...] = Field(description="Overlays on config.yaml, from the working directory.")
    config: dict[Key, Any] = Field(description="Settings of the command line.")

    @property
    def flags(self) -> list[str]:
        """For Snakemake's command line."""
        files = ["--configfile", *self.configfiles] if self.configfiles else []
        config = [f"{key}={one if isinstance(one, str) else json.dumps(one)}" for key, one in self.config.items()]
        return [*files, *(["--config", *config] if config else [])]


def write_invocation(workflow: Any, folder: Path) -> None:
    """Keep how a Snakemake workflow was called."""
    settings = workflow.config_settings
    called = Invocation(
        configfiles=tuple(_near(path) for path in settings.configfiles),
        config=dict(settings.config),
    )
    write_json(called.model_dump(mode="json"), folder / PLACE)


def read_invocation(folder: Path) -> Invocation:
    """How Snakemake was called. folder: the study's. Raises InputError where that is not on record."""
    try:
        return Invocation.model_validate_json((folder / PLACE).read_bytes())
    except (OSError, ValidationError):
        raise InputError(f"file {folder / PLACE} does not say how Snakemake was called; run the study again") from None


def _near(path: str | Path) -> str:
    """A path from the working directory where it is below it."""
    near = os.path.relpath(path)
    return str(path) if near.startswith("..") else near
