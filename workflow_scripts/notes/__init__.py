"""What a command's process notes of itself while it runs. No result depends on it."""
