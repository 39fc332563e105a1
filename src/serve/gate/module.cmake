# simdjson's on-demand reader is chosen at compile time, as in ingest/jsonl.
set_source_files_properties(${CMAKE_SOURCE_DIR}/src/serve/gate/parse.cc PROPERTIES COMPILE_OPTIONS "-march=haswell")
