"""What predicts the budget of each sample in the hybrid allocations."""

from pydantic import Field, field_validator, model_validator

from .models import ModelSettings
from .section import Section, names_from_keys

QUESTION = (
    "Here are {frames} frames, uniformly sampled from a video, and an instruction about the video.\n"
    "Instruction: {instruction}\n"
    "How many uniformly sampled frames of the video show all that is needed to follow the instruction, at the least?\n"
    "{options}\n"
    "Answer with the option's letter from the given choices directly."
)


class DinoSettings(Section):
    """hybrid-dinov2: the smallest budget whose frames stand for the frames between them."""

    source: str = Field(
        "facebook/dinov2-base", min_length=1, description="Repository on the model hub, or a local folder."
    )
    revision: str | None = Field(None, description="Commit of the repository. null: resources/pins.json's.")
    frames: int = Field(64, ge=2, description="Candidate frames, uniformly sampled; an admissible budget.")
    similarity_threshold: float = Field(
        0.83,
        gt=-1,
        lt=1,
        description="Cosine similarity that a candidate frame must have to a sampled frame beside it (LongVU's value).",
    )
    resolution: int = Field(224, ge=14, description="Side of the square that a frame is scaled to, in pixels.")


class PredictorSettings(Section):
    """hybrid-<name>: a model scores each admissible budget as an answer to a question about the instruction."""

    name: str = Field(description="The predictor's name, the <name> in hybrid-<name>; the key in the configuration.")
    model: ModelSettings = Field(description="The model that predicts.")
    frames: int = Field(8, ge=1, description="Frames that the predictor sees; an admissible budget.")
    option_orders: int = Field(4, ge=1, description="Orders of the options over which the likelihoods are averaged.")
    seed: int = Field(0, ge=0, description="Seed of those orders.")
    question: str = Field(
        QUESTION, description="The prompt; {instruction}, {options} and, if wanted, {frames} are filled in."
    )

    @model_validator(mode="before")
    @classmethod
    def _name_the_model(cls, entry: object) -> object:
        if isinstance(entry, dict) and isinstance(entry.get("model"), dict) and "name" in entry:
            return {**entry, "model": {"name": entry["name"], **entry["model"]}}
        return entry

    @field_validator("question")
    @classmethod
    def _fields(cls, question: str) -> str:
        missing = [field for field in ("{instruction}", "{options}") if field not in question]
        if missing:
            raise ValueError(f"the prompt lacks {' and '.join(missing)}")
        return question


class BudgetsSettings(Section):
    """The predictors behind the hybrid allocations. uniform-<n> needs none."""

    dinov2: DinoSettings = Field(DinoSettings(), description="hybrid-dinov2.")
    truth: str | None = Field(
        None,
        description="File with each sample's true minimal budget, to compare the predictors with. null: not known.",
    )
    predictors: dict[str, PredictorSettings] = Field(description="hybrid-<name>, by name.")

    @field_validator("predictors", mode="before")
    @classmethod
    def _names(cls, predictors: object) -> object:
        return names_from_keys(predictors, inner="model")
