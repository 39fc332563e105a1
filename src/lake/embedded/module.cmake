# The engine is loaded on first use, not linked: most commands do without it (README.md).
target_compile_definitions(sw_lake_embedded PRIVATE STILLWATCH_CHDB_DIR="${STILLWATCH_CHDB_DIR}")
target_link_libraries(sw_lake_embedded PRIVATE ${CMAKE_DL_LIBS})
if(NOT EXISTS ${STILLWATCH_CHDB_DIR}/libchdb.so)
  message(FATAL_ERROR "libchdb.so is not in ${STILLWATCH_CHDB_DIR}: run `make setup` first")
endif()
if(STILLWATCH_SANITIZE)
  # Beside the executables, where LoadChdb looks first: the engine, and after it what it asks RTLD_NEXT for.
  add_library(chdb_next SHARED ${CMAKE_CURRENT_SOURCE_DIR}/src/lake/embedded/sanitized_next.c)
  file(WRITE ${CMAKE_BINARY_DIR}/chdb.c "extern int stillwatch_chdb;\n")
  add_library(chdb SHARED ${CMAKE_BINARY_DIR}/chdb.c)
  # An option, as CMake would make a library without a soname into -lchdb, which is this one.
  target_link_options(chdb PRIVATE -Wl,--no-as-needed ${STILLWATCH_CHDB_DIR}/libchdb.so)
  target_link_libraries(chdb PRIVATE chdb_next)
  target_compile_definitions(sw_lake_embedded PRIVATE STILLWATCH_SANITIZED)
  add_dependencies(sw_lake_embedded chdb)
endif()
