"""Stage `budgets`: how many frames each sample gets.

In: the manifest and, for the hybrid allocations, the frame store. Out: one `<allocation>.parquet` an allocation
(`allocation.py` writes and reads it). Rules: `uniform`, `dinov2`, `vlm`, `likelihood`,
`oracle`, `shuffled`.
"""
