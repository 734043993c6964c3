SELECT id, revision FROM experiments
