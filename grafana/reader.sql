-- What Grafana may read: run it as the owner of the tables, after each migration, and give the role a password of its
-- own (ALTER ROLE bandit_grafana LOGIN PASSWORD '…'). API keys are left out. experiments.definition, which the queries
-- need, repeats the salt of unit ids: whoever may ask Grafana free questions can find the events of a unit they know.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bandit_grafana') THEN
        CREATE ROLE bandit_grafana;
    END IF;
END
$$;
-- The tables may be in a schema of their own.
DO $$
DECLARE
    place text := (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'experiments'::regclass);
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO bandit_grafana', place);
    IF place <> 'public' THEN
        EXECUTE format('ALTER ROLE bandit_grafana IN DATABASE %I SET search_path = %s', current_database(), place);
    END IF;
END
$$;
GRANT SELECT (name) ON namespaces TO bandit_grafana;
GRANT SELECT ON
    experiments, experiment_arms, experiment_changes, bandit_events, exposures, arm_posteriors, posterior_snapshots,
    allocations, ope_results
TO bandit_grafana;
