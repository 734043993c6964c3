INSERT INTO experiment_arms (experiment_id, arm_index, arm, prior_alpha_micro, prior_beta_micro, status)
VALUES (%(experiment_id)s, %(index)s, %(id)s, %(prior_alpha_micro)s, %(prior_beta_micro)s, %(status)s)
ON CONFLICT (experiment_id, arm_index) DO UPDATE SET status = excluded.status
