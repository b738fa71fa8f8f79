"""What files and code hold, as checksums: for all that asks whether something is what it was."""
