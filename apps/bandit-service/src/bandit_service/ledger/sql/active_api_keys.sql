SELECT id, hash, name, role, namespace FROM api_keys WHERE revoked_at IS NULL
