"""The desk: what every page of the admin has in common, and who sits at it."""
