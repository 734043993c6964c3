-- An arm may be paused. NOT VALID: what is there satisfied a narrower rule, and no row is read under the lock.
ALTER TABLE experiment_arms
    DROP CONSTRAINT experiment_arms_status_check,
    ADD CONSTRAINT experiment_arms_status_check CHECK (status IN ('active', 'paused', 'retired')) NOT VALID;
