-- A writer that is stopped in the middle must not hold its locks for ever.
SELECT set_config('idle_in_transaction_session_timeout', '5s', true)
