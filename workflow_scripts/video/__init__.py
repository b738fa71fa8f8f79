"""Support package: what a video file holds, and which of its frames a budget takes. Imports no stage."""
