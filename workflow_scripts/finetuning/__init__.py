"""Stage `finetuning`: one run, a base model fine-tuned on the samples of a manifest with the budgets of an allocation.

In: manifest, allocation, frame store and the settings of recipe and model. Out: `spec.yaml` (rule `spec`: the whole
run, resolved and checked), then `model/`, `log.jsonl` and `summary.json` (rule `train`).

`spec` the run as a file; `samples` which samples it learns from; `dataset` these as model inputs; `batching` what goes
into an optimizer step; `loss` its loss; `parameters` what is trained at which rate; `parallel` the DeepSpeed
configuration; `trainer` transformers' Trainer over these; `checkpoints` where a run goes on after a kill; `run_log`
what happened at each step and in all; `publish` the weights as others load them.
"""
