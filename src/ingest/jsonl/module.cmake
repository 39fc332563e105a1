# simdjson's on-demand reader is chosen at compile time: this file needs AVX2, and so the program
# does (checked at start, app/main.cc).
set_source_files_properties(${CMAKE_SOURCE_DIR}/src/ingest/jsonl/jsonl_source.cc PROPERTIES COMPILE_OPTIONS "-march=haswell")
