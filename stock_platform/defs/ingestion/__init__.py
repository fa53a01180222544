"""Raw lake partitions, one daily-partitioned asset per source."""
