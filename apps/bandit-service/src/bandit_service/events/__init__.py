"""How an event travels: group commit to the stream, kept until Postgres has it, written there, refilled from there."""
