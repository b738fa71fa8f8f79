"""Stage `curation`: from the annotation files of LLaVA-Video-178K to a manifest of usable videos, one sample each."""
