COPY incoming_events FROM STDIN
