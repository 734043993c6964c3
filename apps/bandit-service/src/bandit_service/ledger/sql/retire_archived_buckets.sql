-- What an archived experiment left open of decisions that go; retention_open_buckets has let no other pass.
DELETE FROM open_buckets
USING experiments
WHERE experiments.id = open_buckets.experiment_id AND status = 'archived' AND bucket < %(before)s
