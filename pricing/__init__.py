"""What a call costs: usage units, dated price book, cost, token estimates. Pure; imports nothing of ours."""
