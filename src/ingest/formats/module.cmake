# The formats travel inside the binary.
stillwatch_embed(sw_ingest_formats kFormatFiles stillwatch::ingest src/ingest/formats/*.sql src/ingest/formats/*.inc)
target_link_libraries(sw_ingest_formats PRIVATE simdjson::simdjson)
