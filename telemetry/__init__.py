"""What a call is and what it tells: the record, outcomes, span and metric vocabulary, export, redaction."""
