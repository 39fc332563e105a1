set(SW_TEST_DEPS_serve_ingest z)
