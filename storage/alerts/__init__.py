"""What is kept of alerts: rules, states, silences, and the outbox with its deliveries."""
