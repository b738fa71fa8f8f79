"""What predicts the budget of each sample in the hybrid allocations."""

from pydantic import Field, field_validator, model_validator

from .models import ModelSettings
from .section import Name, Place, Section, names_from_keys

QUESTION = (
    "Here are {frames} frames, uniformly sampled from a video, and an instruction about the video.\n"
    "Instruction: {instruction}\n"
    "How many uniformly sampled frames of the video show all that is needed to follow the instruction, at the least?\n"
    "{options}\n"
    "Answer with the option's letter from the given choices directly."
)


WITHOUT_QUESTION = ("dinov2", "likelihood", "oracle", "random")
"""The <name> of the hybrid allocations that no predictor of `predictors` gives."""


class DinoSettings(Section):
    """hybrid-dinov2: the smallest budget whose frames stand for the frames between them."""

    source: Place = Field("facebook/dinov2-base", description="Repository on the model hub, or a local folder.")
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

    name: Name = Field(description="The predictor's name, the <name> in hybrid-<name>; the key in the configuration.")
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


class OracleSettings(Section):
    """hybrid-likelihood: the smallest budget at which a model finds a sample's own answers no less likely than above.

    hybrid-oracle is the truth, where `truth` names it, and else this.
    """

    model: str = Field("qwen2.5-vl-7b", min_length=1, description="The model that reads the answers, one of models.")
    tolerance: float = Field(
        0.1,
        ge=0,
        allow_inf_nan=False,
        description="Rise of the log-likelihood of all of a sample's answers that does not count, in nats.",
    )


class RandomSettings(Section):
    """hybrid-random: the budgets of another hybrid allocation, each as often, dealt out by a hash."""

    predictor: str = Field(
        "qwen3-vl-8b", min_length=1, description="Whose budgets: the <name> of hybrid-<name>, other than random."
    )
    seed: int = Field(0, ge=0, description="Seed of the deal.")


class BudgetsSettings(Section):
    """What gives budgets in the hybrid allocations. uniform-<n> needs none."""

    dinov2: DinoSettings = Field(DinoSettings(), description="hybrid-dinov2.")
    oracle: OracleSettings = Field(
        OracleSettings(), description="hybrid-oracle and hybrid-likelihood: what no predictor knows."
    )
    random: RandomSettings = Field(
        RandomSettings(), description="hybrid-random: as many frames, without looking at the sample."
    )
    truth: Place | None = Field(
        None,
        description="File with each sample's true minimal budget: hybrid-oracle's, and what predictors are compared "
        "with. null: not known.",
    )
    predictors: dict[Name, PredictorSettings] = Field(description="hybrid-<name>, by name.")

    @field_validator("predictors", mode="before")
    @classmethod
    def _names(cls, predictors: object) -> object:
        return names_from_keys(predictors, inner="model")

    @field_validator("predictors")
    @classmethod
    def _other_names(cls, predictors: dict[str, PredictorSettings]) -> dict[str, PredictorSettings]:
        if taken := [name for name in predictors if name in WITHOUT_QUESTION]:
            raise ValueError(f"predictor {taken[0]!r} has the name of another allocation, hybrid-{taken[0]}; rename it")
        return predictors

    @property
    def hybrids(self) -> list[str]:
        """Names of the hybrid allocations."""
        return [f"hybrid-{name}" for name in (*WITHOUT_QUESTION, *self.predictors)]
