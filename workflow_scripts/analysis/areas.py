"""Perception, cognition, hallucination: the area that each ability of a benchmark belongs to.

The abilities are the benchmarks' own (column `ability` of responses.parquet). MME and MMBench say themselves which are
perception; POPE is about hallucination alone. For the others the areas are a choice: what can be seen is perception,
what has to be worked out from it, or known, is cognition. MVBench calls three of its tasks cognition. TempCompass's
aspects are all seen. An ability that stands nowhere is of area `other` and takes no part in an area's mean.
"""

AREAS = ("perception", "cognition", "hallucination")
OTHER = "other"
PLACES: dict[str, dict[str, tuple[str, ...]]] = {
    "mme": {
        "perception": (
            "existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR",
        ),
        "cognition": ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning"),
    },
    "mmstar": {
        "perception": ("coarse perception", "fine-grained perception"),
        "cognition": ("instance reasoning", "logical reasoning", "science & technology", "math"),
    },
    "mmbench": {
        "perception": (
            "coarse_perception", "finegrained_perception (instance-level)", "finegrained_perception (cross-instance)",
        ),
        "cognition": ("attribute_reasoning", "relation_reasoning", "logic_reasoning"),
    },
    "pope": {"hallucination": ("random", "popular", "adversarial")},
    "videomme": {
        "perception": (
            "Temporal Perception", "Spatial Perception", "Attribute Perception", "Action Recognition",
            "Object Recognition", "OCR Problems", "Counting Problem",
        ),
        "cognition": (
            "Temporal Reasoning", "Spatial Reasoning", "Action Reasoning", "Object Reasoning", "Information Synopsis",
        ),
    },
    "mvbench": {
        "perception": (
            "action_antonym", "action_count", "action_localization", "action_prediction", "action_sequence",
            "character_order", "fine_grained_action", "fine_grained_pose", "moving_attribute", "moving_count",
            "moving_direction", "object_existence", "object_interaction", "object_shuffle", "scene_transition",
            "state_change", "unexpected_action",
        ),
        "cognition": ("counterfactual_inference", "egocentric_navigation", "episodic_reasoning"),
    },
    "tempcompass": {"perception": ("action", "direction", "speed", "order", "attribute_change")},
    "video_mmmu": {"perception": ("perception",), "cognition": ("comprehension", "adaptation")},
}  # fmt: skip


def area(benchmark: str, ability: str) -> str:
    """The area of one of a benchmark's abilities, or `OTHER`."""
    for name, abilities in PLACES.get(benchmark, {}).items():
        if ability in abilities:
            return name
    return OTHER
