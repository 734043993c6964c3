-- Whether a partition has got events since the positions were read. Every new event is beyond its experiment's position.
SELECT EXISTS (
    SELECT FROM event_positions
    LEFT JOIN unnest({ids}::text[], {epochs}::bigint[], {seqs}::bigint[]) AS known (id, epoch, seq)
        ON known.id = event_positions.experiment_id
    WHERE EXISTS (
        SELECT FROM {events} AS event
        WHERE event.experiment_id = event_positions.experiment_id
            AND (event.epoch, event.seq) > (coalesce(known.epoch, -1), coalesce(known.seq, -1))
    )
)
