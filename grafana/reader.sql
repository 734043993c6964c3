-- The role of readers outside the service: the pipeline, Grafana and notebooks. It reads the documented views and
-- nothing else: no table, no API key, no unit, no salt. Run this as the owner of the tables, after each migration, and
-- give the role a password of its own: ALTER ROLE bandit_reader LOGIN PASSWORD '…'.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bandit_reader') THEN
        CREATE ROLE bandit_reader;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- another session made it at the same moment
END
$$;
-- The views may be in a schema of their own.
DO $$
DECLARE
    place text := (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'experiments_v1'::regclass);
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO bandit_reader', place);
    IF place <> 'public' THEN
        EXECUTE format('ALTER ROLE bandit_reader IN DATABASE %I SET search_path = %s', current_database(), place);
    END IF;
END
$$;
GRANT SELECT ON
    experiments_v1, arms_v1, changes_v1, events_v1, decisions_v1, rewards_v1, outcomes_v1, allocations_v1,
    posteriors_v1, stopping_v1, stopping_conditions_v1, posterior_snapshots_v1, snapshot_progress_v1,
    sample_ratios_v1, ope_results_v1
TO bandit_reader;
