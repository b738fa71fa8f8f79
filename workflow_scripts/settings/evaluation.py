"""How models are evaluated and compared."""

from pydantic import Field

from .section import Section


class EvaluationSettings(Section):
    """One process evaluates one model on one suite."""

    batch_size: int = Field(8, ge=1, description="Questions generated together.")
    merge_adapters: bool = Field(
        True,
        description="Whether a LoRA run is evaluated by its merged weights, rounded to the model's precision. false: "
        "by the base model with the adapter beside it, in float32.",
    )
    judge: bool = Field(
        False,
        description="Whether lmms-eval's tasks may send answers that they cannot parse to the chat model that they "
        "name, over the network and with the key in OPENAI_API_KEY. false: such an answer is wrong.",
    )


class AnalysisSettings(Section):
    """Intervals and tests."""

    resamples: int = Field(2000, ge=1, description="Resamples of the paired bootstrap.")
    seed: int = Field(0, ge=0, description="Seed of the bootstrap.")


class FiguresSettings(Section):
    """How figures are drawn."""

    dpi: int = Field(300, ge=50, le=2400, description="Resolution of the PNG files, in dots an inch.")
