"""Reports that are sent by themselves: what the settings ask for, made and put into the outbox by the leader."""
