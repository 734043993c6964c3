-- What policies would have earned, estimated from logs; written by the pipeline. One evaluation per data set: the newest.
CREATE TABLE ope_results (
    dataset             text NOT NULL,
    behavior_policy     text NOT NULL,    -- which policy made the log
    evaluation_policy   text NOT NULL,    -- which policy is evaluated
    method              text NOT NULL,
    estimate            double precision NOT NULL,
    std_error           double precision,
    low                 double precision, -- the interval of 95%
    high                double precision,
    n                   bigint NOT NULL,
    ess                 double precision NOT NULL,
    coverage            double precision NOT NULL,
    on_policy_value     double precision, -- what it really earned, where that is known
    on_policy_std_error double precision,
    relative_error      double precision,
    warnings            text NOT NULL,
    digest              text NOT NULL,    -- of the log
    evaluated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dataset, behavior_policy, evaluation_policy, method)
);
