# The schema travels inside the binary.
stillwatch_embed(sw_state kStateSchema stillwatch::state src/state/schema/*.sql)
