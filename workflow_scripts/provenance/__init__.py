"""Stage `provenance`: what was run, with what."""
