"""Stage `evaluation`: what a checkpoint answers, and lmms-eval's scores of it."""
