SELECT experiment_id, missing_reward, reward_window FROM experiments_v1 WHERE status = 'running' ORDER BY experiment_id
