"""Where image conversations come from, and how they are drawn."""

from pydantic import Field

from .section import Place, Section


class ImagesSettings(Section):
    """Image instruction data in Parquet files as the hub's datasets library writes them, the pictures' bytes inside.

    Columns `id`, `conversations` (turns `from`, `value`), `data_source` and `image` (`bytes`, `path`), as
    LLaVA-NeXT-Data has them.
    """

    root: Place = Field("data/LLaVA-NeXT-Data", description="Folder that holds the Parquet files.")
    repository: str = Field("lmms-lab/LLaVA-NeXT-Data", min_length=1, description="Where they come from.")
    revision: str | None = Field(None, description="Commit of the repository. null: resources/pins.json's.")
    ready: Place | None = Field(
        None, description="A file that exists once they are in place; curation waits for it. null: they are there."
    )
    pattern: Place = Field("data/train-*.parquet", description="Which files of the repository hold conversations.")
    files: int | None = Field(
        8,
        ge=1,
        description="Files to fetch and to draw from, chosen before the conversations in them. null: all, of "
        "LLaVA-NeXT-Data 92 GB.",
    )
    conversations: int = Field(5_000, ge=1, description="Conversations to draw, each about a picture of its own.")
    seed: int = Field(0, ge=0, description="Seed of the draw.")
