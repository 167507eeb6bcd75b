"""What is said of calls: ratings and outcomes, one row of sums for each judged call, and the same sums by day."""
