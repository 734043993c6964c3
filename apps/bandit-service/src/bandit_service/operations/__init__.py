"""What keeps an installation healthy over months: partitions, retention, erasure, and looking it over."""
