# The schema travels inside the binary, so that every adapter migrates to the same tables.
stillwatch_embed(sw_lake kSchemaFiles stillwatch::lake src/lake/schema/*.sql)
