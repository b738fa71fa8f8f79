"""The hub: which commits are meant, what lies there, and files and archives read from there safely."""
