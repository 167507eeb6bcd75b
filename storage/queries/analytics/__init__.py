"""What the analytics ask of the database beyond sums by dimensions."""
