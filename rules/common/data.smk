"""What the rules of stages miniature, curation and budgets are made from."""


def world_settings(wildcards):
    """The miniature's settings, as JSON, that decide its videos and benchmarks."""
    return json.dumps(STUDY.miniature.model_dump(mode="json", exclude={"images", "boxes"}))


def miniature_start(wildcards):
    """The trained miniature that another starts from, if its course names one."""
    name = wildcards.get("model") or wildcards.miniature_predictor
    start = COURSES[name].start if name in COURSES else PREDICTOR_STARTS.get(name)
    return ancient(f"resources/miniature/{start}/model.safetensors") if start else []


def miniature_use(name):
    """The flags that tell a miniature predictor's training how the study will use it."""
    if name == "dinov2":
        return ["--dino", to_json(STUDY.budgets.dinov2)]
    return ["--predictor", to_json(STUDY.budgets.predictors[name.removeprefix("predictor-")])]


def fetched_videos(wildcards):
    """What rule fetch wrote of the videos it brought; no file where the dataset was put in place otherwise."""
    path = f"results/{STUDY.study}/curation/fetched.parquet"
    return path if os.path.exists(path) else []


def draw_flags():
    """The flags that decide which videos are drawn."""
    flags = ["--videos", STUDY.curation.videos, "--seed", STUDY.curation.seed]
    return flags + ["--shares", to_json(STUDY.curation.shares), "--reserve", STUDY.dataset.reserve]


def fetched_flags(wildcards, input):
    """The flag that keeps the draw to the videos that were fetched, where that is known."""
    return ["--fetched", input.fetched] if input.fetched else []


def oracle_model():
    """Settings of the model that reads the samples' answers; cross-checked where an experiment needs it."""
    return STUDY.models[STUDY.budgets.oracle.model]


def true_budgets():
    """What hybrid-oracle is made from, by the flag that takes it: the truth, where it is known, or the estimate."""
    if STUDY.budgets.truth is None:
        return {"estimate": "<results>/budgets/hybrid-likelihood.parquet"}
    return {"truth": STUDY.budgets.truth}
