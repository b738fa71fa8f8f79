"""Where data, models and benchmarks are fetched from, and how."""

from pydantic import Field, field_validator

from .section import Place, Section


class HubSettings(Section):
    """The hub. Which commits are fetched is said by resources/pins.json, or by the `revision` beside a repository."""

    endpoint: str = Field("https://huggingface.co", description="Address of the hub, or of a mirror of it.")
    models: Place = Field(
        "data/models",
        description="Folder for fetched models; one with a known commit is loaded from <folder>/<repository>/<commit>.",
    )
    connections: int = Field(4, ge=1, description="Files, or archives, that are read from the hub at the same time.")

    @field_validator("endpoint")
    @classmethod
    def _address(cls, endpoint: str) -> str:
        if not endpoint.startswith(("https://", "http://")):
            raise ValueError(f"{endpoint!r} is no address; expected https://...")
        return endpoint.rstrip("/")
